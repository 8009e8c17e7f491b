"""Cut a detected face out of a picture as the faces were cut that the networks were trained on.

FER2013's crops have a geometry of their own. The rules below come from running the detector over
enlarged FER2013 pictures and measuring where its box and landmarks lie in them.
`benchmarks/crop_rule.py` prints the constants, `benchmarks/pasted_faces.py` tests them, and
docs/photos.md has both results.

    landmarks   the square that puts the five points where they lie in a FER2013 picture
    box         the square that lies around the box as a FER2013 picture lies around its face's box
    both        between the two (the default): halfway for a frontal face, and closer to the box
                the more the head is turned to a side, where landmarks crowd together

All rules follow the in-plane rotation of the head, as the landmarks show it. Without landmarks the
box alone is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mien.constants import FACE_SIDE
from mien.errors import UsageError, check_word
from mien.vision.detections import check_picture
from mien.vision.preprocess import gray, resized


@dataclass(frozen=True)
class Geometry:
    """The position of a FER2013 face as a detector reports it, in shares of the picture's side.

    Attributes:
        points: Landmarks, ((x, y), ...) in the order of `Detections.landmarks`.
        box_side: Geometric mean of the box's width and height.
        box_centre: (x, y) of the box's centre.
    """

    points: tuple[tuple[float, float], ...]
    box_side: float
    box_centre: tuple[float, float]


# python benchmarks/crop_rule.py DATA (3,000 Training pictures, seed 0)
GEOMETRIES = {
    "yunet": Geometry(
        points=((0.308, 0.391), (0.686, 0.392), (0.493, 0.598), (0.343, 0.756), (0.655, 0.759)),
        box_side=0.906,
        box_centre=(0.500, 0.521),
    ),
    "mtcnn": Geometry(
        points=((0.308, 0.391), (0.686, 0.392), (0.493, 0.598), (0.343, 0.756), (0.655, 0.759)),
        box_side=0.906,
        box_centre=(0.500, 0.521),
    ),
}
TURN = 1.0  # share of the in-plane rotation of a head that the crop follows


@dataclass(frozen=True, eq=False)
class Crops:
    """Faces cut out of one picture.

    Attributes:
        faces: uint8 (F, S, S, 1), gray; S is 48, or the requested side.
        corners: float32 (F, 4, 2), pixels of the picture: the top left, top right, bottom right
            and bottom left corner of each crop. They may lie outside the picture.
    """

    faces: np.ndarray
    corners: np.ndarray


def crop(
    image: np.ndarray,
    boxes: np.ndarray,
    landmarks: np.ndarray | None,
    *,
    geometry: str = "yunet",
    side: int = FACE_SIDE,
) -> Crops:
    """Cut faces out of a picture as FER2013's were cut.

    Args:
        image: RGB uint8 (H, W, 3).
        boxes: float32 (F, 4), x0 y0 x1 y1 in pixels, each at least a pixel wide and high.
        landmarks: float32 (F, 5, 2) pixels, or None for the box rule.
        geometry: The kind of the boxes (`Detections.geometry`); for `none` the box itself is the
            crop.
        side: Width and height of the crops in pixels.

    Raises:
        UsageError: for other shapes, or an unknown geometry.
    """
    check_picture(image)
    boxes = np.asarray(boxes, np.float32)
    if (
        boxes.ndim != 2
        or boxes.shape[1] != 4
        or (landmarks is not None and landmarks.shape != (len(boxes), 5, 2))
    ):
        shapes = f"boxes {boxes.shape}, landmarks {None if landmarks is None else landmarks.shape}"
        raise UsageError(
            f"crop: got {shapes}; expected (F, 4) and (F, 5, 2) or None. Fix: give the boxes and "
            "landmarks of a detector"
        )
    corners = squares(boxes, landmarks, geometry)
    if geometry == "none":
        crops = [
            resized(gray(image[y0:y1, x0:x1]), side)
            for x0, y0, x1, y1 in _whole_pixels(boxes, image)
        ]
    else:
        crops = [cut_out(image, square, side) for square in corners]
    faces = np.array(crops, np.uint8).reshape(-1, side, side, 1)
    return Crops(faces, corners)


def squares(
    boxes: np.ndarray,
    landmarks: np.ndarray | None,
    geometry: str = "yunet",
    *,
    rule: str = "both",
    follow: float = TURN,
) -> np.ndarray:
    """float32 (F, 4, 2): corners of the crops, clockwise from the top left one as the face stands
    upright.

    Args:
        boxes, landmarks, geometry: As for `crop`.
        rule: `both`, `landmarks` or `box`.
        follow: Share of the in-plane rotation that the crop follows.

    Raises:
        UsageError: for an unknown geometry.
    """
    if geometry == "none":
        return boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]].astype(np.float32)
    check_word("geometry", geometry, (*GEOMETRIES, "none"))
    reference = GEOMETRIES[geometry]
    centre, side = by_box(boxes, reference)
    angle = np.zeros(len(boxes))
    if landmarks is not None:
        other_centre, other_side, angle = by_landmarks(landmarks, reference)
        shares = {"both": 0.5 + 0.5 * turn_aside(landmarks), "landmarks": np.zeros(len(boxes))}
        box_share = shares.get(rule, np.ones(len(boxes)))
        centre = box_share * centre + (1 - box_share) * other_centre
        side = side**box_share * other_side ** (1 - box_share)
    # Half the top edge as a complex number: the crop's right; times i is its down.
    right = np.maximum(side, 1) / 2 * np.exp(1j * follow * angle)
    ring = centre[:, None] + right[:, None] * np.array([-1 - 1j, 1 - 1j, 1 + 1j, -1 + 1j])
    return np.stack([ring.real, ring.imag], axis=-1).astype(np.float32)


def turn_aside(landmarks: np.ndarray) -> np.ndarray:
    """float64 (F,): 0 if the nose tip is midway between the eyes, 1 at or beyond one of them."""
    eyes = (landmarks[:, 1] - landmarks[:, 0]).astype(np.float64)
    along = ((landmarks[:, 2] - landmarks[:, 0]) * eyes).sum(axis=1)
    length = (eyes**2).sum(axis=1)
    return np.where(
        length > 0, np.clip(np.abs(2 * along / np.where(length > 0, length, 1) - 1), 0, 1), 1.0
    )


def cut_out(image: np.ndarray, corners: np.ndarray, side: int = FACE_SIDE) -> np.ndarray:
    """uint8 (side, side): a rotated square of a picture, shrunk by area averaging. Outside the
    picture its edge pixels are repeated.

    Args:
        image: RGB uint8 (H, W, 3).
        corners: (4, 2) pixels, clockwise from the top left one.
    """
    import cv2

    height, width = image.shape[:2]
    low = np.clip(np.floor(corners.min(axis=0)) - 2, 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 2, low + 1, [width, height]).astype(int)
    patch = gray(image[low[1] : high[1], low[0] : high[0]])
    right, down = corners[1] - corners[0], corners[3] - corners[0]
    # A pixel of the crop is the mean of as many samples as the square has pixels there, so that all
    # of these count.
    samples = max(1, math.ceil(float(np.hypot(*right)) / side - 1e-3))
    size = side * samples
    step = np.stack([right, down], axis=1).astype(np.float64) / size
    # Pixel i covers i to i + 1, its centre is i + 0.5; OpenCV counts centres.
    start = corners[0] - low + step @ [0.5, 0.5] - 0.5
    sampled = cv2.warpAffine(
        patch,
        np.column_stack([step, start]),
        (size, size),
        flags=cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if samples > 1 else cv2.INTER_CUBIC),
        borderMode=cv2.BORDER_REPLICATE,
    )
    return (
        sampled
        if samples == 1
        else np.asarray(cv2.resize(sampled, (side, side), interpolation=cv2.INTER_AREA))
    )


def by_box(boxes: np.ndarray, reference: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Centre (complex) and side of the crops around boxes."""
    width, height = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64).T
    side = np.sqrt(width * height) / reference.box_side
    centre = (boxes[:, 0] + boxes[:, 2]) / 2 + 1j * (boxes[:, 1] + boxes[:, 3]) / 2
    shift = complex(*reference.box_centre) - (0.5 + 0.5j)
    return centre - shift * side, side


def by_landmarks(
    landmarks: np.ndarray, reference: Geometry
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre (complex), side and in-plane rotation of the squares that fit the landmarks best.

    This is the least-squares similarity transform, with points as complex numbers, except that its
    scale is the ratio of the spreads.
    """
    observed = landmarks[..., 0].astype(np.float64) + 1j * landmarks[..., 1]
    points = np.array(reference.points) @ [1, 1j]
    middle, centred_points = observed.mean(axis=1), points - points.mean()
    centred = observed - middle[:, None]
    angle = np.angle(centred @ np.conj(centred_points))
    side = np.sqrt((np.abs(centred) ** 2).sum(axis=1) / (np.abs(centred_points) ** 2).sum())
    return middle + side * np.exp(1j * angle) * (0.5 + 0.5j - points.mean()), side, angle


def _whole_pixels(boxes: np.ndarray, image: np.ndarray) -> list[list[int]]:
    height, width = image.shape[:2]
    low = np.clip(np.rint(boxes[:, :2]), 0, [width - 1, height - 1])
    high = np.clip(np.rint(boxes[:, 2:]), low + 1, [width, height])
    return [[int(value) for value in row] for row in np.concatenate([low, high], axis=1)]
