"""Estimate the time and cost of a job from a few of its files, measured on one core here."""

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

PICTURES, VIDEOS = 32, 3  # files that are measured, spread evenly over the list
FRAMES = 50  # measured frames of a video
CORE_HOUR = 0.04  # rough price of a core in a cloud machine rented by the hour, in dollars


@dataclass(frozen=True)
class Estimate:
    """The estimated time and cost of a job.

    Attributes:
        num_pictures, num_videos: Files to process.
        picture_s: Seconds of one core for a picture; None if none was measured.
        video_s: Seconds of one core for a video; None if none was measured.
        num_measured: Number of measured files.
        num_cores: Cores that would do the work.
        core_hours: Core hours of the whole job.
        hours: Hours until it is done.
        core_hour_price: Price of a core hour.
        price: Price of the whole job.
        price_per_million: Price of a million such files.
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
        """The estimate as text."""
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
    """Measure a few files and extrapolate.

    Args:
        work: The files of the job.
        recognizer: A recognizer with one thread.
        options: How videos are analysed.
        num_cores: Cores that would do the work.
        core_hour_price: Price of a core hour, in any currency.
    """
    pictures = [source for source in work.below if source not in work.videos]
    videos = [source for source in work.below if source in work.videos]
    sample = _spread(pictures, PICTURES)
    video_sample = _spread([video for video in videos if not storage.is_remote(video)], VIDEOS)
    if sample:
        _picture_s(sample[0], recognizer, work)  # the first one also pays for loading
    picture_s = _mean([_picture_s(picture, recognizer, work) for picture in sample])
    video_s = _mean([_video_s(video, recognizer, options) for video in video_sample])
    seconds = len(pictures) * (picture_s or 0.0) + len(videos) * (video_s or 0.0)
    core_hours, num_files = seconds / 3600, max(1, len(work.below))
    return Estimate(
        len(pictures),
        len(videos),
        picture_s,
        video_s,
        len(sample) + len(video_sample),
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
    """A number with three digits, or as a whole number."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _picture_s(source: str, recognizer: Recognizer, work: Work) -> float:
    began = time.process_time()
    try:
        data = storage.read(source, work.queries, Limits()) if storage.is_remote(source) else source
        frame_of(recognizer, data, source)
    except DataError:
        pass  # a picture that cannot be read takes hardly any time
    return time.process_time() - began


def _video_s(source: str, recognizer: Recognizer, options: Options) -> float:
    """Seconds for a whole video, extrapolated from its first frames; 0 if it cannot be read."""
    from mien.video.decoding import open_video
    from mien.video.recognize import watch

    try:
        with open_video(source) as (container, _):
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
