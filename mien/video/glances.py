"""Which frames of a video are looked at small: those in which no face can be missed that way.

Finding is most of a frame's time, and most of finding is the second look, at the picture's full
size, which is for small faces. Once the faces are known and all are large, the first look, at 640
px, sees them; new small ones are looked for every `WHOLE_LOOK_S`.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from mien.results import Face
from mien.vision.yunet import FIRST_SIDE

WHOLE_LOOK_S = 0.5  # at most so long is a face missed that comes in small
LARGE_PX = (
    40.0  # shorter side of a face as the first look sees it; it finds those of 12 px and more
)


class FaceFinder(Protocol):
    """What finds faces in a frame, and may have a smaller look too."""

    def faces_in(self, image: np.ndarray) -> list[Face]: ...


class Glances:
    """Finds the faces of frames that follow each other.

    Args:
        finder: A `mien.Recognizer`; one without `glance` is always asked whole.
    """

    def __init__(self, finder: FaceFinder) -> None:
        self._finder = finder
        self._glance = getattr(finder, "glance", None)
        self._since_s = math.nan  # when it was looked whole to know what there is
        self._num_known = 0  # faces then, if all were large; else 0, and all looks are whole

    def cut(self) -> None:
        """Another scene begins: nothing is known of it."""
        self._since_s = math.nan

    def faces(self, time_s: float, image: np.ndarray) -> list[Face]:
        """The faces of one frame, uint8 (H, W, 3), at its time."""
        is_known = self._since_s <= time_s < self._since_s + WHOLE_LOOK_S
        if is_known and self._num_known and self._glance:
            found: list[Face] | None = self._glance(image)
            if found is not None and len(found) >= self._num_known and _are_large(found, image):
                return found
            self._num_known = 0  # not tried again before the next whole look that is due
        found = self._finder.faces_in(image)
        if not is_known:
            self._since_s = time_s
            self._num_known = len(found) if _are_large(found, image) else 0
        return found


def _are_large(faces: list[Face], image: np.ndarray) -> bool:
    least = LARGE_PX * max(image.shape[:2]) / FIRST_SIDE
    return all(min(face.box[2] - face.box[0], face.box[3] - face.box[1]) >= least for face in faces)
