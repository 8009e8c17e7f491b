"""Picture files of any kind -> gray 48 x 48, as FER2013's are.

Colour becomes gray with the weights of ITU-R BT.601; other sizes are resized whole, by area averaging
where they shrink and bilinearly where they grow. What was done to a picture comes back with it, so that
the reader can say it aloud.
"""

from __future__ import annotations

import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien.data.dataset import LEAVE_OUT, SIDE
from mien.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 50_000_000
BACKGROUND = 128  # mid-gray behind transparent pixels
_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".jfif"))
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_EXIF_ORIENTATION = 0x0112


@dataclass
class Gray:
    """One picture: pixels uint8 (48, 48), its own (width, height), and the names of what was done to it."""

    pixels: np.ndarray
    size: tuple[int, int]
    done: list[str] = field(default_factory=list)


def is_picture_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _SUFFIXES


def read_pictures(paths: Sequence[Path]) -> Iterator[Gray | DataError]:
    """Decode pictures in a pool of threads; a result for each, in order, errors as values."""
    workers = min(8, os.cpu_count() or 1)
    with _no_bomb_warnings(), ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), 4096):  # so that an early error ends the work early
            yield from pool.map(_attempt, paths[start : start + 4096])


def read_gray(path: Path) -> Gray:
    """Decode one picture.

    Raises:
        DataError: for an empty, corrupt or oversized file, or one that is no picture.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if path.stat().st_size == 0:
        raise _bad(path, "an empty file of 0 bytes")
    try:
        with Image.open(path, formats=_FORMATS) as opened:
            # Only the header has been read so far.
            if opened.width * opened.height > MOST_PIXELS:
                raise _too_large(path, opened.width * opened.height)
            done = []
            if getattr(opened, "n_frames", 1) > 1:
                done.append("frames")
            opened.load()
            image: Image.Image = opened
            if opened.getexif().get(_EXIF_ORIENTATION, 1) not in (0, 1):
                image = ImageOps.exif_transpose(opened)
                done.append("turned")
            gray = _gray(image, done, path)
    except Image.DecompressionBombError as error:  # Pillow's own limit, checked in the header too
        number = re.search(r"\d+", str(error))
        raise _too_large(path, int(number[0]) if number else MOST_PIXELS) from error
    except UnidentifiedImageError as error:
        raise _bad(path, "a file that is no picture") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error, zlib.error) as error:
        raise _bad(path, f"a corrupt picture ({error})") from error
    height, width = gray.shape
    if (height, width) != (SIDE, SIDE):
        gray = _resize(gray)
        done.append("resized")
        if height != width:
            done.append("stretched")
    return Gray(gray, (width, height), done)


def notes_about(pictures: Sequence[Gray]) -> list[str]:
    """Sentences with counts about what was done to the pictures."""
    count = {kind: 0 for kind in ("colour", "16-bit", "alpha", "turned", "frames", "resized", "stretched")}
    for picture in pictures:
        for kind in picture.done:
            count[kind] += 1
    resized = {picture.size for picture in pictures if "resized" in picture.done}
    sizes = sorted(resized, key=lambda size: size[0] * size[1])
    span = " to ".join(f"{width} x {height}" for width, height in dict.fromkeys((*sizes[:1], *sizes[-1:])))
    texts = {
        "colour": "in colour turned to gray (ITU-R BT.601)",
        "16-bit": "of 16 bits scaled to 8",
        "alpha": "with transparency laid on mid-gray",
        "turned": "turned upright as their EXIF data say",
        "frames": "with several frames, of which the first was read",
        "resized": f"resized to {SIDE} x {SIDE} (from {span}; averaged by area to shrink, bilinear to grow)",
        "stretched": "not square and resized whole, without cropping: their proportions changed",
    }
    total = len(pictures)
    return [f"Of {total:,} pictures {count[kind]:,} were {text}." for kind, text in texts.items() if count[kind]]


def _attempt(path: Path) -> Gray | DataError:
    try:
        return read_gray(path)
    except DataError as error:
        return error
    except OSError as error:
        return _bad(path, f"a file that cannot be read ({error.strerror or error})")


def _gray(image: Image, done: list[str], path: Path) -> np.ndarray:
    """Any mode of Pillow -> uint8 (H, W)."""
    import PIL.Image

    if image.mode.startswith("I"):  # 16 bits, which Pillow's own conversion would clip to white
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65_535:
            raise _bad(path, f"32-bit pixels from {values.min():,} to {values.max():,}")
        done.append("16-bit")
        return ((values * 255 + 32_767) // 65_535).astype(np.uint8)
    if image.mode == "F":
        raise _bad(path, "floating-point pixels")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            backdrop = PIL.Image.new("RGBA", image.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
            image = PIL.Image.alpha_composite(backdrop, image)
            done.append("alpha")
    if image.mode not in ("L", "1"):
        image = image.convert("RGB")
        red, green, blue = (band.tobytes() for band in image.split())
        if not red == green == blue:
            done.append("colour")
    return np.asarray(image.convert("L"))


def _resize(gray: np.ndarray) -> np.ndarray:
    """uint8 (H, W) -> (48, 48): averaging along an axis that shrinks, bilinear along one that grows."""
    import cv2

    height, width = gray.shape
    if height > SIDE or width > SIDE:
        gray = cv2.resize(gray, (min(width, SIDE), min(height, SIDE)), interpolation=cv2.INTER_AREA)
    if gray.shape != (SIDE, SIDE):
        gray = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(gray, np.uint8)


@contextmanager
def _no_bomb_warnings() -> Iterator[None]:
    """Pillow warns above 89 megapixels; `read_gray` refuses above 50, with an error that names the file."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _bad(path: Path, came: str) -> DataError:
    return DataError(
        path,
        came=came,
        expected="a whole picture: " + ", ".join(_FORMATS),
        mend=f"replace or remove the file, or {LEAVE_OUT}",
    )


def _too_large(path: Path, num_pixels: int) -> DataError:
    return DataError(
        path,
        came=f"a picture of {num_pixels / 1e6:,.0f} megapixels",
        expected=f"at most {MOST_PIXELS // 1_000_000} megapixels",
        mend=f"make it smaller, or {LEAVE_OUT}",
    )
