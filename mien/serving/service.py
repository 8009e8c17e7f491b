"""What answers requests: the recognizer, the threads that it runs in, and what the
server says of itself.
"""

from __future__ import annotations

import asyncio
import shlex
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request

from mien import __version__
from mien.errors import DataError, UsageError
from mien.recognizer import Recognizer
from mien.results import Face, Frame
from mien.serving.limits import Limits
from mien.serving.metrics import Metrics
from mien.serving.pool import Pool
from mien.serving.problems import Problem, problem_of
from mien.serving.teach import Collection
from mien.serving.upload import check_picture, places
from mien.vision.detect import WholeImage
from mien.vision.image import decode
from mien.vision.yunet import YuNet

T = TypeVar("T")
MODES = ("fast", "best")
_MOST_WAYS = 32  # recognizers kept, for the settings that were asked for last


@dataclass(frozen=True)
class Ask:
    """How a picture is to be looked at.

    Attributes:
        faces: `find`, or `whole`: the picture is a face already.
        mode: `fast` or `best`.
        max_side: Longest side in pixels at which faces are looked for; 0: as the server does.
        prior: The class prior: a name, or weights such as `happy=3,neutral=5`; "": as the server.
    """

    faces: str = "find"
    mode: str = "fast"
    max_side: int = 0
    prior: str = ""


class Service:
    """All that the routes need.

    Args:
        recognizer: What it answers with; its detector looks at `limits.max_side_px`.
        limits: What requests may cost.
        collection: Where corrections go; None: nowhere.
    """

    def __init__(
        self, recognizer: Recognizer, limits: Limits, collection: Collection | None = None
    ) -> None:
        self.recognizer = recognizer
        self._ways: OrderedDict[Ask, Recognizer] = OrderedDict()
        self.limits = limits
        self.collection = collection
        self.metrics = Metrics()
        self.pool = Pool(limits.threads, limits.queue, limits.answer_s)
        self.metrics.queue.set_function(lambda: self.pool.taken)
        self.is_ready = False
        self.num_streams = 0

    def way(self, ask: Ask) -> Recognizer:
        """The recognizer that looks so; all share one session.

        Raises:
            Problem: for a size beyond the server's limit.
        """
        if ask.max_side > self.limits.max_side_px:
            raise Problem(
                "invalid-parameter",
                f"got max_side={ask.max_side}; expected at most {self.limits.max_side_px}",
                "give a smaller one; GET /v1/model lists the limits",
            )
        recognizer = self._ways.pop(ask, None)
        if recognizer is None:
            detector = self.recognizer.detector
            if ask.faces == "whole":
                detector = WholeImage()
            elif ask.max_side and isinstance(detector, YuNet):
                detector = detector.at(ask.max_side)
            try:
                recognizer = self.recognizer.with_settings(
                    mode=ask.mode, detector=detector, prior=ask.prior or None
                )
            except UsageError as error:
                raise problem_of(error) from error
        self._ways[ask] = recognizer
        while len(self._ways) > _MOST_WAYS:
            self._ways.popitem(last=False)
        return recognizer

    async def frame(self, picture: bytes, ask: Ask) -> Frame:
        """The faces in one picture, computed in a thread.

        Raises:
            DataError: if it is no whole picture.
            Problem: if there is no room, or it takes too long.
        """
        cost = places(picture, self.limits)
        return await self.pool.run(self.look, cost, False, picture, self.way(ask), "picture")

    async def batch(self, pictures: list[bytes], ask: Ask) -> list[Frame]:
        """A frame for each picture; one that cannot be read has an error and no faces.

        Raises:
            Problem: if there is no room for the first, or one takes too long.
        """
        recognizer, frames = self.way(ask), []
        for number, picture in enumerate(pictures):
            name = f"picture-{number}"
            try:
                check_picture(picture, self.limits)
                cost = places(picture, self.limits)
                frame = await self.pool.run(self.look, cost, number > 0, picture, recognizer, name)
            except DataError as error:
                frame = failed(name, recognizer, str(error))
            except Problem as problem:
                if problem.status >= 500:
                    raise
                frame = failed(name, recognizer, f"{problem.detail}. Fix: {problem.hint}")
            frames.append(frame)
        return frames

    def look(self, picture: bytes, recognizer: Recognizer, name: str) -> Frame:
        """Decode, find, classify; in a thread of the pool."""
        decoded = decode(picture, limits=self.limits.picture)
        image = decoded.pixels
        found = _surest(recognizer.faces_in(image), self.limits.max_faces)
        self.metrics.pictures.inc()
        self.metrics.faces.inc(len(found))
        height, width = image.shape[:2]
        place = name, 0, None, width, height, recognizer.detector.name
        return Frame(*place, found, note=decoded.note, prior=recognizer.prior)

    def warm(self) -> None:
        """Answer once in every way, so that the first caller waits for nothing."""
        import numpy as np

        for ask in (Ask(), Ask("whole"), Ask("whole", "best")):
            self.way(ask).faces_in(np.full((480, 640, 3), 128, np.uint8))
        self.is_ready = True

    def settings(self, ask: Ask) -> dict[str, Any]:
        """What every answer names besides the faces."""
        side = None if ask.faces == "whole" else ask.max_side or self.limits.max_side_px
        return {"mode": ask.mode, "max_side": side}

    def model(self) -> dict[str, Any]:
        """What `GET /v1/model` answers."""
        recognizer = self.recognizer
        bundle = recognizer.bundle
        return {
            "version": __version__,
            "name": bundle.name,
            "digest": bundle.digest,
            "labels": list(recognizer.labels.names),
            "heads": {name: list(labels.names) for name, labels in recognizer.heads.items()},
            "detector": recognizer.detector.name,
            "modes": list(MODES),
            "prior": recognizer.prior,
            "priors": list(bundle.rules),
            "limits": self.limits.to_dict(),
            "collect": self.collect(),
            "pictures_stored": self.collection is not None,
        }

    def collect(self) -> dict[str, Any]:
        """Whether corrections are collected, how many of each label, and how to train on them."""
        if self.collection is None:
            return {"on": False, "labels": [], "counts": {}, "command": ""}
        return {
            "on": True,
            "labels": list(self.collection.labels),
            "counts": self.collection.counts(),
            "command": f"mien train {shlex.quote(str(self.collection.folder))} --init mien",
        }

    def close(self) -> None:
        """End the threads, after what they do now, and free the network."""
        self.pool.close()
        self.recognizer.close()


def _surest(faces: list[Face], most: int) -> tuple[Face, ...]:
    """At most so many faces, those that the detector is surest of, in their order."""
    kept = sorted(range(len(faces)), key=lambda i: -faces[i].score)[:most]
    return tuple(faces[i] for i in sorted(kept))


def failed(name: str, recognizer: Recognizer, error: str) -> Frame:
    """The frame of a picture that cannot be read."""
    return Frame(name, 0, None, 0, 0, recognizer.detector.name, (), error, recognizer.prior)


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled, and leaves the queue, if the client disconnects."""
    job = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({job, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            raise Problem(
                "broken-off", "got a disconnect; expected the client to wait", "send it again"
            )
        return job.result()
    finally:
        await end(job, gone)


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait until they have ended, however they end."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # or asyncio would log that it was never retrieved


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
