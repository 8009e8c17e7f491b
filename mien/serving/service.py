"""The service behind the routes: the recognizer and the threads in which it runs."""

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
from mien.vision.detect import MTCNN, WholeImage
from mien.vision.image import decode
from mien.vision.yunet import YuNet

T = TypeVar("T")
MODES = ("fast", "best")
_MOST_RECOGNIZERS = 32  # kept for the most recent settings


@dataclass(frozen=True)
class Settings:
    """How to analyse a picture.

    Attributes:
        faces: `find`, or `whole`: the picture is a face.
        mode: `fast` or `best`.
        max_side: Longest side in pixels at which faces are searched; 0: the server's.
        prior: The class prior: a name, or weights such as `happy=3,neutral=5`; "": the server's.
    """

    faces: str = "find"
    mode: str = "fast"
    max_side: int = 0
    prior: str = ""


class Service:
    """What the routes need: recognition in threads, metrics and collected corrections.

    Args:
        recognizer: The recognizer; its detector searches at `limits.max_side_px`.
        limits: Limits of requests.
        collection: Stores corrections; None means that none are accepted.
    """

    def __init__(
        self, recognizer: Recognizer, limits: Limits, collection: Collection | None = None
    ) -> None:
        self.recognizer = recognizer
        self._recognizers: OrderedDict[Settings, Recognizer] = OrderedDict()
        self.limits = limits
        self.collection = collection
        self.metrics = Metrics()
        self.pool = Pool(limits.threads, limits.queue, limits.answer_s)
        self.metrics.queue.set_function(lambda: self.pool.taken)
        self.is_ready = False
        self.num_streams = 0

    def recognizer_for(self, settings: Settings) -> Recognizer:
        """The recognizer with these settings; all of them share one session.

        Raises:
            Problem: if `max_side` is above the server's limit, or the prior cannot be used.
        """
        if settings.max_side > self.limits.max_side_px:
            raise Problem(
                "invalid-parameter",
                f"got max_side={settings.max_side}; expected at most {self.limits.max_side_px}",
                "give a smaller one; GET /v1/model lists the limits",
            )
        recognizer = self._recognizers.pop(settings, None)
        if recognizer is None:
            detector = self.recognizer.detector
            if settings.faces == "whole":
                detector = WholeImage()
            elif settings.max_side and isinstance(detector, (YuNet, MTCNN)):
                detector = detector.at(settings.max_side)
            try:
                recognizer = self.recognizer.with_settings(
                    mode=settings.mode, detector=detector, prior=settings.prior or None
                )
            except UsageError as error:
                raise problem_of(error) from error
        self._recognizers[settings] = recognizer
        while len(self._recognizers) > _MOST_RECOGNIZERS:
            self._recognizers.popitem(last=False)
        return recognizer

    async def frame(self, picture: bytes, settings: Settings) -> Frame:
        """The faces in one picture, computed in a thread.

        Raises:
            DataError: if it is not an undamaged picture.
            Problem: if the queue is full, or it takes too long.
        """
        cost = places(picture, self.limits)
        recognizer = self.recognizer_for(settings)
        return await self.pool.run(self.recognise, cost, False, picture, recognizer, "picture")

    async def batch(self, pictures: list[bytes], settings: Settings) -> list[Frame]:
        """A frame for each picture; one that cannot be read has an error and no faces.

        Raises:
            Problem: if the queue is full for the first one, or one takes too long.
        """
        recognizer, frames = self.recognizer_for(settings), []
        for number, picture in enumerate(pictures):
            name = f"picture-{number}"
            try:
                check_picture(picture, self.limits)
                cost = places(picture, self.limits)
                patient = number > 0
                frame = await self.pool.run(
                    self.recognise, cost, patient, picture, recognizer, name
                )
            except DataError as error:
                frame = failed(name, recognizer, str(error))
            except Problem as problem:
                if problem.status >= 500:
                    raise
                frame = failed(name, recognizer, f"{problem.detail}. Fix: {problem.hint}")
            frames.append(frame)
        return frames

    def recognise(self, picture: bytes, recognizer: Recognizer, name: str) -> Frame:
        """Decode a picture, find and classify its faces; runs in a thread of the pool."""
        decoded = decode(picture, limits=self.limits.picture)
        image = decoded.pixels
        faces = _best_detected(recognizer.faces_in(image), self.limits.max_faces)
        self.metrics.pictures.inc()
        self.metrics.faces.inc(len(faces))
        height, width = image.shape[:2]
        facts = name, 0, None, width, height, recognizer.detector.name
        return Frame(*facts, faces, note=decoded.note, prior=recognizer.prior)

    def warm(self) -> None:
        """Recognise once with each kind of settings, so that the first request is not slower."""
        import numpy as np

        for settings in (Settings(), Settings("whole"), Settings("whole", "best")):
            self.recognizer_for(settings).faces_in(np.full((480, 640, 3), 128, np.uint8))
        self.is_ready = True

    def effective(self, settings: Settings) -> dict[str, Any]:
        """The settings as every response names them, with the server's defaults filled in."""
        searches = settings.faces == "find" and not isinstance(self.recognizer.detector, WholeImage)
        side = settings.max_side or self.limits.max_side_px
        return {"mode": settings.mode, "max_side": side if searches else None}

    def model(self) -> dict[str, Any]:
        """The body of `GET /v1/model`."""
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
        """Whether corrections are collected, their number by label, and the command to train."""
        if self.collection is None:
            return {"on": False, "labels": [], "counts": {}, "command": ""}
        return {
            "on": True,
            "labels": list(self.collection.labels),
            "counts": self.collection.counts(),
            "command": f"mien train {shlex.quote(str(self.collection.folder))} --init mien",
        }

    def close(self) -> None:
        """Stop the threads after their current jobs, and free the network."""
        self.pool.close()
        self.recognizer.close()


def _best_detected(faces: list[Face], most: int) -> tuple[Face, ...]:
    """At most `most` faces, those with the best detection score, in their original order."""
    kept = sorted(range(len(faces)), key=lambda i: -faces[i].score)[:most]
    return tuple(faces[i] for i in sorted(kept))


def failed(name: str, recognizer: Recognizer, error: str) -> Frame:
    """The frame of a picture that cannot be read."""
    return Frame(name, 0, None, 0, 0, recognizer.detector.name, (), error, recognizer.prior)


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; if the client disconnects, it is cancelled and leaves the queue.

    Raises:
        Problem: if the client disconnects.
    """
    job = asyncio.ensure_future(work)
    disconnect = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({job, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            raise Problem(
                "broken-off", "got a disconnect; expected the client to wait", "send it again"
            )
        return job.result()
    finally:
        await end(job, disconnect)


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait until they have ended; their errors are ignored."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # otherwise asyncio logs that it was never retrieved


async def _disconnect(request: Request) -> None:
    """Wait until the client disconnects."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
