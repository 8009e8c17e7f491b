"""Limits of a request, of a connection and of the whole server."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mien.errors import UsageError, meant
from mien.runtime import cores
from mien.vision.reading import Limits as PictureLimits


@dataclass(frozen=True)
class Limits:
    """The server's limits. All are enforced while reading or before computing, never after.

    Attributes:
        max_bytes: Bytes of one picture or of one frame of a stream.
        max_batch_bytes: Bytes of all pictures of one batch.
        max_pixels: Width times height of one picture.
        max_side_px: Longest side of the picture in which faces are searched.
        max_faces: Faces in the response for one picture, those with the best detection score.
        max_pictures: Pictures in one batch.
        max_streams: Simultaneous live streams.
        stream_fps: Frames per second analysed for one stream; if more come, the newest ones.
        stream_idle_s: Seconds without a message after which a stream is closed.
        queue: Places for pictures that wait for a thread; further ones get status 503.
        megapixels_a_place: Megapixels of one place: a larger picture takes several.
        threads: Threads that analyse pictures.
        max_connections: Open connections; further ones get status 503.
        header_s, body_s: Seconds for a request's headers, and then for its body.
        write_s: Seconds for which a client may leave a response unread.
        answer_s: Seconds until the response to a picture, including the wait for a thread.
        shutdown_s: Seconds for which open requests may continue after SIGTERM.
        requests_a_minute: Requests from one address; 0 means no limit.
        max_collected: Corrections in the folder of `--collect`.

    Raises:
        UsageError: if a limit is negative, infinite or NaN, or 0 where that makes no sense.
    """

    max_bytes: int = 8 * 1024 * 1024
    max_batch_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 25_000_000
    max_side_px: int = 1280
    max_faces: int = 64
    max_pictures: int = 16
    max_streams: int = 4
    stream_fps: float = 10.0
    stream_idle_s: float = 30.0
    queue: int = 12
    megapixels_a_place: int = 4
    threads: int = field(default_factory=cores)
    max_connections: int = 256
    header_s: float = 5.0
    body_s: float = 10.0
    write_s: float = 20.0
    answer_s: float = 15.0
    shutdown_s: float = 10.0
    requests_a_minute: int = 0
    max_collected: int = 20_000

    def __post_init__(self) -> None:
        for limit in fields(self):
            value, may_be_0 = getattr(self, limit.name), limit.name in _MAY_BE_0
            if not math.isfinite(value):
                raise UsageError(
                    f"limit {limit.name}: got {value}; expected a finite number. Fix: give a large "
                    "one instead"
                )
            if value < 0 or (value == 0 and not may_be_0):
                raise UsageError(
                    f"limit {limit.name}: got {value}; expected a number "
                    f"{'of 0 or more' if may_be_0 else 'above 0'}. Fix: give a larger one"
                )

    @property
    def picture(self) -> PictureLimits:
        """The limits of the decoder."""
        return PictureLimits(max_bytes=self.max_bytes, max_pixels=self.max_pixels)

    def to_dict(self) -> dict[str, Any]:
        """The limits by name, as in `GET /v1/model`."""
        return asdict(self)


_MAY_BE_0 = ("queue", "requests_a_minute", "max_streams")


def parse_limits(texts: Iterable[str]) -> Limits:
    """Parse texts such as `max_side_px=640`.

    Raises:
        UsageError: for an unknown name or a value that is not a number.

    >>> parse_limits(["queue=20"]).queue
    20
    """
    kinds = {limit.name: float if limit.type == "float" else int for limit in fields(Limits)}
    values: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in kinds:
            raise UsageError(
                f"--limit: got {text!r}; expected NAME=NUMBER. Fix: "
                + meant(name, kinds, f"use one of the names {', '.join(kinds)}")
            )
        try:
            values[name] = kinds[name](value)
        except ValueError:
            raise UsageError(
                f"--limit {name}: got {value!r}; expected a number"
                + (" without a fraction" if kinds[name] is int else "")
                + f". Fix: write one such as {name}=10"
            ) from None
    return Limits(**values)
