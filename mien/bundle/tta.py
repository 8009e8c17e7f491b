"""Test-time augmentation: classify scaled, rotated and mirrored views of a face, and average.

Outside the picture its edge is repeated, as in training.
"""

from __future__ import annotations

from functools import cache

import numpy as np

# (zoom, degrees clockwise); each is also mirrored. docs/log.md has what these and others gain.
VIEWS = ((1.0, 0), (0.85, 0), (0.9, 0), (1.1, 0), (1.2, 0), (1.0, 8), (1.0, -8))
NUM_VIEWS = 2 * len(VIEWS)


def views(faces: np.ndarray, kinds: tuple[tuple[float, float], ...] = VIEWS) -> np.ndarray:
    """All views of the faces, then the mirrored ones; the first is by default the face itself.

    Args:
        faces: uint8 (N, S, S, 1).
        kinds: (zoom, degrees clockwise) of each view.

    Returns:
        float32 (2 * len(kinds), N, S, S, 1) in [0, 255], interpolated bilinearly.
    """
    side = faces.shape[1]
    sources, weights = _samplers(kinds, side)
    pixels = faces.reshape(len(faces), side * side).T.astype(np.float32)
    pixels_of_views = pixels[sources[:, 0]] * weights[:, 0]
    for corner in range(1, 4):
        pixels_of_views += pixels[sources[:, corner]] * weights[:, corner]
    return np.asarray(np.moveaxis(pixels_of_views, 2, 1), np.float32).reshape(
        2 * len(kinds), len(faces), side, side, 1
    )


@cache
def _samplers(kinds: tuple[tuple[float, float], ...], side: int) -> tuple[np.ndarray, np.ndarray]:
    """The four source pixels of each pixel in each of V views, int (V, 4, S * S), and their
    weights, float32 (V, 4, S * S, 1).
    """
    centre = (side - 1) / 2
    y, x = (np.indices((side, side)).reshape(2, -1) - centre).astype(np.float32)
    sources, weights = [], []
    for mirrored in (1, -1):
        for zoom, degrees in kinds:
            cosine, sine = np.cos(np.radians(degrees)) / zoom, np.sin(np.radians(degrees)) / zoom
            x_source, y_source = cosine * x + sine * y, cosine * y - sine * x
            columns, rows = (
                np.clip(values + centre, 0, side - 1) for values in (mirrored * x_source, y_source)
            )
            left, top = (np.minimum(values.astype(int), side - 2) for values in (columns, rows))
            dx, dy = columns - left, rows - top
            corner = top * side + left
            sources.append([corner, corner + 1, corner + side, corner + side + 1])
            weights.append(
                [
                    (1 - dy) * (1 - dx),
                    (1 - dy) * dx,
                    dy * (1 - dx),
                    dy * dx,
                ]
            )
    return np.array(sources), np.array(weights, np.float32)[..., None]
