"""Progress bars on stderr: for training (a line an epoch where stderr is no terminal), and for
counting sources.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

    from mien.training.callbacks import Moment


def epoch_line(recipe: str, max_epochs: int, line: dict[str, Any]) -> str:
    """A finished epoch in words."""
    return (
        f"  {recipe} epoch {line['epoch']}/{max_epochs}: loss {line['loss']:.3f}, accuracy {line['accuracy']:.1%}; "
        f"validation loss {line['val_loss']:.3f}, accuracy {line['val_accuracy']:.1%}; {line['seconds']:.0f} s"
    )


@contextmanager
def training_bar() -> Iterator[Callable[[Moment], None]]:
    """Yields a watcher for `mien.training.fit.fit`."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    shown = ("", 0)  # recipe, and how many of its epochs are printed
    left = (TextColumn("at most"), TimeRemainingColumn(), TextColumn("left"))  # it may stop early
    with _bar(TextColumn("  {task.description}", markup=False), BarColumn(24), *left) as bar:
        task = bar.add_task("", total=None, visible=False)

        def show(moment: Moment) -> None:
            nonlocal shown
            name, epochs = moment.recipe.name, moment.recipe.max_epochs
            done = (moment.epoch - 1) * moment.num_steps + moment.step
            if shown[0] != name:
                shown = (name, len(moment.history))
                total = epochs * moment.num_steps
                bar.reset(task, total=total, completed=done - 1, visible=True)
                if moment.history:
                    _print(bar, f"  goes on after epoch {len(moment.history)}")
            for line in moment.history[shown[1] :]:
                _print(bar, epoch_line(name, epochs, line))
            shown = (name, len(moment.history))
            now = f"loss {moment.loss:.3f}, accuracy {moment.accuracy:.1%}"
            text = f"{name} epoch {moment.epoch}/{epochs}: {now}"
            bar.update(task, completed=done, description=text)

        def watch(moment: Moment) -> None:
            with contextlib.suppress(BrokenPipeError):  # nobody listens any more; training goes on
                show(moment)

        yield watch


@contextmanager
def counting_bar(total: int) -> Iterator[Callable[[float, str], None]]:
    """Yields what moves a bar on to so many of `total` and says what is looked at; shown on a
    terminal only.
    """
    if not total or not sys.stderr.isatty():
        yield lambda done, now: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    now_column = TextColumn("{task.description}", markup=False)
    with _bar(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), now_column) as bar:
        task = bar.add_task("", total=total)

        def move(done: float, now: str) -> None:
            with contextlib.suppress(BrokenPipeError):
                bar.update(task, completed=done, description=now[-60:])

        yield move


def _bar(*columns: ProgressColumn) -> Progress:
    """A bar on stderr that is gone when it ends, and is drawn on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        # or rows on their way to a file would come to the terminal
        redirect_stdout=sys.stdout.isatty(),
    )


def _print(bar: Progress, line: str) -> None:
    bar.console.print(line, highlight=False, soft_wrap=True, markup=False)
