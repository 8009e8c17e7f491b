"""Progress on stderr: of training, of sources, and of any long job.

On a terminal it is a bar; otherwise training prints a line for each epoch, and a long job a line
every half minute.
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

QUIET_S = 3.0  # shorter jobs show no progress
LINE_S = 30.0  # between lines if stderr is not a terminal


def epoch_line(recipe: str, max_epochs: int, line: dict[str, Any]) -> str:
    """A line of text about a finished epoch."""
    return (
        f"  {recipe} epoch {line['epoch']}/{max_epochs}: loss {line['loss']:.3f}, accuracy "
        f"{line['accuracy']:.1%}; validation loss {line['val_loss']:.3f}, accuracy "
        f"{line['val_accuracy']:.1%}; {line['seconds']:.0f} s"
    )


@contextmanager
def training_bar() -> Iterator[Callable[[Moment], None]]:
    """Yields a callback for `mien.training.fit.fit`."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    progress = ("", 0)  # recipe, and how many of its epochs are printed
    time_left = (
        TextColumn("at most"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )  # it may stop early
    with _bar(TextColumn("  {task.description}", markup=False), BarColumn(24), *time_left) as bar:
        task = bar.add_task("", total=None, visible=False)

        def show(moment: Moment) -> None:
            nonlocal progress
            name, epochs = moment.recipe.name, moment.recipe.max_epochs
            done = (moment.epoch - 1) * moment.num_steps + moment.step
            if progress[0] != name:
                progress = (name, len(moment.history))
                total = epochs * moment.num_steps
                bar.reset(task, total=total, completed=done - 1, visible=True)
                if moment.history:
                    _print(bar, f"  continues after epoch {len(moment.history)}")
            for line in moment.history[progress[1] :]:
                _print(bar, epoch_line(name, epochs, line))
            progress = (name, len(moment.history))
            measures = f"loss {moment.loss:.3f}, accuracy {moment.accuracy:.1%}"
            text = f"{name} epoch {moment.epoch}/{epochs}: {measures}"
            bar.update(task, completed=done, description=text)

        def watch(moment: Moment) -> None:
            with contextlib.suppress(BrokenPipeError):  # training continues even if nobody reads
                show(moment)

        yield watch


@contextmanager
def counting_bar(total: int) -> Iterator[Callable[[float, str], None]]:
    """Yields a function that moves a bar to a number of `total` and names the current source; it
    is shown only on a terminal.
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
    """Show the progress that long jobs report with `mien.runtime.tell_progress`: a bar on a
    terminal, or else a line every half minute.
    """
    bar = _JobBar()

    def watch(job: str, done: int, total: int) -> None:
        with contextlib.suppress(BrokenPipeError):  # the work continues even if nobody reads
            bar.show(job, done, total)

    with watched_by(watch):
        try:
            yield
        finally:
            bar.clear()


class _JobBar:
    """The progress of the current job; jobs follow each other."""

    def __init__(self) -> None:
        self._job, self._began, self._last = "", 0.0, 0.0
        self._bar: Progress | None = None

    def show(self, job: str, done: int, total: int) -> None:
        now = time.monotonic()
        if job != self._job:
            self.clear()
            self._job, self._began, self._last = job, now, -LINE_S
        if done >= total:
            self.clear()
        elif done and now - self._began >= QUIET_S:
            if sys.stderr.isatty():
                self._move(done, total)
            elif now - self._last >= LINE_S:
                self._last = now
                seconds_left = round((now - self._began) / done * (total - done))
                minutes, seconds = divmod(seconds_left, 60)
                line = f"  {job}: {done:,} of {total:,}, about {minutes}:{seconds:02d} left"
                print(line, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the bar from the terminal."""
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
    """A bar on stderr that disappears when it ends, and is drawn only on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        # Otherwise rows that go to a file would appear on the terminal.
        redirect_stdout=sys.stdout.isatty(),
    )


def _print(bar: Progress, line: str) -> None:
    bar.console.print(line, highlight=False, soft_wrap=True, markup=False)
