"""Folders of pictures: `split/label/picture`, or `label/picture` without splits.

Labels and splits are matched by name, never by position. Copies of FER2013 merge PublicTest and
PrivateTest into one folder and tell them apart by the file name (`PublicTest_123.jpg`); there the
name decides. Hidden files and the litter of file managers are ignored.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.crop import NO_FACE, crop_notes, decide, summarised
from mien.data.dataset import LEAVE_OUT, SPLITS, USAGE, Dataset, LeftOut
from mien.data.label_names import label_set_of
from mien.data.pictures import Gray, is_picture_name, notes_about, read_pictures
from mien.errors import DataError, printable
from mien.labels import FER2013, canonical

SPLIT_NAMES = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "publictest": "validation",
    "test": "test",
    "testing": "test",
    "privatetest": "test",
}
_LITTER = frozenset(("thumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r"))
_PREFIX = re.compile("(" + "|".join(USAGE) + ")_")
_WRAPPERS = 4  # folders in folders, as archives leave them


@dataclass
class Listing:
    """The pictures of a folder, sorted by path, before any is opened.

    Attributes:
        root: The folder that holds the splits or labels.
        pictures, labels, splits: A path, a canonical label and a position in `SPLITS` each.
        notes, left_out: As in Dataset.
    """

    root: Path
    pictures: list[Path] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def looks_like_fer2013(folder: Path) -> bool:
    """Whether a folder holds train/ and test/ (or validation/) with nothing but FER2013's labels
    inside.
    """
    try:
        kinds = {
            SPLIT_NAMES.get(entry.name.lower()): entry
            for entry in _entries(folder)
            if entry.is_dir()
        }
        if "training" not in kinds or not {"test", "validation"} & set(kinds):
            return False
        names = [
            entry.name
            for split, top in kinds.items()
            if split
            for entry in _entries(top)
            if entry.is_dir()
        ]
    except OSError:
        return False
    return len(names) > 1 and all(canonical(name) in FER2013 for name in names)


def list_folder(folder: Path, on_error: str = "raise") -> Listing:
    """Find the pictures of a folder and what each is.

    Raises:
        DataError: where the folder is not laid out as `split/label/picture` or `label/picture`.
    """
    listing = Listing(_unwrapped(folder))
    strict = on_error == "raise"
    tops = [entry for entry in _entries(listing.root) if entry.is_dir()]
    if not tops:
        raise DataError(
            folder,
            came="a folder without FER2013 csv and without subfolders",
            expected="fer2013.csv, or pictures as split/label/picture or label/picture",
            mend="name the csv file, or sort the pictures into one folder for each label",
        )
    known = [entry for entry in tops if entry.name.lower() in SPLIT_NAMES]
    loose = _loose(listing, listing.root, strict)
    if known:
        for top in tops:
            split = SPLIT_NAMES.get(top.name.lower())
            if split is None:
                error = DataError(
                    top,
                    came=f"the unknown split folder {top.name!r}",
                    expected="one of " + ", ".join(SPLIT_NAMES),
                    mend=f"rename or remove it, or {LEAVE_OUT}",
                )
                _or_skip(listing, error, strict)
                continue
            loose += _loose(listing, top, strict)
            for label in (entry for entry in _entries(top) if entry.is_dir()):
                _list_label(listing, label, SPLITS.index(split), strict)
    else:
        if any(entry.is_dir() for top in tops for entry in _entries(top)):
            raise DataError(
                folder,
                came="folders in folders that are no known splits: "
                + ", ".join(top.name for top in tops[:5]),
                expected="split/label/picture with splits called " + ", ".join(SPLIT_NAMES),
                mend="rename the split folders",
            )
        for label in tops:
            _list_label(listing, label, SPLITS.index("training"), strict)
        listing.notes.append(
            "The folder has no splits: all of its pictures are the training split."
        )
    if loose:
        listing.notes.append(f"{loose} file(s) beside the label folders were not read.")
    if not listing.pictures:
        raise DataError(
            folder,
            came="label folders without a single picture",
            expected="pictures as split/label/picture or label/picture",
            mend="check that the copy is complete",
        )
    _split_by_prefix(listing, {SPLIT_NAMES[entry.name.lower()] for entry in known})
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
        listing: What `list_folder` found.
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
        cropped=cropped,
    )


def _entries(folder: Path) -> list[Path]:
    with os.scandir(folder) as found:
        names = sorted(entry.name for entry in found)
    return [
        folder / name for name in names if not name.startswith(".") and name.lower() not in _LITTER
    ]


def _unwrapped(folder: Path) -> Path:
    """Go down through folders that hold a single folder, and no picture beside it, as long as that
    is neither a split nor a label.
    """
    for _ in range(_WRAPPERS):
        entries = _entries(folder)
        below = [entry for entry in entries if entry.is_dir()]
        if len(below) != 1 or below[0].name.lower() in SPLIT_NAMES:
            break
        if any(is_picture_name(entry.name) for entry in entries):
            break
        if not any(entry.is_dir() for entry in _entries(below[0])):
            break
        folder = below[0]
    return folder


def _or_skip(listing: Listing, error: DataError, strict: bool) -> None:
    if strict:
        raise error
    listing.left_out.append(
        LeftOut(error.where, None, f"came {error.came}; expected {error.expected}")
    )


def _loose(listing: Listing, folder: Path, strict: bool) -> int:
    """Files that lie beside label folders: a picture there has no label and is an error, others are
    counted.
    """
    count = 0
    for entry in _entries(folder):
        if entry.is_dir():
            continue
        if is_picture_name(entry.name):
            error = DataError(
                entry,
                came="a picture outside of any label folder",
                expected="split/label/picture or label/picture",
                mend=f"move it into the folder of its label, or {LEAVE_OUT}",
            )
            _or_skip(listing, error, strict)
        else:
            count += 1
    return count


def _list_label(listing: Listing, folder: Path, split: int, strict: bool) -> None:
    entries = _entries(folder)
    for entry in entries:
        if entry.is_dir() or not is_picture_name(entry.name):
            error = DataError(
                entry,
                came="a folder"
                if entry.is_dir()
                else f"a file that is no picture ({entry.suffix or 'no suffix'})",
                expected=f"nothing but pictures in the folder of the label {folder.name!r}",
                mend=f"move or remove it, or {LEAVE_OUT}",
            )
            _or_skip(listing, error, strict)
            continue
        listing.pictures.append(entry)
        listing.labels.append(canonical(printable(folder.name)))
        listing.splits.append(split)
    if not entries:
        error = DataError(
            folder,
            came="a label folder without pictures",
            expected="at least one picture",
            mend=f"add pictures or remove the folder, or {LEAVE_OUT}",
        )
        _or_skip(listing, error, strict)


def _split_by_prefix(listing: Listing, folders: set[str]) -> None:
    """Part a merged evaluation folder, or an unsplit one, by FER2013's file names."""
    evaluation = folders - {"training"}
    if len(evaluation) > 1 or folders == {"training"}:
        return  # the folders part them already, or there is nothing to part
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
