"""What a job would take: measured on a few of its own files, here, on one core."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from mien.errors import DataError
from mien.predict import Options
from mien.ray import storage
from mien.ray.job import Work, span
from mien.ray.setup import frame_of
from mien.recognizer import Recognizer
from mien.vision.reading import Limits

PICTURES, VIDEOS = 32, 3  # that are looked at, from all over the list
FRAMES = 50  # of a video
CORE_HOUR = 0.04  # what clouds ask for a core of a machine rented by the hour, about


@dataclass(frozen=True)
class Estimate:
    """What a job would take.

    Attributes:
        num_pictures, num_videos: Files to answer.
        picture_s: Seconds of one core for a picture; None where none was looked at.
        video_s: Seconds of one core for a video.
        num_measured: Files that were looked at for it.
        num_cores: Cores that the work would be done on.
        core_hours: Of the whole job.
        hours: Until it is done.
        core_hour_price: What a core hour costs.
        price: Of the whole job.
        price_per_million: Of a million such files.
    """

    num_pictures: int
    num_videos: int
    picture_s: float | None
    video_s: float | None
    num_measured: int
    num_cores: int
    core_hours: float
    hours: float
    core_hour_price: float
    price: float
    price_per_million: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentences(self) -> list[str]:
        """For a person."""
        each = [
            f"{seconds:.3f} s a {kind}"
            for kind, seconds in (("picture", self.picture_s), ("video", self.video_s))
            if seconds is not None
        ]
        return [
            f"{_several(self.num_pictures, 'picture')}, {_several(self.num_videos, 'video')}",
            f"measured here on {self.num_measured} of them, one core: " + ", ".join(each),
            f"{_figure(self.core_hours)} core hours: about {span(self.hours * 3600)} on "
            f"{_several(self.num_cores, 'core')} like this one",
            f"{_figure(self.price)} at {self.core_hour_price:g} a core hour; "
            f"{_figure(self.price_per_million)} for a million such files",
        ]


def estimate(
    work: Work,
    recognizer: Recognizer,
    options: Options,
    *,
    num_cores: int,
    core_hour_price: float,
) -> Estimate:
    """Look at a few files, and reckon from them.

    Args:
        work: What is to be answered.
        recognizer: With one thread.
        options: How videos are looked at.
        num_cores: Cores that would do the work.
        core_hour_price: What one costs an hour, in any currency.
    """
    pictures = [one for one in work.below if one not in work.videos]
    videos = [one for one in work.below if one in work.videos]
    some = _spread(pictures, PICTURES)
    few = _spread([one for one in videos if not storage.is_remote(one)], VIDEOS)
    if some:
        _picture_s(some[0], recognizer, work)  # what is slow only once is not counted
    picture_s = _mean([_picture_s(one, recognizer, work) for one in some])
    video_s = _mean([_video_s(one, recognizer, options) for one in few])
    seconds = len(pictures) * (picture_s or 0.0) + len(videos) * (video_s or 0.0)
    core_hours, num_files = seconds / 3600, max(1, len(work.below))
    return Estimate(
        len(pictures),
        len(videos),
        picture_s,
        video_s,
        len(some) + len(few),
        num_cores,
        core_hours,
        core_hours / num_cores,
        core_hour_price,
        core_hours * core_hour_price,
        core_hours * core_hour_price * 1e6 / num_files,
    )


def _several(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _figure(value: float) -> str:
    """Three digits, or a whole number."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _picture_s(source: str, recognizer: Recognizer, work: Work) -> float:
    began = time.process_time()
    try:
        data = storage.read(source, work.queries, Limits()) if storage.is_remote(source) else source
        frame_of(recognizer, data, source)
    except DataError:
        pass  # takes a row and hardly any time
    return time.process_time() - began


def _video_s(source: str, recognizer: Recognizer, options: Options) -> float:
    """Seconds for all of a video, reckoned from its first frames; 0 if it cannot be read."""
    from mien.video.decoding import opened
    from mien.video.recognize import watch

    try:
        with opened(source) as (container, _):
            length_s = container.duration / 1e6 if container.duration else None
        began, time_s = time.process_time(), 0.0
        with closing(watch(source, recognizer, every=options.every)) as frames:
            for _, frame in zip(range(FRAMES), frames, strict=False):
                time_s = frame.time_s or 0.0
    except DataError:
        return 0.0
    spent = time.process_time() - began
    if length_s is None or time_s <= 0:
        return spent
    return spent * max(1.0, length_s / time_s)


def _spread(sources: Sequence[str], most: int) -> list[str]:
    num = min(most, len(sources))
    return [sources[i * len(sources) // num] for i in range(num)]


def _mean(seconds: Sequence[float]) -> float | None:
    return sum(seconds) / len(seconds) if seconds else None
