"""The threads that analyse pictures, and the queue before them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from mien.serving.problems import Problem, busy

P = ParamSpec("P")
T = TypeVar("T")


class Pool:
    """A fixed number of threads and a bounded queue; what does not fit is refused at once.

    Args:
        threads: That work.
        queue: Jobs that may wait.
        answer_s: Longest time from here to the answer.
    """

    def __init__(self, threads: int, queue: int, answer_s: float) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="mien-serve")
        self._most = threads + queue
        self._answer_s = answer_s
        self.pending = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` returns, computed in a thread.

        Raises:
            Problem: 503 if the queue is full, 504 if the answer takes too long.
        """
        if self.pending >= self._most:
            raise busy()
        job = self._threads.submit(work, *args, **kwargs)
        self.pending += 1
        loop = asyncio.get_running_loop()
        job.add_done_callback(lambda _: _tell(loop, self._done))
        try:
            async with asyncio.timeout(self._answer_s):
                return await asyncio.wrap_future(job)
        except TimeoutError:
            raise Problem(
                504,
                "answer-too-slow",
                f"got no answer within {self._answer_s:g} s",
                "send a smaller picture, or try again later",
            ) from None

    def _done(self) -> None:
        self.pending -= 1

    def close(self) -> None:
        """Wait for what was begun; drop what waits."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], Any]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(what)
