"""Test-time augmentation: classify slightly scaled, rotated and mirrored views of a face, and
average the results.

Outside the picture its edge is repeated, as in training.
"""

from __future__ import annotations

from functools import cache

import numpy as np

# (zoom, degrees clockwise); each also mirrored. docs/log.md says what these and others gain.
VIEWS = ((1.0, 0), (0.85, 0), (0.9, 0), (1.1, 0), (1.2, 0), (1.0, 8), (1.0, -8))
NUM_VIEWS = 2 * len(VIEWS)


def views(faces: np.ndarray, kinds: tuple[tuple[float, float], ...] = VIEWS) -> np.ndarray:
    """All views of the faces, then all mirrored; by default the first view is the face itself.

    Args:
        faces: uint8 (N, S, S, 1).
        kinds: (zoom, degrees clockwise) of each view.

    Returns:
        float32 (2 * len(kinds), N, S, S, 1), 0..255, bilinear.
    """
    side = faces.shape[1]
    places, shares = _samplers(kinds, side)
    pixels = faces.reshape(len(faces), side * side).T.astype(np.float32)
    seen = pixels[places[:, 0]] * shares[:, 0]
    for corner in range(1, 4):
        seen += pixels[places[:, corner]] * shares[:, corner]
    return np.asarray(np.moveaxis(seen, 2, 1), np.float32).reshape(
        2 * len(kinds), len(faces), side, side, 1
    )


@cache
def _samplers(kinds: tuple[tuple[float, float], ...], side: int) -> tuple[np.ndarray, np.ndarray]:
    """For each view V the four source pixels of each pixel, int (V, 4, S * S), and their weights
    (V, 4, S * S, 1)."""
    middle = (side - 1) / 2
    y, x = (np.indices((side, side)).reshape(2, -1) - middle).astype(np.float32)
    places, shares = [], []
    for mirrored in (1, -1):
        for zoom, degrees in kinds:
            cosine, sine = np.cos(np.radians(degrees)) / zoom, np.sin(np.radians(degrees)) / zoom
            right, down = cosine * x + sine * y, cosine * y - sine * x
            columns, rows = (np.clip(at + middle, 0, side - 1) for at in (mirrored * right, down))
            left, top = (np.minimum(at.astype(int), side - 2) for at in (columns, rows))
            across, along = columns - left, rows - top
            first = top * side + left
            places.append([first, first + 1, first + side, first + side + 1])
            shares.append(
                [
                    (1 - along) * (1 - across),
                    (1 - along) * across,
                    along * (1 - across),
                    along * across,
                ]
            )
    return np.array(places), np.array(shares, np.float32)[..., None]
