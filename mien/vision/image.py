"""Decode pictures of any format to upright RGB uint8 (H, W, 3); the only module that does.

A picture may come from anyone, so its size in bytes, its width and height, the scans of a JPEG and
the chunks and compressed texts of a PNG are checked before a pixel is decoded. A picture needs
memory for its pixels in Pillow (4 bytes each) and for the result (3 bytes each).

- Transparent pixels become mid-gray (128), since the background of a cut-out face is best neither
  black nor white.
- 16-bit gray (and arrays of uint16) is scaled from 0..65535 to 0..255, not clipped; 16-bit colour
  likewise.
- Colour profiles (ICC) are ignored; CMYK becomes RGB by Pillow's formula.
- The first of several frames, pages or pictures (MPO) is read.
- EXIF orientation is applied. Unreadable EXIF data is ignored.
- Bytes after the end of a JPEG or PNG are ignored, since telephones append short films to
  photographs. If they are a document of another kind (zip, PDF, HTML), the file is refused.

Formats: JPEG, PNG, WebP, BMP, TIFF, GIF, PGM/PPM, AVIF if Pillow was built with it, and HEIC with
the extra [heif]. Nothing global in Pillow is changed, so any thread may call.
"""

from __future__ import annotations

import importlib
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from mien.errors import DataError
from mien.vision.colour import UPRIGHT, eight_bits, upright_rgb
from mien.vision.reading import Limits, bytes_of
from mien.vision.safety import Container, bad_picture, inspect
from mien.vision.tags import ORIENTATION

if TYPE_CHECKING:
    from PIL.Image import Image

Source = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | np.ndarray
)  # or a PIL.Image.Image


_MAX_COUNTED_BYTES = 4 << 20  # frames of larger files are not counted
# Pillow's modules, and the classes in them.
_MODULES = {
    "JPEG": "Jpeg",
    "PNG": "Png",
    "WEBP": "WebP",
    "BMP": "Bmp",
    "GIF": "Gif",
    "TIFF": "Tiff",
    "PPM": "Ppm",
    "AVIF": "Avif",
}
# Decoders are C code behind Python parsers that trust their input; damaged files have raised each
# of these.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,  # NotImplementedError and RecursionError among them
    struct.error,
    zlib.error,
    Warning,  # where the caller's filters turn Pillow's warnings into errors
)


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: RGB uint8 (H, W, 3), contiguous, upright.
        steps: The steps that were applied: any of `frames` (the first of several was read),
            `turned`, `16-bit`, `alpha`.
        num_frames: The number of frames or pages; None if there are several, not counted.
    """

    pixels: np.ndarray
    steps: tuple[str, ...] = ()
    num_frames: int | None = 1

    @property
    def note(self) -> str:
        """A note for the user on the frames that were not read, or ''."""
        if "frames" not in self.steps:
            return ""
        many = "several" if self.num_frames is None else f"{self.num_frames:,}"
        return f"first of {many} frames"


DEFAULT_LIMITS = Limits()


def load_image(source: Source | Image, *, limits: Limits = DEFAULT_LIMITS) -> np.ndarray:
    """Read a picture from a path, bytes, a binary file, an array or Pillow's Image.

    Args:
        source: A path; the bytes of a file; an open binary file (read from its position);
            an array: uint8 (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, uint16 of these
            shapes (0..65535 scaled to 0..255), or bool (False 0, True 255); or a PIL.Image.Image.
        limits: On bytes and pixels.

    Returns:
        RGB uint8 (H, W, 3), contiguous. A contiguous uint8 (H, W, 3) array is returned as it is,
        not copied.

    Raises:
        DataError: for a file that is missing, empty, cut off, corrupt, too large or not a picture,
            for an array of another shape or type, and for a source of another kind.

    >>> load_image(np.full((2, 3), 7, np.uint8)).shape
    (2, 3, 3)
    """
    return decode(source, limits=limits).pixels


def decode(source: Source | Image, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """As `load_image`, but with the steps that were applied and the number of frames."""
    if isinstance(source, np.ndarray):
        return _from_array(source, limits)
    from PIL import Image

    if isinstance(source, Image.Image):
        where = str(getattr(source, "filename", "") or "picture")
        return _decode_safely(where, lambda: _from_pillow(source, where, limits))
    where, data = bytes_of(source, limits)
    return _decode_safely(where, lambda: _from_bytes(data, where, limits))


def _from_bytes(data: bytes, where: str, limits: Limits) -> Picture:
    import io

    container = inspect(data, where, max_scans=limits.max_scans)
    with opener(container.kind, where)(io.BytesIO(container.data)) as image:
        return _from_pillow(image, where, limits, container)


def opener(kind: str, where: str) -> Callable[[BinaryIO], Image]:
    """Pillow's class that opens this format and no other.

    `Image.open` would warn about every picture over 89 megapixels, whatever our own limit, through
    the process-wide filters of `warnings`, which a thread cannot change for itself alone.
    """
    if kind == "HEIF":
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            raise bad_picture(
                where,
                "a HEIC picture, which needs the package pillow-heif",
                fix="install mien with the extra [heif] (in a checkout: pip install '.[heif]'), "
                "or save it as JPEG or PNG",
            ) from None
        heif: Callable[[BinaryIO], Image] = HeifImageFile
        return heif
    module = importlib.import_module(f"PIL.{_MODULES[kind]}ImagePlugin")
    if kind == "AVIF" and not module.SUPPORTED:
        raise bad_picture(
            where,
            "an AVIF picture, which this build of Pillow cannot read",
            fix="save it as JPEG or PNG",
        )
    opener: Callable[[BinaryIO], Image] = getattr(module, f"{_MODULES[kind]}ImageFile")
    return opener


def _decode_safely(where: str, work: Callable[[], Picture]) -> Picture:
    """Run a decoder and turn anything it raises into a DataError."""
    from PIL import Image

    try:
        return work()
    except DataError:
        raise
    except MemoryError as error:
        raise bad_picture(
            where, "a picture that does not fit into memory", fix="make it smaller"
        ) from error
    except Image.DecompressionBombError as error:
        raise bad_picture(
            where, "a picture with too many pixels for Pillow", fix="make it smaller"
        ) from error
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise bad_picture(where, f"a corrupt picture ({reason})") from error


def _from_pillow(
    image: Image, where: str, limits: Limits, container: Container | None = None
) -> Picture:
    check_size(image.size, where, limits)
    frames = (
        getattr(image, "is_animated", False)
        if container is None or container.frames is None
        else container.frames
    )
    steps = ["frames"] if frames else []
    num_frames = _num_frames(image, container) if frames else 1
    image.load()
    check_size(image.size, where, limits)  # some formats give their true size only now
    orientation = (
        _exif_orientation(image)
        if container is None or container.orientation is None
        else container.orientation
    )
    if orientation in UPRIGHT:
        steps.append("turned")
    pixels = upright_rgb(image, orientation, steps, where)
    return Picture(pixels, tuple(steps), num_frames)


def _num_frames(image: Image, container: Container | None) -> int | None:
    """The number of frames; None if counting them would be slow."""
    if container is not None and container.num_frames > 1:
        return container.num_frames
    if container is not None and (
        container.kind == "PNG" or len(container.data) > _MAX_COUNTED_BYTES
    ):
        return None
    try:
        return int(getattr(image, "n_frames", 1))
    except DAMAGE:
        return None


def _exif_orientation(image: Image) -> int:
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except DAMAGE:
        return 1
    return value if isinstance(value, int) and value in UPRIGHT else 1


def _from_array(array: np.ndarray, limits: Limits) -> Picture:
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype not in (np.uint8, np.uint16, np.bool_) or not shaped or array.size == 0:
        raise DataError(
            "array",
            got=f"{array.dtype} {array.shape}",
            expected=(
                "uint8, uint16 or bool of shape (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA"
            ),
            fix="give array.tobytes() if it holds a file, as np.fromfile reads it"
            if array.ndim == 1
            else "convert it; for floating-point pixels only you know whether they reach 1 or 255",
        )
    check_size((array.shape[1], array.shape[0]), "array", limits)
    steps: list[str] = []
    if array.dtype == np.uint16:
        array = eight_bits(array)
        steps.append("16-bit")
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.ndim == 2:
        array = array[:, :, np.newaxis]
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    elif array.shape[2] == 4:
        from PIL import Image

        array = upright_rgb(Image.fromarray(np.ascontiguousarray(array), "RGBA"), 1, steps, "array")
    return Picture(np.ascontiguousarray(array), tuple(steps))


def check_size(size: tuple[int, int], where: str, limits: Limits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise bad_picture(where, f"a picture of {width:,} x {height:,} pixels")
    if max(size) > limits.longest_side:
        raise DataError(
            where,
            got=f"a picture of {width:,} x {height:,} pixels",
            expected=f"at most {limits.longest_side:,} pixels a side",
            fix="make it smaller",
        )
    if width * height > limits.max_pixels:
        raise DataError(
            where,
            got=f"a picture of {width * height / 1e6:,.0f} megapixels",
            expected=f"at most {limits.max_pixels / 1e6:,.0f} megapixels",
            fix="make it smaller",
        )
