"""Convert any mode of Pillow to upright RGB, strip by strip, without a second copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mien.vision.safety import bad_picture

if TYPE_CHECKING:
    from PIL.Image import Image

BACKGROUND = 128  # mid-gray behind transparent pixels
_STRIP_PIXELS = 1 << 20  # pixels converted at a time, so that conversions need little memory
# The member of Pillow's Transpose that undoes each EXIF orientation.
UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def upright_rgb(image: Image, orientation: int, steps: list[str], where: str) -> np.ndarray:
    """uint8 RGB (H, W, 3) of a picture, rotated upright, converted strip by strip.

    Args:
        image: Of any mode.
        orientation: As in EXIF, 1 to 8.
        steps: The names of the steps applied are appended (`16-bit`, `alpha`).
        where: The name of the picture, for errors.

    Raises:
        DataError: for floating-point pixels, or 32-bit pixels outside 0 to 65,535.
    """
    from PIL import Image

    width, height = image.size
    turn = Image.Transpose[UPRIGHT[orientation]] if orientation in UPRIGHT else None
    rgb = np.empty((width, height, 3) if orientation >= 5 else (height, width, 3), np.uint8)
    if image.mode == "F":
        raise bad_picture(where, "floating-point pixels", fix="save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        low, high = _extrema(image)
        if low < 0 or high > 65_535:
            raise bad_picture(
                where, f"32-bit pixels from {low:,} to {high:,}", fix="save it with 8 or 16 bits"
            )
        steps.append("16-bit")
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        part = image if rows >= height else image.crop((0, top, width, bottom))
        strip = _rgb_strip(part, steps)
        pixels = np.asarray(strip if turn is None else strip.transpose(turn))
        if orientation >= 5:  # rows have become columns
            backwards = orientation in (6, 7)
            rgb[:, slice(height - bottom, height - top) if backwards else slice(top, bottom)] = (
                pixels
            )
        else:
            backwards = orientation in (3, 4)
            rgb[slice(height - bottom, height - top) if backwards else slice(top, bottom)] = pixels
    return rgb


def _extrema(image: Image) -> tuple[int, int]:
    """Lowest and highest value of an integer picture; Pillow's `getextrema` lacks some modes."""
    rows = max(1, _STRIP_PIXELS // image.width)
    strips = [
        np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))
        for top in range(0, image.height, rows)
    ]
    return min(int(strip.min()) for strip in strips), max(int(strip.max()) for strip in strips)


def _rgb_strip(strip: Image, steps: list[str]) -> Image:
    """Any mode of Pillow but F -> RGB."""
    from PIL import Image

    if strip.mode.startswith("I"):  # Pillow's own conversion would clip it to white
        return Image.fromarray(eight_bits(np.asarray(strip))).convert("RGB")
    if strip.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in strip.info:
        strip = strip.convert("RGBA")
        alpha = strip.getchannel("A")
        if alpha.getextrema() != (255, 255):
            backdrop = Image.new("RGBA", strip.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
            strip = Image.alpha_composite(backdrop, strip)
            if "alpha" not in steps:
                steps.append("alpha")
    return strip if strip.mode == "RGB" else strip.convert("RGB")


def eight_bits(values: np.ndarray) -> np.ndarray:
    """uint8 from integers 0 to 65,535, scaled to 0..255 and rounded."""
    return ((values.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)
