"""Which frames of a video are searched at a small size: those in which no known face is missed.

Detection takes most of a frame's time, and most of that is the second look, at full size, which
finds small faces. Once the faces are known and all are large, the first look, at 640 px, finds
them; new small faces are looked for every `WHOLE_LOOK_S`.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from mien.results import Face
from mien.vision.yunet import FIRST_SIDE

WHOLE_LOOK_S = 0.5  # a small new face is missed for at most so long
LARGE_PX = (
    40.0  # shorter side of a face as the first look sees it; it finds those of 12 px and more
)


class FaceFinder(Protocol):
    """Finds faces in a frame, and may also have a small look (`glance`)."""

    def faces_in(self, image: np.ndarray) -> list[Face]: ...


class Glances:
    """Finds the faces of successive frames.

    Args:
        finder: A `mien.Recognizer`; without `glance`, every look is a whole one.
    """

    def __init__(self, finder: FaceFinder) -> None:
        self._finder = finder
        self._glance = getattr(finder, "glance", None)
        self._since_s = math.nan  # time of the last whole look
        self._num_known = 0  # faces found then, if all were large; else 0, and all looks are whole

    def cut(self) -> None:
        """Forget the known faces: a new scene begins."""
        self._since_s = math.nan

    def faces(self, time_s: float, image: np.ndarray) -> list[Face]:
        """The faces of one frame, uint8 (H, W, 3), at its time."""
        is_known = self._since_s <= time_s < self._since_s + WHOLE_LOOK_S
        if is_known and self._num_known and self._glance:
            seen: list[Face] | None = self._glance(image)
            if seen is not None and len(seen) >= self._num_known and _are_large(seen, image):
                return seen
            self._num_known = 0  # no small look before the next whole one
        faces = self._finder.faces_in(image)
        if not is_known:
            self._since_s = time_s
            self._num_known = len(faces) if _are_large(faces, image) else 0
        return faces


def _are_large(faces: list[Face], image: np.ndarray) -> bool:
    least = LARGE_PX * max(image.shape[:2]) / FIRST_SIDE
    return all(min(face.box[2] - face.box[0], face.box[3] - face.box[1]) >= least for face in faces)
