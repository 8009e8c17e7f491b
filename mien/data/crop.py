"""Cut the faces out of photographs, by the same rule as for recognition.

At prediction a network sees what `mien.vision.align` cuts around a detected face. A network trained
on whole photographs squeezed to a square has never seen such a crop. So training photographs go
through the same detector and the same rule. The label of a photograph belongs to its largest face.

    whole    the pictures are faces already, as in FER2013: resized as they are
    detect   faces are detected and cut out; a photograph without a face is left out
    auto     decided by looking at a sample: `choose_detector` says what and why
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien.constants import FACE_SIDE, FACES
from mien.data.dataset import Cropped
from mien.errors import DataError, DownloadError, check_word

if TYPE_CHECKING:
    from mien.data.face_cache import PictureSource
    from mien.data.pictures import GrayPicture
    from mien.vision.detect import Detector
    from mien.vision.detections import Detections

SMALL_PX = 64  # shorter side; a picture up to this size is taken for a face already cut out
SAMPLE = 100  # pictures that `auto` looks at
# `auto` cuts faces out if at least FACES_SHARE of the sample have one. Below KNOWN_SHARE the
# detector does not know such faces (drawings). Between the two, it does if faces fill little of
# the pictures.
FACES_SHARE, KNOWN_SHARE = 0.9, 0.25
MAX_OVERLAP = 0.6  # of crop and picture; above it, the picture is a cut-out face already
THUMBNAIL_PX = 96
EXAMPLES = 40  # photographs without a face, and with several, kept to look at
MARK = b"mien data crop"  # among the first bytes of a file that `mien data crop` wrote
NO_FACE, SEVERAL = "no face found", "several faces"


@dataclass(frozen=True, eq=False)
class CutFace:
    """The face of one photograph.

    Attributes:
        pixels: uint8 (S, S), gray.
        side_px: Side of the cropped square in the photograph, in pixels.
        num_faces: Faces in the photograph.
        box: x0 y0 x1 y1 in pixels of the photograph.
        score: The detector's confidence, 0 to 1.
        overlap: Overlap (intersection over union) of the cropped square with the whole photograph.
    """

    pixels: np.ndarray
    side_px: float
    num_faces: int
    box: tuple[float, float, float, float]
    score: float
    overlap: float


def find_face(image: np.ndarray, detector: Detector, side: int = FACE_SIDE) -> CutFace | None:
    """Cut the largest face out of a photograph, RGB uint8 (H, W, 3); None where none is found."""
    from mien.vision.align import crop

    detections = detector.detect(image)
    if not len(detections):
        return None
    k = largest(detections)
    points = None if detections.landmarks is None else detections.landmarks[k : k + 1]
    boxes = detections.boxes[k : k + 1]
    cut = crop(image, boxes, points, geometry=detections.geometry, side=side)
    x0, y0, x1, y1 = (float(value) for value in detections.boxes[k])
    corners = cut.corners[0]
    side_px = float(np.hypot(*(corners[1] - corners[0])))
    return CutFace(
        cut.faces[0, :, :, 0],
        side_px,
        len(detections),
        (x0, y0, x1, y1),
        float(detections.scores[k]),
        _overlap(corners.mean(axis=0), side_px, image.shape[1], image.shape[0]),
    )


def largest(detections: Detections) -> int:
    """Position of the face with the largest box; among equals the first, which is the surest."""
    x0, y0, x1, y1 = detections.boxes.T
    return int(np.argmax((x1 - x0) * (y1 - y0)))


def choose_detector(pictures: Sequence[PictureSource], faces: str) -> tuple[Detector | None, str]:
    """The detector for these pictures, or None to take them whole, and a note on the reason.

    Args:
        pictures: Files, contents of files, or pixels.
        faces: One of `FACES`.

    Raises:
        UsageError: for another value of `faces`.
        DownloadError: for `detect`, if the detector's weights cannot be downloaded.
    """
    from mien.vision.detect import find_detector

    check_word("faces", faces, FACES)
    if faces == "whole":
        return None, "The pictures were taken whole, as faces (--faces whole)."
    if faces == "detect":
        detector = find_detector()
        return detector, f"Faces were cut out (--faces detect). {detector.note}".strip()
    sample = pictures[:: max(1, len(pictures) // SAMPLE)][:SAMPLE]
    if any(map(_is_marked, sample)):
        return None, "The pictures are faces cut out by mien data crop: they were taken whole."
    images = _decode(sample)
    sides = [min(image.shape[:2]) for image in images]
    if not images or np.median(sides) <= SMALL_PX:
        return None, ""  # as in FER2013, the usual case: nothing to say
    try:
        detector = find_detector()
    except DownloadError:
        return None, (
            f"The pictures are larger than cut-out faces ({np.median(sides):.0f} px), but there is "
            "no detector to look for faces in them: they were taken whole. If they are "
            "photographs, --faces detect says how to get the detector."
        )
    results = [find_face(image, detector) for image in images]
    share = float(np.mean([face is not None for face in results]))
    overlap = float(np.median([face.overlap for face in results if face is not None] or [0.0]))
    reason = (
        f"{detector.name} finds a face in {share:.0%} of a sample of {len(images)} pictures, and "
        f"its crop and the picture overlap by {overlap:.0%} (median)"
    )
    if share >= FACES_SHARE or (share >= KNOWN_SHARE and overlap < MAX_OVERLAP):
        text = f"Faces were cut out, as for recognition: {reason}. {detector.note}".strip()
        return detector, f"{text} --faces whole takes the pictures as they are."
    return None, f"The pictures were taken whole: {reason}. --faces detect cuts faces out."


def summary_of(pictures: Sequence[tuple[str, GrayPicture]], detector: str) -> Cropped:
    """The results for photographs, given as (file name, picture), for `Dataset.cropped`."""
    faces = [picture.face for _, picture in pictures if picture.face is not None]
    odd: dict[str, list[tuple[str, str, np.ndarray]]] = {NO_FACE: [], SEVERAL: []}
    for name, picture in pictures:
        if picture.thumbnail is not None:
            kind = NO_FACE if picture.face is None else SEVERAL
            odd[kind].append((name, kind, picture.thumbnail))
    return Cropped(
        detector,
        len(pictures),
        len(pictures) - len(faces),
        sum(face.num_faces > 1 for face in faces),
        np.array([round(face.side_px) for face in faces], np.int32),
        (*odd[NO_FACE][:EXAMPLES], *odd[SEVERAL][:EXAMPLES]),
    )


def crop_notes(cropped: Cropped, side: int) -> list[str]:
    """Notes for the user about the faces that were cut out."""
    sizes = cropped.faces_px
    num_faces = cropped.num_pictures - cropped.num_none
    notes = [
        f"{num_faces:,} faces were cut out of {cropped.num_pictures:,} pictures: "
        f"{cropped.num_none:,} without a face were left out; of {cropped.num_several:,} with "
        "several faces the largest was taken."
    ]
    if len(sizes):
        small = int(np.sum(sizes < side))
        notes.append(
            f"Side of the faces: {np.median(sizes):.0f} px (median; {sizes.min()} to {sizes.max()})"
            + (f"; {small:,} smaller than {side} px were enlarged." if small else ".")
        )
    return notes


def thumbnail(image: np.ndarray, face: CutFace | None) -> np.ndarray:
    """uint8 (T, T, 1): the whole photograph on gray, with a frame around the chosen face."""
    import cv2

    from mien.vision.preprocess import gray

    height, width = image.shape[:2]
    zoom = THUMBNAIL_PX / max(height, width)
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    small = cv2.resize(gray(image), size, interpolation=cv2.INTER_AREA)
    if face is not None:
        x0, y0, x1, y1 = (round(value * zoom) for value in face.box)
        cv2.rectangle(small, (x0, y0), (x1, y1), 255, 1)
    canvas = np.full((THUMBNAIL_PX, THUMBNAIL_PX, 1), 128, np.uint8)
    top, left = (THUMBNAIL_PX - size[1]) // 2, (THUMBNAIL_PX - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0], 0] = small
    return canvas


def _is_marked(picture: PictureSource) -> bool:
    if isinstance(picture, bytes):
        return MARK in picture[:256]
    if not isinstance(picture, Path) or not picture.is_file():  # a pipe would wait for ever
        return False
    try:
        with open(picture, "rb") as file:
            return MARK in file.read(256)
    except OSError:
        return False


def _decode(pictures: Sequence[PictureSource]) -> list[np.ndarray]:
    """Decode pictures without the damaged ones, which are reported when the data is read."""
    from mien.data.pictures import LIMITS
    from mien.vision.image import load_image

    images = []
    for picture in pictures:
        try:
            images.append(load_image(picture, limits=LIMITS))
        except DataError:
            continue
    return images


def _overlap(centre: np.ndarray, side: float, width: int, height: int) -> float:
    low = np.maximum(centre - side / 2, 0)
    high = np.minimum(centre + side / 2, [width, height])
    inside = float(np.prod(np.maximum(high - low, 0)))
    return inside / (side * side + width * height - inside)
