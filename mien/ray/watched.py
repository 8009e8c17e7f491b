"""Files answered by a process that is watched: what hangs is ended, what dies is found out, and
either costs one file, whose row says so.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from mien.errors import DataError, RunError
from mien.predict import Tally
from mien.ray.child import failed
from mien.ray.setup import Item, Setup
from mien.results import Frame

START_S = 300.0  # to import and load, also where the disk is slow
FRAMES_A_TABLE = 1000  # of a video: memory does not grow with its length


class _Fate(NamedTuple):
    """Why the process did not come to the end of what it was given.

    Attributes:
        suspects: The files that may be why; empty if it did come to the end.
        reason: What happened.
        is_sure: Whether the one suspect is the reason.
    """

    suspects: list[int]
    reason: str = ""
    is_sure: bool = False


class Watched:
    """A process of its own that recognises, begun anew when it hangs or dies.

    Args:
        setup: How it recognises.

    Raises:
        RunError: from `answer`, if the process cannot begin.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._columns = setup.arrow_columns()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None

    def answer(self, items: Sequence[Item]) -> tuple[list[Any], Tally]:
        """A `pyarrow.Table` for each file, and what was found in all of them."""
        answers = [_Answer(self._columns) for _ in items]
        left = list(range(len(items)))
        alone: list[int] = []  # were under way when the process died; one of them may be why
        while left or alone:
            given = [alone.pop()] if alone else left
            fate = self._run({number: items[number] for number in given}, answers)
            for number in fate.suspects:
                if fate.is_sure or len(given) == 1:
                    answers[number].fail(self._failure(items[number], fate.reason))
                else:
                    answers[number].forget()
                    alone.append(number)
            left = [n for n in left if not answers[n].is_whole and n not in alone]
        tally = Tally()
        for answer in answers:
            tally.include(answer.tally)
        return [answer.table() for answer in answers], tally

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None

    def _run(self, given: dict[int, Item], answers: list[_Answer]) -> _Fate:
        """Answer files until all are, or the process hangs or dies."""
        connection = self._started()
        clocks: dict[int, float | None] = {}  # of files under way; None while they wait for a core
        num_left = len(given)
        try:
            connection.send(list(given.items()))
            while num_left:
                if not connection.poll(self._patience(clocks)):
                    late = self._late(clocks)
                    if late is None:
                        continue
                    self._end()
                    for number in clocks:
                        if number != late:
                            answers[number].forget()
                    return _Fate([late], f"no answer within {self._setup.time_limit_s:g} s", True)
                kind, number, value = connection.recv()
                if kind == "ended":
                    clocks.pop(number)
                    answers[number].is_whole = True
                    num_left -= 1
                    continue
                clocks[number] = None if kind == "waits" else time.monotonic()
                if kind == "frame":
                    answers[number].add(value)
        except (EOFError, OSError):
            at_work = [n for n, clock in clocks.items() if clock is not None]
            # Where none was at work, it may be any: all are looked at alone.
            left = [n for n in given if not answers[n].is_whole]
            return _Fate(at_work or left, self._end())
        return _Fate([])

    def _patience(self, clocks: dict[int, float | None]) -> float:
        """Seconds until the first clock runs out."""
        now = time.monotonic()
        since = min((clock for clock in clocks.values() if clock is not None), default=now)
        return max(0.0, since + self._setup.time_limit_s - now)

    def _late(self, clocks: dict[int, float | None]) -> int | None:
        before = time.monotonic() - self._setup.time_limit_s
        late = (n for n, clock in clocks.items() if clock is not None and clock <= before)
        return next(late, None)

    def _started(self) -> Connection[Any, Any]:
        if self._connection is not None:
            return self._connection
        ours, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mien.ray.child", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._connection = ours
        try:
            ours.send(self._setup)
            kind, _, value = ours.recv() if ours.poll(START_S) else ("refused", None, "no answer")
        except (EOFError, OSError):
            kind, value = "refused", self._end()
        if kind == "refused":
            self.close()
            raise RunError(
                f"a worker: got {value} when it started; expected it to be ready. Fix: check that "
                "the network and the detector's weights are on that machine"
            )
        return ours

    def _end(self) -> str:
        """End the process; how it ended by itself, where it did."""
        process = self._process
        code = None
        if process is not None:
            try:  # its end of the connection may be closed a moment before it is gone
                code = process.wait(1)
            except subprocess.TimeoutExpired:
                pass
        self.close()
        if code is None:
            return "the end of its process"
        if code >= 0:
            return f"the end of its process (exit code {code})"
        return f"the end of its process ({signal.Signals(-code).name})"

    def _failure(self, item: Item, reason: str) -> Frame:
        error = DataError(
            item.source,
            got=reason,
            expected="a picture or video that can be answered",
            fix="look at the file, or give more time with --time-limit",
        )
        return failed(item.source, str(error), *self._setup.names)


class _Answer:
    """The rows of one file, turned into tables as they come."""

    def __init__(self, columns: Any) -> None:
        self._columns = columns
        self.is_whole = False
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._tables: list[Any] = []
        self._frames: list[Frame] = []
        self.tally = Tally(num_sources=1)

    def add(self, frame: Frame) -> None:
        self.tally.add(frame)
        self._frames.append(frame)
        if len(self._frames) >= FRAMES_A_TABLE:
            self._flush()

    def fail(self, frame: Frame) -> None:
        """What there is of it, and why there is no more."""
        self.add(frame)
        self.is_whole = True

    def table(self) -> Any:
        import pyarrow

        self._flush()
        return self._tables[0] if len(self._tables) == 1 else pyarrow.concat_tables(self._tables)

    def _flush(self) -> None:
        if self._frames:
            self._tables.append(self._columns.table_of(self._frames))
            self._frames = []
