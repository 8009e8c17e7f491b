"""The result of a face detector, and the rules for valid boxes, which hold for all detectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mien.errors import UsageError

SAME_FACE_IOU = 0.4  # two boxes that overlap by more are one face


@dataclass(frozen=True, eq=False)
class Detections:
    """The faces of one picture, highest score first, the larger first among equals.

    Attributes:
        boxes: float32 (F, 4), x0 y0 x1 y1 in pixels of the picture, within it.
        scores: float32 (F,), 0 to 1, the detector's own confidence.
        landmarks: float32 (F, 5, 2) pixels, or None: the person's right eye, left eye, nose tip,
            right and left corner of the mouth. They may lie outside the picture if a face is cut
            off.
        geometry: The kind of boxes: `yunet`, `mtcnn` or `none`. `mien.vision.align` crops each kind
            in its own way.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray | None
    geometry: str

    def __len__(self) -> int:
        return len(self.boxes)

    def left_to_right(self) -> Detections:
        """The same, sorted by the centres of the boxes, from left to right."""
        order = np.lexsort((self.boxes[:, 1], self.boxes[:, 0] + self.boxes[:, 2]))
        points = None if self.landmarks is None else self.landmarks[order]
        return Detections(self.boxes[order], self.scores[order], points, self.geometry)


def check_picture(image: np.ndarray) -> np.ndarray:
    """Return the picture, if it is one.

    Raises:
        UsageError: if it is not uint8 (H, W, 3) with at least one pixel.
    """
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
    ):
        kind = (
            f"{image.dtype} {image.shape}"
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise UsageError(
            f"picture: got {kind}; expected RGB uint8 (H, W, 3). Fix: read it with "
            "mien.vision.image.load_image"
        )
    if image.size == 0:
        raise UsageError(
            f"picture: got {image.shape}; expected at least one pixel. Fix: give another picture"
        )
    return image


def shrunk(image: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture shrunk by area averaging to a longest side of at most `side` pixels.

    Returns:
        uint8 (H', W', 3), and float32 (2,): the factors that turn its x and y into pixels of the
        original.
    """
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image, np.ones(2, np.float32)
    import cv2

    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small, np.array([width / size[0], height / size[1]], np.float32)


def valid_detections(faces: np.ndarray, image: np.ndarray, geometry: str) -> Detections:
    """Valid, sorted detections, each face once.

    Boxes are clipped to the picture. Rows with values that are not finite are dropped, as are boxes
    with less than a pixel inside the picture, and the lower score of two boxes that overlap.

    Args:
        faces: float32 (F, 15): x0 y0 x1 y1, ten landmark coordinates, score.
        image: The picture, uint8 (H, W, 3).
        geometry: As in `Detections`.
    """
    height, width = image.shape[:2]
    faces = faces[np.isfinite(faces).all(axis=1)]
    boxes = np.clip(faces[:, :4], 0, [width, height, width, height]).astype(np.float32)
    sides = boxes[:, 2:] - boxes[:, :2]
    whole = (sides >= 1).all(axis=1)
    faces, boxes, sides = faces[whole], boxes[whole], sides[whole]
    scores = np.clip(faces[:, 14], 0, 1).astype(np.float32)
    order = np.lexsort((-sides[:, 0] * sides[:, 1], -scores))
    indices = distinct(boxes, order)
    landmarks = faces[indices, 4:14].reshape(-1, 5, 2).astype(np.float32)
    return Detections(boxes[indices], scores[indices], landmarks, geometry)


def distinct(boxes: np.ndarray, order: Sequence[int] | np.ndarray) -> list[int]:
    """Indices in the given order, without boxes that overlap an earlier one too much: non-maximum
    suppression.
    """
    kept: list[int] = []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for index in map(int, order):
        if kept:
            low = np.maximum(boxes[kept, :2], boxes[index, :2])
            high = np.minimum(boxes[kept, 2:], boxes[index, 2:])
            shared = np.prod(np.clip(high - low, 0, math.inf), axis=1)
            if float((shared / (areas[kept] + areas[index] - shared)).max()) > SAME_FACE_IOU:
                continue
        kept.append(index)
    return kept
