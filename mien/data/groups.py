"""Groups of pictures, such as persons, from a table with their paths."""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from mien.data.archives import is_archive, members
from mien.data.dataset import SPLITS, Dataset
from mien.data.tables import column, read_table
from mien.data.tree import walk
from mien.errors import DataError, UsageError

FILE_COLUMNS = (
    *("file", "filename", "file_name", "image", "img", "path", "filepath", "file_path"),
    *("image_path", "image_name", "img_path", "pth", "picture", "name", "subdirectory_filepath"),
    *(
        "photo",
        "images",
        "files",
        "filenames",
        "img_name",
        "pic",
        "frame",
        "image_id",
        "img_id",
        "id",
    ),
)
GROUP_COLUMNS = (
    *("person", "group", "subject", "identity", "person_id", "subject_id", "group_id"),
    *("identity_id", "participant", "actor", "speaker", "individual", "clip", "video", "film"),
)

_NOT_NEW = ": figures on these splits are not of new people."


def with_groups(dataset: Dataset, table: str | os.PathLike[str]) -> Dataset:
    """The data with the groups that a table gives for its pictures; pictures that it does not list
    keep the group they have.

    Args:
        dataset: Pictures; their `files` are looked up in the table.
        table: A csv with a column of paths (`file`, `image`, `path`, ...) and one of groups
            (`person`, `subject`, `group`, ...), or the name of a file inside the data. Its paths
            may have more or fewer leading folders than those of the data.

    Raises:
        UsageError: for data that does not consist of picture files.
        DataError: for a table without these columns, or without any picture of the data.
    """
    if dataset.files is None:
        raise UsageError(
            f"groups: got {os.fspath(table)!r} for {dataset.source}, which has no picture files; "
            "expected a folder or archive of pictures. Fix: leave the table out, or name pictures"
        )
    where, table_groups = _read(Path(os.path.expanduser(table)), Path(dataset.source))
    lookup = _GroupIndex(table_groups)
    groups = np.array([lookup.get(file) for file in dataset.files], object)
    num_found = sum(map(bool, groups))
    if not num_found:
        raise DataError(
            where,
            got=(
                f"no path of a picture of {dataset.source} (the first: "
                f"{next(iter(table_groups))!r})"
            ),
            expected=f"paths such as {dataset.files[0]!r}",
            fix="name the table of this data",
        )
    note = f"{len(set(groups) - {''}):,} groups were read from {Path(where).name}."
    if num_found < len(dataset):
        groups, num_kept = _filled(groups, dataset.groups)
        note += f" {len(dataset) - num_found:,} pictures are not in it: " + (
            f"{num_kept:,} keep the group they had, each other counts as its own group."
            if num_kept
            else "each counts as its own group."
        )
    other_notes = tuple(text for text in dataset.notes if not text.endswith(_NOT_NEW))
    grouped = dataclasses.replace(dataset, groups=groups, notes=other_notes)
    return with_cut_groups(grouped.with_notes(note))


def with_cut_groups(dataset: Dataset) -> Dataset:
    """The data with a note on groups that have pictures in training and in another split."""
    if dataset.groups is None:
        return dataset
    split_groups = {split: set(dataset.groups[dataset.mask(split)]) - {""} for split in SPLITS}
    cut = {split: split_groups["training"] & split_groups[split] for split in SPLITS[1:]}
    all_cut = sorted(set[str]().union(*cut.values()))
    if not all_cut:
        return dataset
    counts = " and ".join(f"{split} ({len(names)})" for split, names in cut.items() if names)
    examples = ", ".join(all_cut[:3]) + (", ..." if len(all_cut) > 3 else "")
    num_groups = len(set().union(*split_groups.values()))
    return dataset.with_notes(
        f"Of {num_groups:,} groups {len(all_cut):,} ({examples}) have pictures in training and in "
        f"{counts}{_NOT_NEW}"
    )


def _filled(groups: np.ndarray, old: np.ndarray | None) -> tuple[np.ndarray, int]:
    """The groups, with the old ones where there is none, and the number of those."""
    if old is None:
        return groups, 0
    kept = (groups == "") & (old != "")
    return np.where(kept, old, groups), int(kept.sum())


class _GroupIndex:
    """Groups by path. A path looked up may have more or fewer leading folders."""

    def __init__(self, groups: Mapping[str, str]) -> None:
        self._whole: dict[str, set[str]] = defaultdict(set)
        self._ends: dict[str, set[str]] = defaultdict(set)
        for file, group in groups.items():
            parts = PurePosixPath(file.replace("\\", "/").lower()).parts
            self._whole["/".join(parts)].add(group)
            for start in range(len(parts)):
                self._ends["/".join(parts[start:])].add(group)

    def get(self, file: str) -> str:
        """The group of a file; empty where no path matches, or several of different groups."""
        parts = PurePosixPath(file.lower()).parts
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        for groups in (self._ends.get("/".join(parts)), *map(self._whole.get, ends)):
            if groups is not None and len(groups) == 1:
                return next(iter(groups))
        return ""


def _read(table: Path, source: Path) -> tuple[str, dict[str, str]]:
    where = os.fspath(table)
    if table.is_file():
        text = table.read_bytes()
    else:
        where, text = _inside(source, table)
    names, rows = read_table(text, where)
    file = column(names, FILE_COLUMNS, where, "the picture's path")
    group = column(names, GROUP_COLUMNS, where, "its person or group")
    groups = {row[file]: row[group].strip() for row in rows if row[file].strip()}
    if not groups:
        raise DataError(
            where,
            got="a table without rows",
            expected="a row for each picture",
            fix="name another table",
        )
    return where, groups


def _inside(source: Path, table: Path) -> tuple[str, bytes]:
    """Name (for errors) and content of the file with the table's name inside the data."""
    if source.is_dir():
        for parts in walk(source).others:
            path = source / Path(*parts)
            if path.name == table.name and path.is_file():
                return os.fspath(path), path.read_bytes()
    elif source.is_file() and is_archive(source):
        with members(source) as listing:
            for member in listing:
                if PurePosixPath(member.name).name == table.name:
                    with member.open() as stream:
                        return f"{source}:{member.name}", stream.read()
    raise DataError(
        table,
        got="nothing: no such file, and none of that name in the data",
        expected="a csv with a column of files and one of persons",
        fix="check the path",
    )
