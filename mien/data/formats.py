"""Recognise the format of data, whether its path was given or found by a search.

csv         fer2013.csv and the like, train.csv with test.csv, or any csv with pixels
parquet     *.parquet, in a folder or in its folder data/
arrays      *.npz, or *.npy side by side
pictures    label/picture and so on (`mien.data.layout`)
archive     a zip or tar with one of these inside
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.constants import ARRAY_SUFFIXES, PARQUET_SUFFIXES
from mien.data import arrays
from mien.data.archives import is_archive, is_archive_name, members
from mien.data.csv_formats import (
    NAMES,
    PAIR,
    SUFFIXES,
    companions,
    csv_members,
    nothing_inside,
    peek,
)
from mien.data.folders import looks_like_fer2013
from mien.data.layout import split_folders
from mien.data.tree import holds_pictures
from mien.errors import DataError, printable
from mien.vision.foreign import LFS, LFS_POINTER
from mien.vision.formats import is_picture_name

_DEPTH = 3  # levels of subfolders searched for a table
# First bytes of files that are not data sets, and what they are.
_ARRAYS = "save its arrays with numpy.savez('faces.npz', x=pictures, y=labels)"
_TABLE = "save it as csv, such as with pandas: table.to_csv('faces.csv', index=False)"
_FOREIGN = {
    b"\x89HDF": ("an HDF5 file", _ARRAYS),
    **dict.fromkeys(
        [bytes([0x80, protocol]) for protocol in range(2, 6)],
        ("a pickle, which could run any program", _ARRAYS),
    ),
    b"MATLAB": ("a MATLAB file", _ARRAYS),
    b"%PDF": ("a PDF", _ARRAYS),
    b"SQLi": ("a database", _TABLE),
    b"ARROW1": ("a Feather or Arrow file", _TABLE),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", _TABLE),
    LFS: LFS_POINTER,
    b"{": ("JSON", _TABLE),
    b'[{"': ("JSON", _TABLE),
}


@dataclass(frozen=True)
class DataFormat:
    """The format of a data set.

    Attributes:
        kind: `csv`, `parquet`, `arrays`, `pictures` or `archive`.
        files: Its files, or the folder or archive itself.
        notes: What the user should know about files that were not taken.
    """

    kind: str
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def format_of(path: Path) -> DataFormat:
    """Recognise the format of a file or folder.

    Raises:
        DataError: if it holds nothing that mien reads.
        OSError: if it cannot be opened.
    """
    if path.is_dir():
        return _format_of_folder(path)
    if not path.is_file():
        raise DataError(
            path,
            got="a pipe or device",
            expected="a file or folder, since it is read more than once",
            fix="write it to a file first",
        )
    return _format_of_file(path)


def find_fer2013(folder: Path, depth: int) -> Path | None:
    """The first place in a folder that holds FER2013; None if there is none. The search is breadth
    first in sorted order, so the same tree always gives the same result.
    """
    level = [folder]
    for _ in range(depth + 1):
        below: list[Path] = []
        for candidate in level:
            try:
                entries = sorted(candidate.iterdir())
                csv = _csv_in([entry for entry in entries if entry.is_file()])
            except OSError:
                continue  # missing, or not readable
            if csv is not None:
                return csv
            if looks_like_fer2013(candidate):
                return candidate
            below += [path for path in entries if not path.name.startswith(".") and path.is_dir()]
        level = below
    return None


def _format_of_folder(path: Path) -> DataFormat:
    if path.suffix.lower() in (".csv", ".gz", ".zip"):
        raise DataError(
            path,
            got="a folder with the name of a file",
            expected="a csv file",
            fix="name the file inside it, or rename the folder",
        )
    if table := _table_in(path):
        return table
    if holds_pictures(path):
        return DataFormat("pictures", (path,))
    if table := _table_below(path):
        return table
    return _archive_in(path) or DataFormat(
        "pictures", (path,)
    )  # listing the pictures then says what is missing


def _table_below(path: Path) -> DataFormat | None:
    """The tables of the first level of subfolders that has some: one, or Parquet files of splits
    (`default/train/0000.parquet`).

    Raises:
        DataError: for tables in several folders that are not splits.
    """
    level = [path]
    for _ in range(_DEPTH):
        level = [
            below
            for folder in level
            for below in sorted(folder.iterdir())
            if below.is_dir() and not below.name.startswith(".")
        ]
        tables = {folder: table for folder in level if (table := _table_in(folder))}
        if not tables:
            continue
        (first, *others), kinds = tables, {table.kind for table in tables.values()}
        parents = {folder.parent for folder in tables}
        if not others:
            return tables[first]
        if kinds == {"parquet"} and len(parents) == 1:
            if len(split_folders([folder.name for folder in tables])) == len(tables):
                files = [file for table in tables.values() for file in table.files]
                return DataFormat("parquet", tuple(files))
        raise DataError(
            path,
            got="several data sets: "
            + ", ".join(printable(os.fspath(folder.relative_to(path))) for folder in tables),
            expected="one of them, or a folder for each split",
            fix="name one of these folders",
        )
    return None


def _archive_in(folder: Path) -> DataFormat | None:
    """The only archive in a folder without data of its own."""
    archives = sorted(
        one
        for one in folder.iterdir()
        if is_archive_name(one.name) and not one.name.startswith(".")
    )
    if len(archives) > 1:
        raise DataError(
            folder,
            got="a folder of archives: " + ", ".join(one.name for one in archives[:5]),
            expected="one archive, or unpacked data",
            fix="name one of them, unpack them side by side, or pack them into one zip",
        )
    return format_of(archives[0]) if archives else None


def _table_in(folder: Path) -> DataFormat | None:
    """A csv, Parquet files or arrays directly in a folder."""
    entries = sorted(
        path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")
    )
    if csv := _csv_in(entries):
        return _csv_format(csv)
    for kind, suffixes in (("parquet", PARQUET_SUFFIXES), ("arrays", ARRAY_SUFFIXES)):
        files = [path for path in entries if path.suffix.lower() in suffixes]
        if kind == "arrays" and (npz := [f for f in files if f.suffix.lower() == ".npz"]):
            files = npz
        if files and not holds_pictures(folder):
            if kind == "arrays":
                arrays.check_together(files)
            return DataFormat(kind, tuple(files))
    tables = [path for path in entries if path.name.lower().endswith((".csv", ".tsv"))]
    if len(tables) == 1 and not holds_pictures(folder) and _has_pixels(tables[0]):
        return DataFormat("csv", (tables[0],))
    return None


def _format_of_file(path: Path) -> DataFormat:
    with open(path, "rb") as file:
        magic = file.read(len(LFS))
    for first, (what, fix) in _FOREIGN.items():
        if magic.lstrip().startswith(first):
            raise DataError(
                path,
                got=what,
                expected="csv, Parquet, .npz, pictures in folders, a zip or tar",
                fix=fix,
            )
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return DataFormat("arrays", tuple(arrays.companions(path)))
    if magic.startswith(b"PAR1"):
        return DataFormat("parquet", tuple(_siblings(path)))
    if is_picture_name(path.name):
        raise DataError(
            path,
            got="a single picture",
            expected="a data set: a csv, or a folder with a folder for each label",
            fix="name the folder, or recognise the picture with mien predict",
        )
    if is_archive(path):
        with members(path) as listing:
            names = [member.name for member in listing]
            if csv_members(listing):
                return _csv_format(path)
            if any(name.startswith("xl/") for name in names):
                raise DataError(
                    path,
                    got="an Excel workbook",
                    expected="a csv file",
                    fix="save the sheet as csv",
                )
            compressed = tuple(f".csv{one}" for one in (".gz", ".bz2", ".xz"))
            ends = (*PARQUET_SUFFIXES, *ARRAY_SUFFIXES, *compressed)
            if not any(
                is_picture_name(name) or is_archive_name(name) or name.lower().endswith(ends)
                for name in names
            ):
                raise nothing_inside(path, listing)
        return DataFormat("archive", (path,))
    return _csv_format(path)


def _siblings(path: Path) -> list[Path]:
    """`train-00000-of-00002.parquet` with the other parts and splits beside it."""
    if "-of-" not in path.stem:
        return [path]
    return sorted(
        file
        for file in path.parent.iterdir()
        if "-of-" in file.stem and file.suffix.lower() in PARQUET_SUFFIXES
    )


def _csv_in(entries: Sequence[Path]) -> Path | None:
    """The FER2013 csv among the files of one folder; train.csv only if it has columns of pixels."""
    named = {entry.name.lower(): entry for entry in entries}
    for name in (*NAMES, *PAIR):
        for suffix in SUFFIXES:
            path = named.get(name + suffix)
            if path is not None and (name in NAMES or _has_pixels(path)):
                return path
    return None


def _has_pixels(path: Path) -> bool:
    try:
        return bool(peek(path).pixels)
    except DataError:
        return False


def _csv_format(path: Path) -> DataFormat:
    """train.csv and test.csv together, unless one of them has a Usage column. One beside the other
    that cannot be read as pictures, such as a list of names, is left out with a note.
    """
    files, notes, has_usage = list[Path](), list[str](), False
    beside = companions(path)
    for file in beside if len(beside) > 1 else []:
        try:
            has_usage |= peek(file).usage is not None
        except DataError as error:
            if file == path:
                raise
            notes.append(f"{file.name} lies beside the data and was not read: {error}")
            continue
        files.append(file)
    return DataFormat("csv", (path,) if has_usage or not files else tuple(files), tuple(notes))
