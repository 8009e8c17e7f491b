"""Picture files of any kind -> gray squares, as FER2013's are.

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
from typing import TYPE_CHECKING

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.crop import Found, find_face, thumbnail
from mien.data.dataset import LEAVE_OUT
from mien.errors import DataError
from mien.vision.image import Picture, decode
from mien.vision.preprocess import gray, resized
from mien.vision.reading import Limits

if TYPE_CHECKING:
    from mien.vision.detect import Detector

LIMITS = Limits(max_bytes=1_000_000_000, max_pixels=50_000_000, longest_side=50_000_000)
_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".jfif")
)


@dataclass
class Gray:
    """One picture.

    Attributes:
        pixels: uint8 (S, S); None where no face was found in it.
        size: Its own width and height.
        done: The names of what was done to it.
        found: The face that was cut out; None where there is none, or none was looked for.
        thumbnail: uint8 (T, T, 1), of a photograph with no face or several.
    """

    pixels: np.ndarray | None
    size: tuple[int, int]
    done: list[str] = field(default_factory=list)
    found: Found | None = None
    thumbnail: np.ndarray | None = None


def is_picture_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _SUFFIXES


def read_pictures(
    paths: Sequence[Path], *, side: int = FACE_SIDE, detector: Detector | None = None
) -> Iterator[Gray | DataError]:
    """Decode pictures in a pool of threads; a result for each, in order, errors as values.

    Args:
        paths: The files.
        side: Width and height of what comes back, in pixels.
        detector: What finds the face to be cut out; None takes pictures whole.
    """

    def attempt(path: Path) -> Gray | DataError:
        try:
            return read_gray(path, side=side, detector=detector)
        except DataError as error:
            return error

    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), 4096):  # so that an early error ends the work early
            yield from pool.map(attempt, paths[start : start + 4096])


def read_gray(path: Path, *, side: int = FACE_SIDE, detector: Detector | None = None) -> Gray:
    """Decode one picture; arguments as for `read_pictures`.

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
    if detector is not None:
        return _cut(picture, done, side, detector)
    pixels = picture.pixels[:, :, 0].copy()
    if (picture.pixels[:, :, :2] != picture.pixels[:, :, 1:]).any():
        pixels = gray(picture.pixels)
        done.append("colour")
    height, width = pixels.shape
    if (height, width) != (side, side):
        pixels = resized(pixels, side)
        done.append("resized")
        if height != width:
            done.append("stretched")
    return Gray(pixels, (width, height), done)


def _cut(picture: Picture, done: list[str], side: int, detector: Detector) -> Gray:
    """The largest face of a photograph."""
    image = picture.pixels
    size = (image.shape[1], image.shape[0])
    if (image[:, :, :2] != image[:, :, 1:]).any():
        done.append("colour")
    found = find_face(image, detector, side)
    if found is None:
        return Gray(None, size, done, None, thumbnail(image, None))
    odd = thumbnail(image, found) if found.num_faces > 1 else None
    return Gray(found.pixels, size, done, found, odd)


def notes_about(pictures: Sequence[Gray], side: int = FACE_SIDE) -> list[str]:
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
        "resized": f"resized to {side} x {side} (from {span}; averaged by area to shrink, bilinear to grow)",
        "stretched": "not square and resized whole, without cropping: their proportions changed",
    }
    total = len(pictures)
    return [
        f"Of {total:,} pictures {count[kind]:,} were {text}."
        for kind, text in texts.items()
        if count[kind]
    ]
