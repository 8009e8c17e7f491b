"""Picture files of any kind -> gray 48 x 48, as FER2013's are.

Colour becomes gray with the weights of ITU-R BT.601; other sizes are resized whole, by area
averaging where they shrink and bilinearly where they grow. What was done to a picture comes back
with it, so that the reader can say it aloud.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.dataset import LEAVE_OUT
from mien.errors import DataError
from mien.vision.image import Limits, decode
from mien.vision.preprocess import gray, resized

LIMITS = Limits(max_bytes=1_000_000_000, max_pixels=50_000_000, longest_side=50_000_000)
_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".jfif")
)


@dataclass
class Gray:
    """One picture: pixels uint8 (48, 48), its own (width, height), and the names of what was done
    to it.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    done: list[str] = field(default_factory=list)


def is_picture_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _SUFFIXES


def read_pictures(paths: Sequence[Path]) -> Iterator[Gray | DataError]:
    """Decode pictures in a pool of threads; a result for each, in order, errors as values."""
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), 4096):  # so that an early error ends the work early
            yield from pool.map(_attempt, paths[start : start + 4096])


def read_gray(path: Path) -> Gray:
    """Decode one picture.

    Raises:
        DataError: for an empty, corrupt or oversized file, or one that is no picture.
    """
    try:
        picture = decode(path, limits=LIMITS)
    except DataError as error:
        raise DataError(
            path, came=error.came, expected=error.expected, mend=f"{error.mend}, or {LEAVE_OUT}"
        ) from error
    done = list(picture.done)
    pixels = picture.pixels[:, :, 0].copy()
    if (picture.pixels[:, :, :2] != picture.pixels[:, :, 1:]).any():
        pixels = gray(picture.pixels)
        done.append("colour")
    height, width = pixels.shape
    if (height, width) != (FACE_SIDE, FACE_SIDE):
        pixels = resized(pixels)
        done.append("resized")
        if height != width:
            done.append("stretched")
    return Gray(pixels, (width, height), done)


def notes_about(pictures: Sequence[Gray]) -> list[str]:
    """Sentences with counts about what was done to the pictures."""
    count = {
        kind: 0
        for kind in ("colour", "16-bit", "alpha", "turned", "frames", "resized", "stretched")
    }
    for picture in pictures:
        for kind in picture.done:
            count[kind] += 1
    found = {picture.size for picture in pictures if "resized" in picture.done}
    sizes = sorted(found, key=lambda size: size[0] * size[1])
    span = " to ".join(
        f"{width} x {height}" for width, height in dict.fromkeys((*sizes[:1], *sizes[-1:]))
    )
    texts = {
        "colour": "in colour turned to gray (ITU-R BT.601)",
        "16-bit": "of 16 bits scaled to 8",
        "alpha": "with transparency laid on mid-gray",
        "turned": "turned upright as their EXIF data say",
        "frames": "with several frames, of which the first was read",
        "resized": f"resized to {FACE_SIDE} x {FACE_SIDE} (from {span}; averaged by area to shrink, bilinear to grow)",
        "stretched": "not square and resized whole, without cropping: their proportions changed",
    }
    total = len(pictures)
    return [
        f"Of {total:,} pictures {count[kind]:,} were {text}."
        for kind, text in texts.items()
        if count[kind]
    ]


def _attempt(path: Path) -> Gray | DataError:
    try:
        return read_gray(path)
    except DataError as error:
        return error
