"""Fill areas with a colour and a pattern, so that colour alone never carries meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mien.errors import check_word
from mien.labels import PATTERNS

if TYPE_CHECKING:
    from PIL.Image import Image

STEP = 8  # pixels from one line of a pattern to the next


def fill(image: Image, mask: Image, colour: str, pattern: str) -> None:
    """Paint an area of a picture.

    Args:
        image: Mode RGB, painted in place.
        mask: Mode L, of the same size; 255 in the area.
        colour: `#rrggbb`.
        pattern: One of `mien.labels.PATTERNS`; lines are lighter than the colour, or darker if
            it is light.

    Raises:
        UsageError: for another pattern.
    """
    from PIL import Image as Images

    box = mask.getbbox()
    if box is None:
        return
    left, top, right, bottom = box
    lines = _lines(pattern, np.arange(top, bottom)[:, None], np.arange(left, right)[None])
    base = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float64)
    other = base * 0.6 if base.mean() > 150 else base * 0.45 + 255 * 0.55
    pixels = np.where(lines[..., None], other, base).astype(np.uint8)
    image.paste(Images.fromarray(pixels), box, mask.crop(box))


def _lines(pattern: str, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """bool: the pixels of a pattern's lines, which start at the picture's corner, so that patterns
    of neighbouring areas join.
    """
    rising, falling = (x + y) % STEP < 2, (x - y) % STEP < 2
    level, upright = (y + 0 * x) % STEP < 2, (x + 0 * y) % STEP < 2
    masks: dict[str, np.ndarray] = {
        "plain": 0 * (x + y) > 0,
        "rising": rising,
        "falling": falling,
        "level": level,
        "upright": upright,
        "dots": (x % STEP < 3) & (y % STEP < 3),
        "crossed": rising | falling,
        "squares": level | upright,
    }
    check_word("pattern", pattern, PATTERNS)
    return masks[pattern]
