"""Progress on stderr: of training (a line an epoch where stderr is no terminal), of sources, and of
any long job (now and then a line where it is none).
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mien.runtime import watched_by

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

    from mien.training.callbacks import Moment

QUIET_S = 3.0  # a job that ends sooner needs no word
LINE_S = 30.0  # between lines where stderr is no terminal


def epoch_line(recipe: str, max_epochs: int, line: dict[str, Any]) -> str:
    """A finished epoch in words."""
    return (
        f"  {recipe} epoch {line['epoch']}/{max_epochs}: loss {line['loss']:.3f}, accuracy "
        f"{line['accuracy']:.1%}; validation loss {line['val_loss']:.3f}, accuracy "
        f"{line['val_accuracy']:.1%}; {line['seconds']:.0f} s"
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


@contextmanager
def job_bar() -> Iterator[None]:
    """Show how far `mien.runtime.tell_progress` says that a long job is: a bar on a terminal, else
    a line each half minute.
    """
    bar = _JobBar()

    def watch(what: str, done: int, total: int) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more; the work goes on
            bar.show(what, done, total)

    with watched_by(watch):
        try:
            yield
        finally:
            bar.clear()


class _JobBar:
    """How far one job is, of those that follow each other."""

    def __init__(self) -> None:
        self._job, self._began, self._last = "", 0.0, 0.0
        self._bar: Progress | None = None

    def show(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self._job:
            self.clear()
            self._job, self._began, self._last = what, now, -LINE_S
        if done >= total:
            self.clear()
        elif done and now - self._began >= QUIET_S:
            if sys.stderr.isatty():
                self._move(done, total)
            elif now - self._last >= LINE_S:
                self._last = now
                left = round((now - self._began) / done * (total - done))
                minutes, seconds = divmod(left, 60)
                line = f"  {what}: {done:,} of {total:,}, about {minutes}:{seconds:02d} left"
                print(line, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._job = None, ""

    def _move(self, done: int, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        if self._bar is None:
            text = TextColumn("  {task.description}", markup=False)
            self._bar = _bar(text, BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar.add_task(self._job, total=total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done)


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
