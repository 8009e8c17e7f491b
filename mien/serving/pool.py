"""The threads that analyse pictures, and the queue before them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from mien.serving.problems import Problem, later

P = ParamSpec("P")
T = TypeVar("T")
_NICER = 5  # how much lower the priority of the threads is than that of the event loop


class Pool:
    """A fixed number of threads with a bounded queue; jobs beyond it are refused at once.

    A job takes places in proportion to its cost. A job larger than the whole queue is accepted when
    nothing else is in it.

    Args:
        threads: Number of threads.
        queue: Places for waiting jobs.
        answer_s: Longest time in seconds from `run` to its result.
    """

    def __init__(self, threads: int, queue: int, answer_s: float) -> None:
        self._threads = ThreadPoolExecutor(
            threads, thread_name_prefix="mien-serve", initializer=_lower_priority
        )
        self._most = threads + queue
        self._answer_s = answer_s
        self._freed = asyncio.Event()
        self._freed.set()
        self.taken = 0  # places

    def expect_room(self) -> None:
        """Refuse a request before its picture is read if the queue has no room.

        Raises:
            Problem: 503 if the queue is full.
        """
        if not self._has_room(1):
            raise _full()

    async def run(
        self, work: Callable[P, T], places: int, patient: bool, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `work` in a thread and return its result.

        Args:
            work: Called with `args` and `kwargs`.
            places: The places that it takes.
            patient: Wait for room instead of being refused.

        Raises:
            Problem: 503 if the queue is full, 504 if the result takes too long.
        """
        try:
            async with asyncio.timeout(self._answer_s):
                while not self._has_room(places):
                    if not patient:
                        raise _full()
                    self._freed.clear()
                    await self._freed.wait()
                loop = asyncio.get_running_loop()
                job = self._threads.submit(work, *args, **kwargs)
                self.taken += places

                def ended(_: object) -> None:  # runs in the job's thread, or here if cancelled
                    if not loop.is_closed():
                        loop.call_soon_threadsafe(self._give_back, places)

                job.add_done_callback(ended)
                return await asyncio.wrap_future(job)
        except TimeoutError:
            raise Problem(
                "answer-too-slow",
                f"got no answer within {self._answer_s:g} s",
                "send a smaller picture, or try again later",
            ) from None

    def _has_room(self, places: int) -> bool:
        return not self.taken or self.taken + places <= self._most

    def _give_back(self, places: int) -> None:
        self.taken -= places
        self._freed.set()

    def close(self) -> None:
        """Wait for running jobs and drop waiting ones."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def _lower_priority() -> None:
    """Let the event loop, which refuses requests and answers health checks, run before this thread.

    Only Linux has priorities of single threads.
    """
    if sys.platform == "linux":
        this = threading.get_native_id()
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            priority = os.getpriority(os.PRIO_PROCESS, this)
            os.setpriority(os.PRIO_PROCESS, this, min(priority + _NICER, 19))


def _full() -> Problem:
    return later("queue-full", "all threads are busy and the queue is full")
