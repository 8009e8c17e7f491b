"""Actors that answer: how many there are, what each has to do, and what happens when one dies.

Not `Dataset.map_batches`: docs/scale.md says why. An actor has at most two lists of files at a
time, one under way and one waiting, so what is in memory does not grow with the number of files.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from mien.errors import DataError, MienError, RunError, counted, in_short
from mien.predict import Tally
from mien.ray.child import failed
from mien.ray.setup import Item, Setup
from mien.ray.watched import Watched

FILES_A_TASK = 64
TASKS_AN_ACTOR = 2
DEATHS = 3  # of actors, before a task is divided or its one file given up
FALSE_STARTS = 3  # of actors, before the first that answers
TOP_UP_S = 2.0

Say = Callable[[str], None]


class Actor:
    """A worker on some node; recognises in a process of its own."""

    def __init__(self, setup: Setup) -> None:
        import os

        from mien import __version__

        if setup.version != __version__:
            raise RunError(
                f"{os.uname().nodename}: got mien {__version__}; expected {setup.version}, as on "
                "the machine that began. Fix: install the same version on all nodes"
            )
        self._watched = Watched(setup)

    def ready(self) -> None:
        """Answers as soon as the actor is there."""

    def answer(self, items: Sequence[Item]) -> tuple[Any, Tally]:
        """A `pyarrow.Table` of some files, and what was found."""
        import pyarrow

        tables, tally = self._watched.answer(items)
        # A table of many small pieces takes 80 kB a row in the driver.
        return pyarrow.concat_tables(tables).combine_chunks(), tally


@dataclass
class _Task:
    items: Sequence[Item]
    deaths: int = 0


@dataclass(eq=False)
class _Seat:
    """An actor and what it was given, the first first."""

    handle: Any
    starting: Any | None  # until it is there
    tasks: dict[Any, _Task] = field(default_factory=dict)


class Pool:
    """As many actors as the cluster has room for.

    Args:
        setup: How they recognise.
        num_workers: How many; None for all that the cluster has cores for, also while it grows and
            shrinks.
        say: Takes sentences for a person.
        actor: The class of the actors.
    """

    def __init__(
        self, setup: Setup, *, num_workers: int | None, say: Say, actor: type = Actor
    ) -> None:
        self._setup, self._num_workers, self._say = setup, num_workers, say
        self._class = ray.remote(actor)
        self._told = ray.put(setup)
        self._seats: list[_Seat] = []
        self._again: deque[_Task] = deque()
        self._false_starts, self._has_started, self._topped_up = 0, False, -TOP_UP_S

    @property
    def num_ready(self) -> int:
        """Actors that are there."""
        return sum(seat.starting is None for seat in self._seats)

    def answers(self, items: Iterator[Item], total: int) -> Iterator[tuple[Any, Tally]]:
        """The answers to files, in the order in which they come; each file is answered once.

        Args:
            items: The files.
            total: How many there are.

        Raises:
            RunError: if no worker can begin.
        """
        left = total
        while True:
            self._top_up()
            left -= self._hand_out(items, left)
            waited_for = {seat.starting: seat for seat in self._seats if seat.starting is not None}
            waited_for |= {ref: seat for seat in self._seats for ref in seat.tasks}
            if not left and not self._again and not any(seat.tasks for seat in self._seats):
                return
            done = self._wait(list(waited_for))
            for ref in done:
                if (answer := self._taken(waited_for[ref], ref)) is not None:
                    yield answer

    def close(self) -> None:
        """End the actors."""
        for seat in self._seats:
            ray.kill(seat.handle)
        self._seats = []

    def _hand_out(self, items: Iterator[Item], left: int) -> int:
        """Give every actor that is there what it has room for; how many new files that are."""
        num_new = 0
        for num_tasks in range(TASKS_AN_ACTOR):
            for seat in self._seats:
                if seat.starting is not None or len(seat.tasks) > num_tasks:
                    continue
                if self._again:
                    task = self._again.popleft()
                else:
                    size = self._size(left - num_new)
                    task = _Task(list(itertools.islice(items, size)))
                    num_new += len(task.items)
                if not task.items:
                    return num_new
                seat.tasks[seat.handle.answer.remote(task.items)] = task
        return num_new

    def _size(self, left: int) -> int:
        """Files in the next task: fewer towards the end, so that all workers end together."""
        return max(1, min(FILES_A_TASK, left // (2 * TASKS_AN_ACTOR * max(1, self.num_ready))))

    def _wait(self, refs: list[Any]) -> list[Any]:
        if not refs:
            time.sleep(0.1)
            return []
        done, _ = ray.wait(refs, num_returns=1, timeout=TOP_UP_S)
        if done:
            done, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        return list(done)

    def _top_up(self) -> None:
        """Have as many actors as there is room for: nodes come and go."""
        if time.monotonic() - self._topped_up < TOP_UP_S:
            return
        self._topped_up = time.monotonic()
        num = self._num_workers
        if num is None:
            cores = ray.cluster_resources().get("CPU", 0)
            num = max(1, int(cores) // self._setup.num_threads)
        waiting = [seat for seat in self._seats if seat.starting is not None]
        for seat in waiting[: max(0, len(self._seats) - num)]:  # for room that is gone
            self._seats.remove(seat)
            ray.kill(seat.handle)
        while len(self._seats) < num:
            handle = self._class.options(
                num_cpus=self._setup.num_threads,
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy="SPREAD",
            ).remote(self._told)
            self._seats.append(_Seat(handle, handle.ready.remote()))

    def _taken(self, seat: _Seat, ref: Any) -> tuple[Any, Tally] | None:
        """What a reference holds; None where an actor began, or died, or was dead already."""
        if seat not in self._seats:
            return None
        try:
            answer: tuple[Any, Tally] = ray.get(ref)
        except RayError as error:
            if isinstance(error, RayTaskError) and isinstance(error.cause, MienError):
                raise error.cause from None
            return self._died(seat, error)
        self._has_started = True
        if ref == seat.starting:
            seat.starting = None
            return None
        seat.tasks.pop(ref)
        return answer

    def _died(self, seat: _Seat, error: RayError) -> tuple[Any, Tally] | None:
        """Give what a dead actor had to others."""
        self._seats.remove(seat)
        ray.kill(seat.handle)
        reason = " ".join(str(error).split())
        if seat.starting is not None:
            self._false_starts += 1
            if self._false_starts >= FALSE_STARTS and not self._has_started:
                raise RunError(
                    f"no worker can begin: got {reason[-500:]}; expected mien with the extra [ray] "
                    "on every node. Fix: install it there, in the same version"
                )
            return None
        tasks = list(seat.tasks.values())
        num = sum(len(task.items) for task in tasks)
        self._say(f"a worker died ({in_short(reason)}); {counted(num, 'file')} go to others")
        if not tasks:
            return None
        first = tasks[0]  # the one under way; the other had not begun
        first.deaths += 1
        self._again.extend(tasks[1:])
        if first.deaths < DEATHS:
            self._again.append(first)
        elif len(first.items) > 1:
            half = len(first.items) // 2
            self._again.extend(_Task(part) for part in (first.items[:half], first.items[half:]))
        else:
            return self._given_up(first.items[0])
        return None

    def _given_up(self, item: Item) -> tuple[Any, Tally]:
        error = DataError(
            item.source,
            got=f"a file at which {DEATHS} workers died",
            expected="a picture or video that can be answered",
            fix="look at the file, and at how much memory a worker has",
        )
        frame = failed(item.source, str(error), *self._setup.names)
        tally = Tally(num_sources=1)
        tally.add(frame)
        return self._setup.arrow_columns().table_of([frame]), tally
