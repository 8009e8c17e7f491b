"""A pool of Ray actors: their number, their tasks, and what happens when one dies.

docs/scale.md says why it is not `Dataset.map_batches`. An actor has at most two lists of files at a
time, one in progress and one waiting, so memory does not grow with the number of files.
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
DEATHS = 3  # of actors on a task, after which it is divided, or fails if it has only one file
FALSE_STARTS = 3  # actors that may fail to start before the first succeeds
TOP_UP_S = 2.0  # seconds between adjustments of the number of actors

Say = Callable[[str], None]


class Actor:
    """A worker on a node, which recognises in a separate process."""

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
        """Return as soon as the actor has started."""

    def answer(self, items: Sequence[Item]) -> tuple[Any, Tally]:
        """A `pyarrow.Table` of the results for some files, and their counts."""
        import pyarrow

        tables, tally = self._watched.answer(items)
        # A table of many small pieces takes 80 kB a row in the driver.
        return pyarrow.concat_tables(tables).combine_chunks(), tally


@dataclass
class _Task:
    items: Sequence[Item]
    deaths: int = 0


@dataclass(eq=False)
class _Worker:
    """An actor and its tasks, in order."""

    handle: Any
    starting: Any | None  # reference of `ready`, until it has started
    tasks: dict[Any, _Task] = field(default_factory=dict)


class Pool:
    """As many actors as the cluster has room for.

    Args:
        setup: How they recognise.
        num_workers: Number of actors; None uses all cores, also when the cluster grows or shrinks.
        say: Receives messages for the user.
        actor: The class of the actors.
    """

    def __init__(
        self, setup: Setup, *, num_workers: int | None, say: Say, actor: type = Actor
    ) -> None:
        self._setup, self._num_workers, self._say = setup, num_workers, say
        self._class = ray.remote(actor)
        self._setup_ref = ray.put(setup)
        self._workers: list[_Worker] = []
        self._retries: deque[_Task] = deque()
        self._false_starts, self._has_started, self._topped_up = 0, False, -TOP_UP_S

    @property
    def num_ready(self) -> int:
        """Actors that have started."""
        return sum(worker.starting is None for worker in self._workers)

    def answers(self, items: Iterator[Item], total: int) -> Iterator[tuple[Any, Tally]]:
        """Tables of results and their counts, in the order in which they are computed.

        Args:
            items: The files.
            total: Number of files.

        Raises:
            RunError: if no worker can start.
        """
        left = total
        while True:
            self._top_up()
            left -= self._hand_out(items, left)
            pending = {
                worker.starting: worker for worker in self._workers if worker.starting is not None
            }
            pending |= {ref: worker for worker in self._workers for ref in worker.tasks}
            if not left and not self._retries and not any(worker.tasks for worker in self._workers):
                return
            for ref in self._wait(list(pending)):
                if (result := self._result(pending[ref], ref)) is not None:
                    yield result

    def close(self) -> None:
        """Kill the actors."""
        for worker in self._workers:
            ray.kill(worker.handle)
        self._workers = []

    def _hand_out(self, items: Iterator[Item], left: int) -> int:
        """Give tasks to all actors with room for them; returns the number of new files."""
        num_new = 0
        for num_tasks in range(TASKS_AN_ACTOR):
            for worker in self._workers:
                if worker.starting is not None or len(worker.tasks) > num_tasks:
                    continue
                if self._retries:
                    task = self._retries.popleft()
                else:
                    size = self._size(left - num_new)
                    task = _Task(list(itertools.islice(items, size)))
                    num_new += len(task.items)
                if not task.items:
                    return num_new
                worker.tasks[worker.handle.answer.remote(task.items)] = task
        return num_new

    def _size(self, left: int) -> int:
        """Files in the next task: fewer near the end, so that all workers finish together."""
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
        """Start actors if the cluster has room for more, and drop waiting ones if it has not."""
        if time.monotonic() - self._topped_up < TOP_UP_S:
            return
        self._topped_up = time.monotonic()
        num = self._num_workers
        if num is None:
            cores = ray.cluster_resources().get("CPU", 0)
            num = max(1, int(cores) // self._setup.num_threads)
        waiting = [worker for worker in self._workers if worker.starting is not None]
        for worker in waiting[: max(0, len(self._workers) - num)]:
            self._workers.remove(worker)
            ray.kill(worker.handle)
        while len(self._workers) < num:
            handle = self._class.options(
                num_cpus=self._setup.num_threads,
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy="SPREAD",
            ).remote(self._setup_ref)
            self._workers.append(_Worker(handle, handle.ready.remote()))

    def _result(self, worker: _Worker, ref: Any) -> tuple[Any, Tally] | None:
        """The result of a finished reference; None if an actor has started or died."""
        if worker not in self._workers:
            return None
        try:
            result: tuple[Any, Tally] = ray.get(ref)
        except RayError as error:
            if isinstance(error, RayTaskError) and isinstance(error.cause, MienError):
                raise error.cause from None
            return self._died(worker, error)
        self._has_started = True
        if ref == worker.starting:
            worker.starting = None
            return None
        worker.tasks.pop(ref)
        return result

    def _died(self, worker: _Worker, error: RayError) -> tuple[Any, Tally] | None:
        """Give the tasks of a dead actor to others; returns the result of a file that failed."""
        self._workers.remove(worker)
        ray.kill(worker.handle)
        reason = " ".join(str(error).split())
        if worker.starting is not None:
            self._false_starts += 1
            if self._false_starts >= FALSE_STARTS and not self._has_started:
                raise RunError(
                    f"no worker can begin: got {reason[-500:]}; expected mien with the extra [ray] "
                    "on every node. Fix: install it there, in the same version"
                )
            return None
        tasks = list(worker.tasks.values())
        num = sum(len(task.items) for task in tasks)
        self._say(f"a worker died ({in_short(reason)}); {counted(num, 'file')} go to others")
        if not tasks:
            return None
        first = tasks[0]  # the one in progress; the other had not started
        first.deaths += 1
        self._retries.extend(tasks[1:])
        if first.deaths < DEATHS:
            self._retries.append(first)
        elif len(first.items) > 1:
            half = len(first.items) // 2
            self._retries.extend(_Task(part) for part in (first.items[:half], first.items[half:]))
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
