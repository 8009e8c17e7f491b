"""Pixels that are no whole numbers: fractions from 0 to 1, or 0 to 255 with something behind the
point, as they are after resampling.

Which of the two is told by the values of all rows of a file, never by those of one picture: a row
of nothing but 0 and 1 is scaled where other rows hold fractions up to 1.
"""

from __future__ import annotations

import numpy as np

WHOLE, SCALED, ROUNDED = range(3)


def to_bytes(values: np.ndarray) -> tuple[np.ndarray, int] | None:
    """uint8 of the same shape and what was done; None for values that are no pixels."""
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


def settle(images: list[np.ndarray], done: list[int]) -> tuple[list[int], list[str]]:
    """Make all pictures of one file alike, in place.

    Args:
        images: uint8, one a picture.
        done: What `to_bytes` said of each.

    Returns:
        Positions of the pictures that contradict the others, and notes.
    """
    if SCALED not in done:
        return [], ["Fractions among the pixels were rounded."] if ROUNDED in done else []
    odd = []
    for row, (image, kind) in enumerate(zip(images, done, strict=True)):
        if kind == ROUNDED or (kind == WHOLE and image.max(initial=0) > 1):
            odd.append(row)
        elif kind == WHOLE:
            images[row] = image * np.uint8(255)
    return odd, ["Pixels are fractions from 0 to 1, scaled to 0..255."]
