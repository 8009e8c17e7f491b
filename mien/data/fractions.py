"""Pixels that are not whole numbers: fractions from 0 to 1, or values from 0 to 255 with decimals,
as resampling leaves them.

All rows of a file together decide which of the two they are: a row of zeros and ones is scaled if
other rows hold fractions up to 1.
"""

from __future__ import annotations

import numpy as np

WHOLE, SCALED, ROUNDED = range(3)


def to_bytes(values: np.ndarray) -> tuple[np.ndarray, int] | None:
    """uint8 of the same shape, and WHOLE, SCALED (fractions, times 255) or ROUNDED; None for values
    that cannot be pixels.
    """
    if not values.size or not np.isfinite(values).all():
        return None
    if values.min() < 0 or values.max() > 255:
        return None
    whole = np.rint(values)
    if np.array_equal(whole, values):
        return whole.astype(np.uint8), WHOLE
    if values.max() <= 1:
        return np.rint(values * 255).astype(np.uint8), SCALED
    return whole.astype(np.uint8), ROUNDED


def unify_scale(images: list[np.ndarray], kinds: list[int]) -> tuple[list[int], list[str]]:
    """Give all pictures of a file the same scale, in place.

    Args:
        images: A uint8 array for each picture.
        kinds: The kind of each, from `to_bytes`.

    Returns:
        Positions of the pictures that contradict the others, and notes.
    """
    if SCALED not in kinds:
        return [], ["Fractions among the pixels were rounded."] if ROUNDED in kinds else []
    odd = []
    for row, (image, kind) in enumerate(zip(images, kinds, strict=True)):
        if kind == ROUNDED or (kind == WHOLE and image.max(initial=0) > 1):
            odd.append(row)
        elif kind == WHOLE:
            images[row] = image * np.uint8(255)
    return odd, ["Pixels are fractions from 0 to 1, scaled to 0..255."]
