"""Turn picture files of any kind into gray squares like FER2013's.

Colour becomes gray with the weights of ITU-R BT.601. Pictures of other sizes are resized whole, by
area averaging to shrink and bilinearly to enlarge. Each result lists the steps applied, so that the
reader can report them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien.constants import FACE_SIDE, cache_dir
from mien.data.crop import (
    NO_FACE,
    CutFace,
    choose_detector,
    crop_notes,
    find_face,
    summary_of,
    thumbnail,
)
from mien.data.dataset import LEAVE_OUT, LeftOut
from mien.data.face_cache import FacesRead, PictureSource, key_of, load_entry, store_entry
from mien.errors import DataError
from mien.runtime import tell_progress
from mien.vision.image import Picture, decode
from mien.vision.preprocess import gray, resized
from mien.vision.reading import Limits

if TYPE_CHECKING:
    from mien.vision.detect import Detector

LIMITS = Limits(max_bytes=1_000_000_000, max_pixels=50_000_000, longest_side=50_000_000)


@dataclass(frozen=True)
class ReadOptions:
    """Settings for reading faces from pictures.

    Attributes:
        faces: `auto`, `detect` or `whole`, as for `mien.data.crop`.
        side: Width and height of the faces in pixels.
        on_error: "raise", or "skip" to leave out pictures that cannot be read.
        cache: Use the cache of faces.
    """

    faces: str = "auto"
    side: int = FACE_SIDE
    on_error: str = "raise"
    cache: bool = False


@dataclass
class GrayPicture:
    """A picture as a gray square.

    Attributes:
        pixels: uint8 (S, S); None if a face was looked for and none found.
        size: Width and height of the original.
        steps: Names of the steps that were applied to it.
        face: The face that was cut out; None if none was found or looked for.
        thumbnail: uint8 (T, T, 1), of a photograph with no face or several.
    """

    pixels: np.ndarray | None
    size: tuple[int, int]
    steps: list[str] = field(default_factory=list)
    face: CutFace | None = None
    thumbnail: np.ndarray | None = None


def read_faces(
    sources: Sequence[PictureSource], names: Sequence[str], options: ReadOptions, where: str
) -> FacesRead:
    """Read the face of each picture.

    Args:
        sources: Files, contents of files, or pixels.
        names: Their names in notes and errors.
        options: How they become faces.
        where: The name of the data set, for errors.

    Raises:
        DataError: for the first picture that cannot be read, unless it is to be skipped; or if no
            picture can be read.
        DownloadError: if a detector is needed and its weights cannot be downloaded.
    """
    if not sources:
        raise DataError(
            where,
            got="no picture",
            expected="at least one",
            fix="check that the copy or the export is complete",
        )
    detector, note = choose_detector(sources, options.faces)
    reader = partial(_read_faces, sources, names, options, where, detector)
    if options.cache:
        read = _read_or_load(reader, sources, names, options, detector)
    else:
        read = reader()
    return replace(read, notes=[note, *read.notes] if note else read.notes)


def _read_or_load(
    reader: Callable[[], FacesRead],
    sources: Sequence[PictureSource],
    names: Sequence[str],
    options: ReadOptions,
    detector: Detector | None,
) -> FacesRead:
    """The faces of these pictures: from the cache, or else read and cached."""
    current_key = partial(key_of, sources, names, [options.side, detector and detector.name])
    key = current_key()
    read = load_entry(key) if key else None
    if read is not None:
        return read
    read = reader()
    if any(one.reason != NO_FACE for one in read.left_out) or key is None:
        return read
    if current_key() != key:
        note = (
            "The pictures changed while they were being read: read them again to be sure of them."
        )
    elif obstacle := store_entry(key, read):
        note = (
            f"The faces could not be cached in {cache_dir()} ({obstacle}): reading will take as "
            "long again. MIEN_CACHE names another folder."
        )
    else:
        return read
    return replace(read, notes=[*read.notes, note])


def _read_faces(
    sources: Sequence[PictureSource],
    names: Sequence[str],
    options: ReadOptions,
    where: str,
    detector: Detector | None,
) -> FacesRead:
    images = np.zeros((len(sources), options.side, options.side, 1), np.uint8)
    good: list[int] = []
    read: list[tuple[str, GrayPicture]] = []
    left_out: list[LeftOut] = []
    task = "Reading pictures" if detector is None else "Cutting faces out"
    for index, result in enumerate(read_pictures(sources, side=options.side, detector=detector)):
        tell_progress(task, index + 1, len(sources))
        if isinstance(result, DataError):
            has_path = isinstance(sources[index], Path)
            error = result if has_path else _relocated(result, f"{where}:{names[index]}")
            if options.on_error == "raise":
                raise error
            reason = f"got {error.got}; expected {error.expected}"
            left_out.append(LeftOut(error.where, None, reason))
            continue
        read.append((names[index], result))
        if result.pixels is None:
            left_out.append(LeftOut(names[index], None, NO_FACE))
            continue
        images[index, :, :, 0] = result.pixels
        result.pixels = np.empty(0, np.uint8)
        good.append(index)
    if not good and all(one.reason == NO_FACE for one in left_out):
        raise DataError(
            where,
            got=f"no face in any of {len(left_out):,} pictures",
            expected="at least one picture with a face",
            fix="take the pictures as they are with --faces whole (in Python faces='whole')",
        )
    if not good:
        raise DataError(
            where,
            got=f"no readable picture ({len(left_out):,} left out)",
            expected="at least one",
            fix="replace the pictures; the first error: " + left_out[0].reason,
        )
    rows = np.array(good, np.int64)
    cropped = None if detector is None else summary_of(read, detector.name)
    notes = [] if cropped is None else crop_notes(cropped, options.side)
    notes += notes_about([picture for _, picture in read], options.side)
    return FacesRead(
        images if len(good) == len(images) else images[rows], rows, notes, left_out, cropped
    )


def read_pictures(
    sources: Sequence[PictureSource], *, side: int = FACE_SIDE, detector: Detector | None = None
) -> Iterator[GrayPicture | DataError]:
    """Decode pictures in a pool of threads; yields a result or an error for each, in order.

    Args:
        sources: Files, contents of files, or pixels.
        side: Width and height of the results in pixels.
        detector: Finds the face to cut out; None takes pictures whole.
    """

    def attempt(source: PictureSource) -> GrayPicture | DataError:
        try:
            return read_gray(source, side=side, detector=detector)
        except DataError as error:
            return error

    num_workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(num_workers) as pool:
        for start in range(0, len(sources), 4096):  # so an early error ends the work early
            yield from pool.map(attempt, sources[start : start + 4096])


def read_gray(
    source: PictureSource, *, side: int = FACE_SIDE, detector: Detector | None = None
) -> GrayPicture:
    """Decode one picture; arguments as for `read_pictures`.

    Raises:
        DataError: for an empty, corrupt or oversized file, or one that is not a picture.
    """
    try:
        picture = decode(source, limits=LIMITS)
    except DataError as error:
        where = source if isinstance(source, Path) else error.where
        raise DataError(
            where, got=error.got, expected=error.expected, fix=f"{error.fix}, or {LEAVE_OUT}"
        ) from error
    steps = list(picture.steps)
    if detector is not None:
        return _cut(picture, steps, side, detector)
    pixels = picture.pixels[:, :, 0].copy()
    if (picture.pixels[:, :, :2] != picture.pixels[:, :, 1:]).any():
        pixels = gray(picture.pixels)
        steps.append("colour")
    height, width = pixels.shape
    if (height, width) != (side, side):
        pixels = resized(pixels, side)
        steps.append("resized")
        if height != width:
            steps.append("stretched")
    return GrayPicture(pixels, (width, height), steps)


def _relocated(error: DataError, where: str) -> DataError:
    return DataError(where, got=error.got, expected=error.expected, fix=error.fix)


def _cut(picture: Picture, steps: list[str], side: int, detector: Detector) -> GrayPicture:
    """The largest face of a photograph."""
    image = picture.pixels
    size = (image.shape[1], image.shape[0])
    if (image[:, :, :2] != image[:, :, 1:]).any():
        steps.append("colour")
    face = find_face(image, detector, side)
    if face is None:
        return GrayPicture(None, size, steps, None, thumbnail(image, None))
    small = thumbnail(image, face) if face.num_faces > 1 else None
    return GrayPicture(face.pixels, size, steps, face, small)


def notes_about(pictures: Sequence[GrayPicture], side: int = FACE_SIDE) -> list[str]:
    """Sentences with the number of pictures that each step was applied to."""
    count = {
        kind: 0
        for kind in ("colour", "16-bit", "alpha", "turned", "frames", "resized", "stretched")
    }
    for picture in pictures:
        for kind in picture.steps:
            count[kind] += 1
    resized_from = {picture.size for picture in pictures if "resized" in picture.steps}
    sizes = sorted(resized_from, key=lambda size: size[0] * size[1])
    span = " to ".join(
        f"{width} x {height}" for width, height in dict.fromkeys((*sizes[:1], *sizes[-1:]))
    )
    texts = {
        "colour": "were converted from colour to gray (ITU-R BT.601)",
        "16-bit": "were scaled from 16 bits to 8",
        "alpha": "were transparent and placed on mid-gray",
        "turned": "were rotated upright as their EXIF data say",
        "frames": "had several frames, of which the first was read",
        "resized": (
            f"were resized to {side} x {side} (from {span}; by area averaging to shrink, "
            "bilinearly to enlarge)"
        ),
        "stretched": "were not square and were resized whole, which changed their proportions",
    }
    total = len(pictures)
    return [
        f"Of {total:,} pictures {count[kind]:,} {text}."
        for kind, text in texts.items()
        if count[kind]
    ]
