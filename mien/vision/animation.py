"""Animations: GIF, WebP, PNG and AVIF with several frames, read one by one with their times."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Generator
from functools import lru_cache

import numpy as np

from mien.errors import DataError
from mien.vision.colour import upright_rgb
from mien.vision.image import DAMAGE, DEFAULT_LIMITS, check_size, opener
from mien.vision.reading import Limits, bytes_of
from mien.vision.safety import bad_picture, gif_has_frames, inspect

_SUFFIXES = (".gif", ".webp", ".png", ".apng", ".avif", ".avifs")
_HEAD_BYTES = 65_536  # a PNG declares before its pixels that it is animated
_MAX_FRAMES = 100_000
_MIN_DURATION_S, _DEFAULT_DURATION_S = 0.011, 0.1  # as browsers: 10 ms or less count as 100 ms


def is_animated(path: str | os.PathLike[str]) -> bool:
    """Whether a file is an animation, by its name and its first bytes."""
    text = os.fspath(path)
    if os.path.splitext(text)[1].lower() not in _SUFFIXES:
        return False
    try:
        status = os.stat(text)
        if not stat.S_ISREG(status.st_mode):  # reading a pipe without a writer would wait for ever
            return False
        return _has_animation(text, status.st_mtime_ns, status.st_size)
    except (OSError, ValueError, DataError):  # reading it as a picture says what is wrong
        return False


@lru_cache(maxsize=100_000)
def _has_animation(path: str, changed_ns: int, size: int) -> bool:
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
        if head[:4] == b"GIF8" and size <= DEFAULT_LIMITS.max_bytes:
            return gif_has_frames(head + file.read(), path)
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return b"acTL" in head.partition(b"IDAT")[0]
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
        return bool(head[20] & 2)
    return head[4:12] == b"ftypavis"


def animation_frames(
    path: str, *, limits: Limits = DEFAULT_LIMITS
) -> Generator[tuple[float, np.ndarray], None, None]:
    """Time in seconds and pixels, RGB uint8 (H, W, 3), of each frame; one frame is in memory at a
    time.

    Raises:
        DataError: for a file that is damaged or too large, possibly after some frames.
    """
    where, data = bytes_of(path, limits)
    kind = inspect(data, where, max_scans=limits.max_scans).kind
    time_s = 0.0
    try:
        with opener(kind, where)(io.BytesIO(data)) as image:
            check_size(image.size, where, limits)
            for number in range(_MAX_FRAMES):
                try:
                    image.seek(number)
                except EOFError:
                    return
                image.load()
                duration_s = float(image.info.get("duration") or 0) / 1000
                yield time_s, upright_rgb(image, 1, [], where)
                time_s += duration_s if duration_s >= _MIN_DURATION_S else _DEFAULT_DURATION_S
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise bad_picture(where, f"a corrupt animation ({reason})") from error
