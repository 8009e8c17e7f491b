"""Folders of pictures -> a Dataset, laid out as `mien.data.layout` knows it.

Copies of FER2013 merge PublicTest and PrivateTest into one folder and tell them apart by the file
name (`PublicTest_123.jpg`); there the name decides.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.crop import NO_FACE, crop_notes, decide, summarised
from mien.data.dataset import SPLITS, USAGE, Dataset, LeftOut
from mien.data.label_names import label_set_of
from mien.data.layout import Listing, list_folder, split_folders
from mien.data.pictures import Gray, notes_about, read_pictures
from mien.errors import DataError
from mien.labels import FER2013

_PREFIX = re.compile("(" + "|".join(USAGE) + ")_")


def looks_like_fer2013(folder: Path) -> bool:
    """Whether a folder holds train/ and test/ (or validation/) with nothing but FER2013's labels
    inside, and can be read as that.
    """
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
        splits = set(split_folders(names).values())
        if "training" not in splits or not {"test", "validation"} & splits:
            return False
        labels = set(list_folder(folder).labels)
    except (OSError, DataError):
        return False
    return len(labels) > 1 and labels <= set(FER2013)


def list_pictures(folder: Path, on_error: str = "raise") -> Listing:
    """As `list_folder`, with the splits that FER2013's file names tell.

    Raises:
        DataError: where the folder is not laid out as `split/label/picture` or `label/picture`.
    """
    listing = list_folder(folder, on_error)
    if not _split_by_prefix(listing) and not listing.has_splits:
        listing.notes.append("The folder has no splits.")
    return listing


def read_folder(
    listing: Listing,
    *,
    source: str,
    on_error: str = "raise",
    side: int = FACE_SIDE,
    faces: str = "auto",
) -> Dataset:
    """Decode the pictures of a listing; `rows` are positions in `listing.pictures`, counted from 0.

    Args:
        listing: What `list_pictures` found.
        source: What the Dataset is to be called.
        on_error: "raise", or "skip" to leave out pictures that cannot be read.
        side: Width and height of the faces in pixels.
        faces: `auto`, `detect` or `whole`, as for `mien.data.crop`.

    Raises:
        DataError: for the first picture that cannot be read, or labels that make no label set.
        DownloadError: with faces="detect", where the detector's weights cannot be had.
    """
    label_set = label_set_of(listing.labels, source)
    detector, why = decide(listing.pictures, faces)
    names = [path.relative_to(listing.root).as_posix() for path in listing.pictures]
    images = np.zeros((len(listing.pictures), side, side, 1), np.uint8)
    good: list[int] = []
    read: list[tuple[str, Gray]] = []
    left_out = list(listing.left_out)
    for index, result in enumerate(read_pictures(listing.pictures, side=side, detector=detector)):
        if isinstance(result, DataError):
            if on_error == "raise":
                raise result
            reason = f"came {result.came}; expected {result.expected}"
            left_out.append(LeftOut(result.where, None, reason))
            continue
        read.append((names[index], result))
        if result.pixels is None:
            left_out.append(LeftOut(names[index], None, NO_FACE))
            continue
        images[index, :, :, 0] = result.pixels
        result.pixels = np.empty(0, np.uint8)
        good.append(index)
    if not good:
        raise DataError(
            source,
            came=f"no readable picture ({len(left_out):,} left out)",
            expected="at least one",
            mend="replace the pictures; the first: " + left_out[0].reason,
        )
    rows = np.array(good, np.int64)
    labels = np.array([label_set.index(name) for name in listing.labels], np.int64)
    cropped = None if detector is None else summarised(read, detector.name)
    notes = ([why] if why else []) + ([] if cropped is None else crop_notes(cropped, side))
    return Dataset(
        images if len(good) == len(images) else images[rows],
        labels[rows],
        np.array(listing.splits, np.uint8)[rows],
        rows,
        label_set,
        source,
        notes=(*listing.notes, *notes, *notes_about([one for _, one in read], side)),
        left_out=tuple(left_out),
        files=np.array(names, object)[rows],
        groups=np.array(listing.groups, object)[rows] if any(listing.groups) else None,
        cropped=cropped,
    )


def _split_by_prefix(listing: Listing) -> bool:
    """Part a merged evaluation folder, or an unsplit one, by FER2013's file names; whether that
    moved any.
    """
    folders = {SPLITS[split] for split in listing.splits} if listing.has_splits else set()
    evaluation = folders - {"training"}
    if len(evaluation) > 1 or folders == {"training"}:
        return False  # the folders part them already, or there is nothing to part
    prefixes = [_PREFIX.match(path.name) for path in listing.pictures]
    merged = SPLITS.index(next(iter(evaluation))) if evaluation else SPLITS.index("training")
    told: Counter[str] = Counter()
    moved = False
    for index, match in enumerate(prefixes):
        if match is None or listing.splits[index] != merged:
            continue
        usage = match.group(1)
        if evaluation and usage == "Training":
            continue  # somebody put it there on purpose
        split = SPLITS.index(USAGE[usage])
        told[usage] += 1
        moved |= listing.splits[index] != split
        listing.splits[index] = split
    if moved:
        parts = ", ".join(
            f"{told[usage]:,} {usage} ({split})" for usage, split in USAGE.items() if told[usage]
        )
        listing.notes.append(
            f"Splits were told by FER2013's file names in a merged folder: {parts}."
        )
    return moved
