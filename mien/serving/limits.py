"""What a request, a connection and the whole server may cost, each by name and unit."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from typing import Any

from mien.errors import UsageError
from mien.vision.image import Limits as PictureLimits


@dataclass(frozen=True)
class Limits:
    """The server's limits. All are enforced while reading or before computing, never after.

    Attributes:
        max_bytes: Of a request's body, and of one frame of a stream.
        max_pixels: Width times height of one picture.
        max_side_px: Longest side at which faces are looked for.
        max_faces: Faces answered for one picture, the best detected first.
        max_pictures: In one batch.
        max_streams: Live streams at a time.
        stream_fps: Frames a second analysed for one stream; more are dropped.
        queue: Pictures that may wait for a thread; further ones are refused with 503.
        threads: Threads that analyse pictures.
        max_connections: Open connections; further ones are refused.
        header_s, body_s: Within which a request's headers and body must have come.
        answer_s: Within which a picture must be answered, waiting included.
        shutdown_s: How long requests taken may go on after SIGTERM.
        rate: Requests a minute from one address; None: no limit.

    Raises:
        UsageError: for a limit that is not above 0.
    """

    max_bytes: int = 8 * 1024 * 1024
    max_pixels: int = 25_000_000
    max_side_px: int = 1280
    max_faces: int = 64
    max_pictures: int = 16
    max_streams: int = 4
    stream_fps: float = 10.0
    queue: int = 12
    threads: int = os.cpu_count() or 1
    max_connections: int = 256
    header_s: float = 5.0
    body_s: float = 10.0
    answer_s: float = 15.0
    shutdown_s: float = 10.0
    rate: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise UsageError(f"limit {field.name}: got {value}; expected a number above 0")

    @property
    def picture(self) -> PictureLimits:
        """The same for the decoder."""
        return PictureLimits(max_bytes=self.max_bytes, max_pixels=self.max_pixels)

    def to_dict(self) -> dict[str, Any]:
        """What `GET /v1/model` tells callers."""
        return asdict(self)
