"""Photographs -> the faces in them, cut by the same rule as for recognition.

A network sees at prediction what `mien.vision.align` cuts around a found face. One that is trained on
whole photographs squeezed to a square has never seen such a crop; so photographs go through the
same detector and the same rule. The label of a photograph is that of its largest face.

    whole    pictures are faces already (FER2013's kind): resized as they are
    detect   faces are found and cut; a photograph without a face is left out
    auto     decided by looking at a sample: `decide` says what and why
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.dataset import Cropped
from mien.errors import DataError, DownloadError, UsageError

if TYPE_CHECKING:
    from mien.data.pictures import Gray, Source
    from mien.vision.detect import Detector
    from mien.vision.detections import Detections

FACES = ("auto", "detect", "whole")
SMALL_PX = 64  # shorter side; a picture no larger is a face that somebody has cut out
SAMPLE = 100  # pictures that `auto` looks at
# `auto` cuts where a face is found in this share of the sample; below a quarter the detector does
# not know such faces (drawings), and between the two only where faces are small parts of pictures.
MOST, SOME = 0.9, 0.25
FILLED = 0.6  # overlap of the crop with the whole picture from which that is a cut-out face
THUMBNAIL_PX = 96
EXAMPLES = 40  # photographs of each oddity kept to look at
MARK = b"mien data crop"  # in the first bytes of a face that was written
NO_FACE, SEVERAL = "no face found", "several faces"


@dataclass(frozen=True, eq=False)
class Found:
    """The face of one photograph.

    Attributes:
        pixels: uint8 (S, S), gray.
        side_px: Side of the crop's square in the photograph, pixels.
        num_faces: Faces in the photograph.
        box: x0 y0 x1 y1 in pixels of the photograph.
        score: The detector's confidence, 0 to 1.
        filled: Overlap (intersection over union) of the crop's square with the whole photograph.
    """

    pixels: np.ndarray
    side_px: float
    num_faces: int
    box: tuple[float, float, float, float]
    score: float
    filled: float


def find_face(image: np.ndarray, detector: Detector, side: int = FACE_SIDE) -> Found | None:
    """The largest face of a photograph, RGB uint8 (H, W, 3), as recognition would cut it out; None
    where none is found.
    """
    from mien.vision.align import crop

    found = detector.detect(image)
    if not len(found):
        return None
    one = largest(found)
    points = None if found.landmarks is None else found.landmarks[one : one + 1]
    cut = crop(image, found.boxes[one : one + 1], points, geometry=found.geometry, side=side)
    x0, y0, x1, y1 = (float(value) for value in found.boxes[one])
    corners = cut.corners[0]
    side_px = float(np.hypot(*(corners[1] - corners[0])))
    return Found(
        cut.faces[0, :, :, 0],
        side_px,
        len(found),
        (x0, y0, x1, y1),
        float(found.scores[one]),
        _filled(corners.mean(axis=0), side_px, image.shape[1], image.shape[0]),
    )


def largest(found: Detections) -> int:
    """Position of the face with the largest box; the first, and so the surest, among equals."""
    size = (found.boxes[:, 2] - found.boxes[:, 0]) * (found.boxes[:, 3] - found.boxes[:, 1])
    return int(np.argmax(size))


def decide(pictures: Sequence[Source], faces: str) -> tuple[Detector | None, str]:
    """What finds the faces of these pictures, None where they are taken whole, and why.

    Args:
        pictures: Files, contents of files, or pixels.
        faces: One of `FACES`.

    Raises:
        UsageError: for another value of `faces`.
        DownloadError: for `detect`, where the detector's weights cannot be had.
    """
    from mien.vision.detect import find_detector

    if faces not in FACES:
        raise UsageError(f"faces: got {faces!r}; expected one of {', '.join(FACES)}")
    if faces == "whole":
        return None, "The pictures were taken whole, as faces (--faces whole)."
    if faces == "detect":
        detector = find_detector()
        return detector, f"Faces were cut out (--faces detect). {detector.note}".strip()
    looked_at = pictures[:: max(1, len(pictures) // SAMPLE)][:SAMPLE]
    if any(map(_is_marked, looked_at)):
        return None, "The pictures are faces that mien data crop cut out: they were taken whole."
    images = _decoded(looked_at)
    sides = [min(image.shape[:2]) for image in images]
    if not images or np.median(sides) <= SMALL_PX:
        return None, ""  # FER2013's kind, the usual one: nothing to say
    try:
        detector = find_detector()
    except DownloadError:
        return None, (
            f"The pictures are larger than cut-out faces ({np.median(sides):.0f} px), but there is "
            "no detector to look for faces in them: they were taken whole. If they are photographs, "
            "--faces detect says how to get the detector."
        )
    found = [find_face(image, detector) for image in images]
    share = float(np.mean([one is not None for one in found]))
    filled = float(np.median([one.filled for one in found if one is not None] or [0.0]))
    seen = (
        f"in {share:.0%} of {len(images)} pictures looked at {detector.name} finds a face, and its "
        f"crop and the picture overlap by {filled:.0%} (median)"
    )
    if share >= MOST or (share >= SOME and filled < FILLED):
        text = f"Faces were cut out, as they are for recognition: {seen}. {detector.note}".strip()
        return detector, f"{text} --faces whole takes the pictures as they are."
    return None, f"The pictures were taken whole: {seen}. --faces detect cuts faces out."


def summarised(pictures: Sequence[tuple[str, Gray]], detector: str) -> Cropped:
    """What came of photographs, each a file's name and what was read, for `Dataset.cropped`."""
    found = [one.found for _, one in pictures if one.found is not None]
    odd: dict[str, list[tuple[str, str, np.ndarray]]] = {NO_FACE: [], SEVERAL: []}
    for name, one in pictures:
        if one.thumbnail is not None:
            odd[NO_FACE if one.found is None else SEVERAL].append(
                (name, NO_FACE if one.found is None else SEVERAL, one.thumbnail)
            )
    return Cropped(
        detector,
        len(pictures),
        len(pictures) - len(found),
        sum(one.num_faces > 1 for one in found),
        np.array([round(one.side_px) for one in found], np.int32),
        (*odd[NO_FACE][:EXAMPLES], *odd[SEVERAL][:EXAMPLES]),
    )


def crop_notes(cropped: Cropped, side: int) -> list[str]:
    """What a user should know of the faces cut out, a sentence each."""
    sizes = cropped.faces_px
    kept = cropped.num_pictures - cropped.num_none
    notes = [
        f"{kept:,} faces came out of {cropped.num_pictures:,} pictures: {cropped.num_none:,} without "
        f"a face were left out, and in {cropped.num_several:,} with several the largest was taken."
    ]
    if len(sizes):
        small = int(np.sum(sizes < side))
        notes.append(
            f"Side of the faces: {np.median(sizes):.0f} px (median; {sizes.min()} to {sizes.max()})"
            + (f"; {small:,} smaller than {side} px were enlarged." if small else ".")
        )
    return notes


def thumbnail(image: np.ndarray, found: Found | None) -> np.ndarray:
    """uint8 (T, T, 1): the whole photograph on gray, the chosen face framed."""
    import cv2

    from mien.vision.preprocess import gray

    height, width = image.shape[:2]
    zoom = THUMBNAIL_PX / max(height, width)
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    small = cv2.resize(gray(image), size, interpolation=cv2.INTER_AREA)
    if found is not None:
        x0, y0, x1, y1 = (round(value * zoom) for value in found.box)
        cv2.rectangle(small, (x0, y0), (x1, y1), 255, 1)
    canvas = np.full((THUMBNAIL_PX, THUMBNAIL_PX, 1), 128, np.uint8)
    top, left = (THUMBNAIL_PX - size[1]) // 2, (THUMBNAIL_PX - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0], 0] = small
    return canvas


def _is_marked(picture: Source) -> bool:
    if isinstance(picture, bytes):
        return MARK in picture[:256]
    if not isinstance(picture, Path):
        return False
    try:
        with open(picture, "rb") as file:
            return MARK in file.read(256)
    except OSError:
        return False


def _decoded(pictures: Sequence[Source]) -> list[np.ndarray]:
    """Decoded pictures; those that cannot be read say so when all are."""
    from mien.data.pictures import LIMITS
    from mien.vision.image import load_image

    images = []
    for picture in pictures:
        try:
            images.append(load_image(picture, limits=LIMITS))
        except DataError:
            continue
    return images


def _filled(centre: np.ndarray, side: float, width: int, height: int) -> float:
    low = np.maximum(centre - side / 2, 0)
    high = np.minimum(centre + side / 2, [width, height])
    inside = float(np.prod(np.maximum(high - low, 0)))
    return inside / (side * side + width * height - inside)
