"""Views of a face for the careful answer: moved, scaled and mirrored a little, classified each, and averaged.

Each view samples the face at other places, rows and columns by themselves, so that a view is two products with small
matrices. What comes from outside the picture repeats its edge, as in training.
"""

from __future__ import annotations

from functools import cache

import numpy as np

SIDE = 48
# (zoom, right, down) in pixels; each also mirrored. docs/results.md says what they gain.
VIEWS = ((1.0, 0, 0), (1.0, 2, 0), (1.0, -2, 0), (1.0, 0, 2), (1.0, 0, -2), (0.9, 0, 0), (1.1, 0, 0))
NUM_VIEWS = 2 * len(VIEWS)


def views(faces: np.ndarray) -> np.ndarray:
    """The faces as they are, then each other view of all of them.

    Args:
        faces: uint8 (N, 48, 48, 1).

    Returns:
        float32 (14, N, 48, 48, 1), 0..255, bilinear.
    """
    pixels = faces[..., 0].astype(np.float32)
    rows, columns = _samplers()
    seen = np.empty((NUM_VIEWS, *pixels.shape, 1), np.float32)
    for v in range(NUM_VIEWS):
        np.matmul(rows[v] @ pixels, columns[v], out=seen[v, ..., 0])
    return seen


@cache
def _samplers() -> tuple[np.ndarray, np.ndarray]:
    """float32 (14, 48, 48) twice: what multiplies a picture from the left, and from the right."""
    rows, columns = [], []
    for flip in (False, True):
        for zoom, right, down in VIEWS:
            rows.append(_sampler(zoom, down))
            column = _sampler(zoom, right)
            columns.append((column[::-1] if flip else column).T)
    return np.stack(rows), np.stack(columns)


def _sampler(zoom: float, shift: float) -> np.ndarray:
    """float32 (48, 48): row i holds the weights of the pixels that output pixel i is made of."""
    middle = (SIDE - 1) / 2
    places = np.clip((np.arange(SIDE) - middle - shift) / zoom + middle, 0, SIDE - 1)
    low = np.minimum(places.astype(int), SIDE - 2)
    share = places - low
    sampler = np.zeros((SIDE, SIDE), np.float32)
    sampler[np.arange(SIDE), low] = 1 - share
    sampler[np.arange(SIDE), low + 1] += share
    return sampler
