"""Process files in a supervised child process: if it hangs or dies, only one file fails."""

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

START_S = 300.0  # seconds to import and load, also from a slow disk
FRAMES_A_TABLE = 1000  # of a video: memory does not grow with its length


class _Outcome(NamedTuple):
    """The outcome of processing a list of files.

    Attributes:
        suspects: Files that may have made the process hang or die; empty if all are complete.
        reason: What happened.
        is_sure: Whether the only suspect is the cause.
    """

    suspects: list[int]
    reason: str = ""
    is_sure: bool = False


class Watched:
    """A child process that recognises, restarted when it hangs or dies.

    Args:
        setup: How it recognises.

    Raises:
        RunError: from `answer`, if the process cannot start.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._columns = setup.arrow_columns()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None

    def answer(self, items: Sequence[Item]) -> tuple[list[Any], Tally]:
        """A `pyarrow.Table` of the results for each file, and the counts of all."""
        results = [_Result(self._columns) for _ in items]
        left = list(range(len(items)))
        suspects: list[int] = []  # in progress when the process died: each is tried alone
        while left or suspects:
            numbers = [suspects.pop()] if suspects else left
            outcome = self._run({number: items[number] for number in numbers}, results)
            for number in outcome.suspects:
                if outcome.is_sure or len(numbers) == 1:
                    results[number].fail(self._failure(items[number], outcome.reason))
                else:
                    results[number].reset()
                    suspects.append(number)
            left = [n for n in left if not results[n].is_complete and n not in suspects]
        tally = Tally()
        for result in results:
            tally.include(result.tally)
        return [result.table() for result in results], tally

    def close(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None

    def _run(self, items: dict[int, Item], results: list[_Result]) -> _Outcome:
        """Process files until all are complete, or the process hangs or dies."""
        connection = self._started()
        # Start times of files in progress; None while they wait for a core.
        clocks: dict[int, float | None] = {}
        num_left = len(items)
        try:
            connection.send(list(items.items()))
            while num_left:
                if not connection.poll(self._seconds_left(clocks)):
                    late = self._late(clocks)
                    if late is None:
                        continue
                    self._end()
                    for number in clocks:
                        if number != late:
                            results[number].reset()
                    reason = f"no answer within {self._setup.time_limit_s:g} s"
                    return _Outcome([late], reason, True)
                kind, number, value = connection.recv()
                if kind == "ended":
                    clocks.pop(number)
                    results[number].is_complete = True
                    num_left -= 1
                    continue
                clocks[number] = None if kind == "waits" else time.monotonic()
                if kind == "frame":
                    results[number].add(value)
        except (EOFError, OSError):
            in_progress = [n for n, clock in clocks.items() if clock is not None]
            # If none was in progress, it may be any of them: all are tried alone.
            left = [n for n in items if not results[n].is_complete]
            return _Outcome(in_progress or left, self._end())
        return _Outcome([])

    def _seconds_left(self, clocks: dict[int, float | None]) -> float:
        """Seconds until the first file reaches its time limit."""
        now = time.monotonic()
        since = min((clock for clock in clocks.values() if clock is not None), default=now)
        return max(0.0, since + self._setup.time_limit_s - now)

    def _late(self, clocks: dict[int, float | None]) -> int | None:
        """A file that has reached its time limit, or None."""
        before = time.monotonic() - self._setup.time_limit_s
        late = (n for n, clock in clocks.items() if clock is not None and clock <= before)
        return next(late, None)

    def _started(self) -> Connection[Any, Any]:
        if self._connection is not None:
            return self._connection
        parent_end, child_end = Pipe()
        with child_end:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mien.ray.child", str(child_end.fileno())],
                pass_fds=[child_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._connection = parent_end
        try:
            parent_end.send(self._setup)
            kind, value = "refused", "no answer"
            if parent_end.poll(START_S):
                kind, _, value = parent_end.recv()
        except (EOFError, OSError):
            kind, value = "refused", self._end()
        if kind == "refused":
            self.close()
            raise RunError(
                f"a worker: got {value} when it started; expected it to be ready. Fix: check that "
                "the network and the detector's weights are on that machine"
            )
        return parent_end

    def _end(self) -> str:
        """Kill the process; returns how it ended if it had died by itself."""
        process = self._process
        code = None
        if process is not None:
            try:  # it may close its end of the connection a moment before it exits
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


class _Result:
    """The rows of one file, collected in tables."""

    def __init__(self, columns: Any) -> None:
        self._columns = columns
        self.is_complete = False
        self.reset()

    def reset(self) -> None:
        """Drop all rows."""
        self._tables: list[Any] = []
        self._frames: list[Frame] = []
        self.tally = Tally(num_sources=1)

    def add(self, frame: Frame) -> None:
        self.tally.add(frame)
        self._frames.append(frame)
        if len(self._frames) >= FRAMES_A_TABLE:
            self._flush()

    def fail(self, frame: Frame) -> None:
        """Complete the file with a row that tells the error."""
        self.add(frame)
        self.is_complete = True

    def table(self) -> Any:
        import pyarrow

        self._flush()
        return self._tables[0] if len(self._tables) == 1 else pyarrow.concat_tables(self._tables)

    def _flush(self) -> None:
        if self._frames:
            self._tables.append(self._columns.table_of(self._frames))
            self._frames = []
