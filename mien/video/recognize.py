"""The faces of a video: detected, tracked, smoothed over time and drawn."""

from __future__ import annotations

import math
import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import Protocol

import numpy as np

from mien.errors import UsageError
from mien.labels import LabelSet
from mien.results import Face, Frame
from mien.results.mappings import values_by_name
from mien.video.decoding import Tell
from mien.video.frames import VideoFrame, check_every, is_video, read_frames
from mien.video.glances import Glances
from mien.video.smoothing import Smoother
from mien.video.tracker import Tracker
from mien.vision import quality
from mien.vision.faces import entropy

__all__ = [
    "SMOOTH_S",
    "VideoFrame",
    "is_video",
    "parse_seconds",
    "read_frames",
    "watch",
]

SMOOTH_S = 0.3


class FaceFinder(Protocol):
    """What `watch` needs of a `mien.Recognizer`."""

    @property
    def labels(self) -> LabelSet: ...

    @property
    def detector(self) -> _HasName: ...

    @property
    def prior(self) -> str: ...

    @property
    def certain_from(self) -> float: ...

    def faces_in(self, image: np.ndarray) -> list[Face]: ...


class _HasName(Protocol):
    @property
    def name(self) -> str: ...


def watch(
    source: str | os.PathLike[str],
    recognizer: FaceFinder,
    *,
    every: float | None = None,
    smooth_s: float = SMOOTH_S,
    draw: str | os.PathLike[str] | None = None,
    tell: Tell | None = None,
) -> Generator[Frame, None, None]:
    """Recognise the faces of a video: a `Frame` for every analysed frame, with or without faces.

    Each face has a number (`Face.track`, see `mien.video.tracker`) and probabilities smoothed over
    time; `Face.raw` has those of the frame alone. Label, entropy and `uncertain` follow from the
    smoothed ones. Other heads are not smoothed.

    Args:
        source: A video file, `camera:0` (or `camera:/dev/video0`), or the address of a stream
            (rtsp://, http://, ...).
        recognizer: From `mien.load()`.
        every: Seconds between analysed frames: the first frame at or after each multiple is
            analysed; None analyses every frame.
        smooth_s: Time constant of the smoothing in seconds, 0 for none (see
            `mien.video.smoothing.Smoother`).
        draw: Path of a copy with the predictions drawn in (`.mp4`, `.mov` or `.mkv`): the analysed
            frames at their times, without sound.
        tell: Receives notes for the user, such as where a file ends early or how many frames could
            not be decoded.

    Raises:
        UsageError: at once, for options out of range.
        DataError: when iteration begins, for a file without a readable frame.
        MissingExtraError: when iteration begins, if PyAV is not installed.
    """
    check_every(every)
    tracker, smoother = Tracker(), Smoother(smooth_s)
    return _watch(os.fspath(source), recognizer, every, (tracker, smoother), draw, tell)


def _watch(
    source: str,
    recognizer: FaceFinder,
    every: float | None,
    tracking: tuple[Tracker, Smoother],
    draw: str | os.PathLike[str] | None,
    tell: Tell | None,
) -> Generator[Frame, None, None]:
    from mien.video.writer import VideoCopy
    from mien.vision.annotate import annotate

    labels, detector = recognizer.labels, recognizer.detector.name
    glances = Glances(recognizer)
    width = height = 0
    with (
        closing(read_frames(source, every=every, tell=tell)) as frames,
        closing(VideoCopy(draw)) as copy,
    ):
        for frame in frames:
            if frame.cut:
                tracking[0].cut()
                glances.cut()
            if frame.image is None:
                place = source, frame.index, frame.time_s, width, height, detector
                yield Frame(*place, (), frame.error, recognizer.prior, labels=labels.names)
                continue
            height, width = frame.image.shape[:2]
            untracked = glances.faces(frame.time_s, frame.image)
            faces = track_faces(frame.time_s, untracked, *tracking, recognizer.certain_from)
            if draw is not None:
                copy.write(frame.time_s, annotate(frame.image, faces, labels))
            place = source, frame.index, frame.time_s, width, height, detector
            yield Frame(*place, faces, prior=recognizer.prior, labels=labels.names)


def track_faces(
    time_s: float,
    faces: list[Face],
    tracker: Tracker,
    smoother: Smoother,
    certain_from: float,
) -> tuple[Face, ...]:
    """The faces of one frame, with track numbers and smoothed probabilities."""
    numbers = tracker.update(
        time_s, np.array([face.box for face in faces], np.float64).reshape(-1, 4)
    )
    tracked = []
    for face, number in zip(faces, numbers, strict=True):
        p = smoother.update(number, time_s, np.array([*face.probabilities.values()]))
        p = (p / p.sum()).astype(np.float32)
        best = int(p.argmax())
        reason = quality.doubt(float(p[best]), face.quality, certain_from, score=face.score)
        tracked.append(
            replace(
                face,
                track=number,
                label=face.labels[best],
                probabilities=values_by_name(face.labels, p),
                raw=face.probabilities,
                entropy=entropy(p),
                uncertain=bool(reason),
                reason=reason,
            )
        )
    return tuple(tracked)


def parse_seconds(text: str, option: str = "time") -> float:
    """`0.2s`, `200ms`, `0.2` or `1min` in seconds.

    Raises:
        UsageError: if it is no time, or not above 0.

    >>> parse_seconds("200ms")
    0.2
    """
    lowered = text.strip().lower()
    for unit, size in (("ms", 0.001), ("min", 60.0), ("s", 1.0), ("", 1.0)):
        if lowered.endswith(unit):
            try:
                value = float(lowered.removesuffix(unit)) * size
            except ValueError:
                continue
            if math.isfinite(value) and value > 0:
                return value
    raise UsageError(
        f"{option}: got {text!r}; expected a time above 0. Fix: write one such as 0.2s, 200ms or "
        "1min"
    )
