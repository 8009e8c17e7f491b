"""The canvas of drawn faces: many pictures at once, in the coordinates of each head.

Every shape is the region between two curves in the head's own coordinates (u to the right, v down,
in pixels of an upright face of medium size). Its edge is softened over one pixel, so no
supersampling is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.constants import FACE_SIDE

# What moves in a face, with its value at rest. Brows: up, inner ends up, arched, drawn together
# (pixels). Lids: upper opening (a factor), lower lid up, slope (pixels; + the outer end droops, -
# the inner end presses down). Mouth: width (a factor), opening, corners up, upper lip up (pixels),
# squareness (0 to 1), teeth shown, one corner up (pixels). Creases, from 0 (none) to 1 (deep): nose
# wrinkled, cheek folds, frown lines, forehead lines.
MOVES = {
    "brow_up": 0.0, "brow_inner": 0.0, "brow_arch": 0.0, "brow_in": 0.0,
    "lid": 1.0, "lower_lid": 0.0, "lid_slope": 0.0,
    "mouth_width": 1.0, "opening": 0.0, "corners": 0.0, "upper_lip": 0.0, "square": 0.0,
    "teeth": 0.0, "one_corner": 0.0,
    "wrinkle": 0.0, "folds": 0.0, "frown": 0.0, "forehead": 0.0,
}  # fmt: skip


@dataclass
class EyeSide:
    """Place of one eye and its brow: `sign` is -1 on the picture's left, 1 on its right."""

    sign: int
    x: np.ndarray
    width: np.ndarray


def elliptic_radius(
    x: np.ndarray, y: np.ndarray, width: float | np.ndarray, height: float | np.ndarray
) -> np.ndarray:
    """Distance from the centre of an ellipse, in units in which its edge has the distance 1."""
    x, y = x / width, y / height
    return np.asarray(np.sqrt(x * x + y * y))


class Canvas:
    """Faces painted together: their pixels, head coordinates and random values.

    Args:
        moves: float32 (N, 18), the movements in the order of `MOVES`.
        rng: Random values for everything else: the person, the pose, the light. They are drawn in
            a fixed order that does not depend on `moves`.
    """

    def __init__(self, moves: np.ndarray, rng: np.random.Generator) -> None:
        self._rng = rng
        self._num = len(moves)
        self.image = np.empty((self._num, FACE_SIDE, FACE_SIDE), np.float32)
        (
            self.brow_up, self.brow_inner, self.brow_arch, self.brow_in,
            self.lid, self.lower_lid, self.lid_slope,
            self.mouth_width, self.opening, self.corners, self.upper_lip, self.square,
            self.teeth, self.one_corner,
            self.wrinkle, self.folds, self.frown, self.forehead,
        ) = (np.ascontiguousarray(moves[:, i, None, None]) for i in range(len(MOVES)))  # fmt: skip
        self.one_corner *= self._sign()
        self._place()

    # Random values, each (N, 1, 1) float32.

    def _span(self, low: float, high: float) -> np.ndarray:
        return self._rng.uniform(low, high, (self._num, 1, 1)).astype(np.float32)

    def _sign(self) -> np.ndarray:
        return np.where(self._rng.random((self._num, 1, 1)) < 0.5, np.float32(-1), np.float32(1))

    def _chance(self, share: float) -> np.ndarray:
        return (self._rng.random((self._num, 1, 1)) < share).astype(np.float32)

    def _some(self, share: float) -> np.ndarray:
        """Indices of a random share of the faces, for what only some have, such as glasses."""
        return np.flatnonzero(self._rng.random(self._num) < share)

    def _place(self) -> None:
        """Head coordinates of every pixel: shift, size, rotation in the plane, turn of the head."""
        angle, self.scale = self._span(-0.2, 0.2), self._span(0.94, 1.16)
        self.yaw, self.pitch = self._span(-0.27, 0.27), self._span(-1.3, 1.3)
        line = np.arange(FACE_SIDE, dtype=np.float32) - np.float32((FACE_SIDE - 1) / 2)
        x = line[None, None, :] - self._span(-2.2, 2.2)
        y = line[None, :, None] - self._span(-2.2, 1.8)
        cos, sin = np.cos(angle) / self.scale, np.sin(angle) / self.scale
        self.u, self.v = x * cos + y * sin, y * cos - x * sin
        self.screen_x, self.screen_y = line[None, None, :], line[None, :, None]

    def _turned(self, x: float | np.ndarray, radius: float = 18.0) -> tuple[np.ndarray, np.ndarray]:
        """Position on the turned head of a feature at `x` of a frontal head, and the factor by
        which it is narrowed.
        """
        angle = np.arcsin(np.clip(np.asarray(x, np.float32) / radius, -0.95, 0.95)) + self.yaw
        return np.float32(radius) * np.sin(angle), np.maximum(np.cos(angle), 0.45) / 0.95

    # Painting.

    def _fill(
        self,
        inside: np.ndarray,
        tone: float | np.ndarray,
        rows: slice,
        soft: float = 1.0,
        opacity: float | np.ndarray = 1.0,
        faces: slice | np.ndarray = slice(None),
    ) -> np.ndarray:
        """Paint `rows` of `faces` where `inside` (distance to the edge in pixels) is positive, and
        return the coverage.

        `inside` covers those rows or the whole canvas; `tone` and `opacity` broadcast against it.
        """
        target = self.image[faces, rows]
        cover = (inside[:, rows] if inside.shape[1] == FACE_SIDE else inside) * (
            self.scale[faces] / np.float32(soft)
        )
        cover += np.float32(0.5)
        np.clip(cover, 0, 1, out=cover)
        target += (cover * opacity) * (tone - target)
        if isinstance(faces, np.ndarray):  # then `target` is a copy
            self.image[faces, rows] = target
        return cover
