"""Progress bars on stderr: for training (a line an epoch where stderr is no terminal), and for
counting sources.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.training.callbacks import Moment

REFRESH_S = 0.25


def epoch_line(recipe: str, max_epochs: int, line: dict[str, Any]) -> str:
    """A finished epoch in words."""
    return (
        f"  {recipe} epoch {line['epoch']}/{max_epochs}: loss {line['loss']:.3f}, accuracy {line['accuracy']:.1%}; "
        f"validation loss {line['val_loss']:.3f}, accuracy {line['val_accuracy']:.1%}; {line['seconds']:.0f} s"
    )


def time_left(seconds: float) -> str:
    """Seconds as `1:05:09` or `5:09`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def training_bar() -> Iterator[Callable[[Moment], None]]:
    """Yields a watcher for `mien.training.fit.fit`."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(file=sys.stderr)
    shown: tuple[str, int] | None = None  # recipe and number of epochs already printed
    began = last = time.monotonic()
    first_step = 0

    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(moment: Moment) -> None:
            nonlocal shown, began, last, first_step
            name, total = moment.recipe.name, moment.recipe.max_epochs
            done = (moment.epoch - 1) * moment.num_steps + moment.step
            now = time.monotonic()
            if shown is None or shown[0] != name:
                shown, began, first_step = (name, len(moment.history)), now, done - 1
                if moment.history:
                    console.print(
                        f"  goes on after epoch {len(moment.history)}",
                        highlight=False,
                        soft_wrap=True,
                    )
            for line in moment.history[shown[1] :]:
                console.print(epoch_line(name, total, line), highlight=False, soft_wrap=True)
            shown = (name, len(moment.history))
            if not console.is_terminal or (
                now - last < REFRESH_S and moment.step != moment.num_steps
            ):
                return
            last = now
            left = (now - began) / (done - first_step) * (total * moment.num_steps - done)
            filled = 24 * moment.step // moment.num_steps
            live.update(
                Text(
                    f"  {name} epoch {moment.epoch}/{total} [{'#' * filled}{'.' * (24 - filled)}] "
                    f"loss {moment.loss:.3f}, accuracy {moment.accuracy:.1%}, at most {time_left(left)} left"
                ),
                refresh=True,
            )

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
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
        # or rows on their way to a file would come to the terminal
        redirect_stdout=sys.stdout.isatty(),
    ) as bar:
        task = bar.add_task("", total=total)

        def move(done: float, now: str) -> None:
            with contextlib.suppress(BrokenPipeError):
                bar.update(task, completed=done, description=now[-60:].replace("[", "("))

        yield move
