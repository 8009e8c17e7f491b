"""Decide which frames of a video are searched only at a small size (a glance).

Detection takes most of a frame's time, mostly in its second pass, which finds small faces at full
size. While all known faces are large, the first pass, at 640 px, is enough to find them; a full
search every `FULL_SEARCH_S` finds new small faces.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from mien.results import Face
from mien.vision.yunet import FIRST_SIDE

FULL_SEARCH_S = 0.5  # a new small face is missed for at most this long
LARGE_PX = 40.0  # shorter side of a face in the first pass, which finds faces of 12 px and more


class FaceFinder(Protocol):
    """Finds the faces of a frame; it may also have `glance`, the first pass alone."""

    def faces_in(self, image: np.ndarray) -> list[Face]: ...


class Glances:
    """Finds the faces of successive frames.

    Args:
        finder: A `mien.Recognizer`; without `glance`, every search is a full one.
    """

    def __init__(self, finder: FaceFinder) -> None:
        self._finder = finder
        self._glance = getattr(finder, "glance", None)
        self._since_s = math.nan  # time of the last full search
        self._num_known = 0  # number of its faces if all were large; 0 forces full searches

    def cut(self) -> None:
        """Forget the known faces: a new scene begins."""
        self._since_s = math.nan

    def faces(self, time_s: float, image: np.ndarray) -> list[Face]:
        """The faces of one frame, uint8 (H, W, 3), at its time."""
        is_known = self._since_s <= time_s < self._since_s + FULL_SEARCH_S
        if is_known and self._num_known and self._glance:
            faces_found: list[Face] | None = self._glance(image)
            if (
                faces_found is not None
                and len(faces_found) >= self._num_known
                and _are_large(faces_found, image)
            ):
                return faces_found
            self._num_known = 0  # no glance until the next scheduled full search
        faces = self._finder.faces_in(image)
        if not is_known:
            self._since_s = time_s
            self._num_known = len(faces) if _are_large(faces, image) else 0
        return faces


def _are_large(faces: list[Face], image: np.ndarray) -> bool:
    min_side = LARGE_PX * max(image.shape[:2]) / FIRST_SIDE
    return all(
        min(face.box[2] - face.box[0], face.box[3] - face.box[1]) >= min_side for face in faces
    )
