"""Read a folder of pictures, in a layout of `mien.data.layout`, as a Dataset.

Some copies of FER2013 merge PublicTest and PrivateTest into one folder, where only the file names
(`PublicTest_123.jpg`) tell them apart. In such a folder the file name decides.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mien.data.dataset import SPLITS, USAGE, Dataset
from mien.data.label_names import NUMBERS, label_set_of, number_in
from mien.data.label_tables import groups_beside, list_by_tables, tables_in
from mien.data.layout import Listing, list_folder, names_labels, split_folders
from mien.data.pictures import ReadOptions, read_faces
from mien.data.posed_sets import list_by_names, list_ck, persons_by_names
from mien.data.tree import walk
from mien.data.yolo import list_yolo, refuse_annotations
from mien.errors import DataError
from mien.labels import FER2013

_VAGUE = {"unlabeled", "unlabelled", "unknown", "unsorted", "none", "other", "others", "misc"}
_PREFIX = re.compile("(" + "|".join(USAGE) + ")_")


def looks_like_fer2013(folder: Path) -> bool:
    """Whether a folder can be read as train/ and test/ (or validation/) with FER2013's labels."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
        splits = set(split_folders(names).values())
        if "training" not in splits or not {"test", "validation"} & splits:
            return False
        labels = set(list_folder(folder, walk(folder)).labels)
    except (OSError, DataError):
        return False
    return len(labels) > 1 and labels <= set(FER2013)


def list_pictures(folder: Path, on_error: str = "raise") -> Listing:
    """List the pictures of a folder with the labels that its folders, or files beside the pictures,
    give them. File names like FER2013's also give the split.

    Raises:
        DataError: if the folder is not laid out as `split/label/picture` or `label/picture`.
        OSError: if a folder cannot be read.
    """
    listing, unread = None, list[tuple[str, str]]()
    tree = walk(folder)
    tables = tables_in(folder, tree)
    if not names_labels(tree):
        listing = list_ck(folder, tree, on_error) or list_yolo(folder, tree, on_error)
        if listing is None:
            listing, unread = list_by_tables(folder, tree, tables, on_error)
        if listing is None:
            listing = list_by_names(folder, tree, on_error)
        if listing is None:
            refuse_annotations(folder, tree)
    if listing is None:
        with _mentioning_table(unread):
            listing = list_folder(folder, tree, on_error)
        listing.unread = unread
    listing.notes += [f"A table was not used: {said}." for said, _ in unread]
    groups_beside(listing, folder, tables)
    if not any(listing.groups):
        persons_by_names(listing)
    if listing.loose:
        listing.notes.append(f"{listing.loose} file(s) beside the label folders were not read.")
    if not _split_by_prefix(listing) and not listing.has_splits:
        listing.notes.append("The folder has no splits.")
    return listing


def read_folder(listing: Listing, options: ReadOptions, *, source: str) -> Dataset:
    """Read the pictures of a listing. `rows` of the result are positions in `listing.pictures`.

    Args:
        listing: The result of `list_pictures`.
        options: How the pictures become faces.
        source: The name of the Dataset.

    Raises:
        DataError: for the first picture that cannot be read, or labels that make no label set.
        DownloadError: if a detector is needed and its weights cannot be downloaded.
    """
    with _mentioning_table(listing.unread):
        label_set = label_set_of(listing.labels, source)
    notes = list(listing.notes)
    if all(number_in(name) for name in label_set):
        notes.append(NUMBERS)
    notes += [
        f"The folder {name} counts as a label; --labels {name}= leaves it out."
        for name in sorted(_VAGUE & set(listing.labels))
    ]
    names = [path.relative_to(listing.root).as_posix() for path in listing.pictures]
    read = read_faces(listing.pictures, names, options, source)
    labels = np.array([label_set.index(name) for name in listing.labels], np.int64)
    return Dataset(
        read.images,
        labels[read.rows],
        np.array(listing.splits, np.uint8)[read.rows],
        read.rows,
        label_set,
        source,
        notes=(*notes, *read.notes),
        left_out=(*listing.left_out, *read.left_out),
        files=np.array(names, object)[read.rows],
        groups=np.array(listing.groups, object)[read.rows] if any(listing.groups) else None,
        cropped=read.cropped,
    )


@contextmanager
def _mentioning_table(unread: Sequence[tuple[str, str]]) -> Iterator[None]:
    """Mention a table that may hold the labels in errors about folders."""
    try:
        yield
    except DataError as error:
        if not unread:
            raise
        said, fix = unread[0]
        raise DataError(
            error.where,
            got=f"{error.got}; {said}",
            expected=error.expected,
            fix=f"{fix}, or {error.fix}",
        ) from error


def _split_by_prefix(listing: Listing) -> bool:
    """Split a merged evaluation folder, or an unsplit one, by FER2013's file names; returns whether
    any picture moved to another split.
    """
    folders = {SPLITS[split] for split in listing.splits} if listing.has_splits else set()
    evaluation = folders - {"training"}
    if len(evaluation) > 1 or folders == {"training"}:
        return False  # the folders split them already, or there is nothing to split
    prefixes = [_PREFIX.match(path.name) for path in listing.pictures]
    merged = SPLITS.index(next(iter(evaluation))) if evaluation else SPLITS.index("training")
    counts: Counter[str] = Counter()
    moved = False
    for index, match in enumerate(prefixes):
        if match is None or listing.splits[index] != merged:
            continue
        usage = match.group(1)
        if evaluation and usage == "Training":
            continue  # somebody put it there on purpose
        split = SPLITS.index(USAGE[usage])
        counts[usage] += 1
        moved |= listing.splits[index] != split
        listing.splits[index] = split
    if moved:
        parts = ", ".join(
            f"{counts[usage]:,} {usage} ({split})"
            for usage, split in USAGE.items()
            if counts[usage]
        )
        listing.notes.append(f"A merged folder was split by FER2013's file names: {parts}.")
    return moved
