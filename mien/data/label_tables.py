"""Pictures whose labels lie beside them: in a table, or in a file for each picture.

    labels.csv      file,label[,split][,person]     or other usual names; also tabs, `;`, spaces
    metadata.jsonl  {"file_name": ..., "label": ...} a line, as Hugging Face writes folders
    RAF-DB          EmoLabel/list_patition_label.txt: `train_00001.jpg 5`; pictures may be called
                    `train_00001_aligned.jpg`
    AffectNet       train_set/images/123.jpg with train_set/annotations/123_exp.npy

Used if the folders of the pictures do not name labels. A table of the persons in the pictures is
used in any case.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from mien.data.csv_header import COLUMNS
from mien.data.dataset import LEAVE_OUT
from mien.data.groups import FILE_COLUMNS, GROUP_COLUMNS
from mien.data.label_names import label_name
from mien.data.layout import Listing, split_named
from mien.data.tables import find_column, read_table, text_of
from mien.data.tree import Tree
from mien.errors import DataError, printable
from mien.vision.formats import is_picture_name

_ENDS = (".csv", ".tsv", ".txt", ".lst", ".jsonl")
_MAX_TABLE_BYTES = 200_000_000
_MIN_SHARE = 0.5  # of the pictures must be in a table
_MAX_LABELS = 50  # in a column whose name does not say that it has labels
_ENDINGS = ("", "_aligned", "_face", "_cropped")  # of picture names; tables leave them out


@dataclass(frozen=True)
class _Row:
    """The row of a picture in a table: its label or group as `value`, and its split."""

    value: str
    split: str | None


@dataclass
class _Index:
    """The rows of tables by path, in lower case with `/`; several if each split has a table.

    Attributes:
        whole: By whole paths.
        ends: By each end of a path, for tables that name more folders in front.
        tables: Names of the tables.
    """

    whole: dict[str, list[_Row]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[str, list[_Row]] = field(default_factory=lambda: defaultdict(list))
    tables: dict[str, None] = field(default_factory=dict)

    def add(self, key: str, row: _Row, table: str) -> None:
        self.whole[key].append(row)
        self.tables[table] = None
        parts = key.split("/")
        for start in range(1, len(parts)):
            self.ends["/".join(parts[start:])].append(row)

    def of(self, parts: Sequence[str]) -> _Row | None:
        """The row of a picture, whose path in the table may have more or fewer leading folders or
        another ending of the name. None if there is no such row, or if rows disagree.
        """
        stem, suffix = os.path.splitext(parts[-1].lower())
        above = [part.lower() for part in parts[:-1]]
        own = split_named(*parts[:-1])
        for index in (self.whole, self.ends):
            for ending in filter(stem.endswith, _ENDINGS):
                name = stem.removesuffix(ending)
                for start in range(len(above) + 1):
                    for end in (suffix, ""):
                        rows = index.get("/".join((*above[start:], f"{name}{end}")), [])
                        fitting = [row for row in rows if own in (None, row.split)] or rows
                        if len({row.value for row in fitting}) == 1:
                            return fitting[0]
        return None


@dataclass
class Tables:
    """The tables of a folder: their labels, their groups, and sentences about tables of pictures
    that have neither.
    """

    labels: _Index = field(default_factory=_Index)
    groups: _Index = field(default_factory=_Index)
    unread: list[str] = field(default_factory=list)


def tables_in(folder: Path, tree: Tree) -> Tables:
    """The tables in a folder, with its content, and in two levels of subfolders."""
    tables = Tables()
    for parts in tree.others:
        if parts[-1].lower().endswith(_ENDS) and len(parts) <= 3:
            _read(folder / Path(*parts), tables)
    return tables


def groups_beside(listing: Listing, folder: Path, tables: Tables) -> None:
    """Add groups, such as persons, from the tables in a folder to a listing of it."""
    index = tables.groups
    paths = [path.relative_to(folder).parts for path in listing.pictures]
    groups = [row.value if (row := index.of(parts)) else "" for parts in paths]
    if sum(map(bool, groups)) <= _MIN_SHARE * len(groups) or len(set(groups)) < 2:
        return
    listing.groups = groups
    listing.notes.append(
        f"{len(set(groups) - {''}):,} groups were read from {', '.join(index.tables)}, which lies "
        "beside the pictures: a random validation split keeps each whole."
    )
    listing.loose = max(0, listing.loose - len(index.tables))


def list_by_tables(
    folder: Path, tree: Tree, tables: Tables, on_error: str = "raise"
) -> tuple[Listing | None, list[str]]:
    """The pictures of a folder with labels from files beside them (None if there are none), and
    sentences about tables that could not be used.

    Args:
        folder: The folder.
        tree: Its content.
        tables: Its tables.
        on_error: `raise`, or `skip` to leave out pictures without a label.

    Raises:
        DataError: for pictures without a label, unless they are to be skipped.
    """
    if not tree.pictures:
        return None, []
    listing = Listing(folder, by_table=True)
    if _annotated(folder, tree.pictures[0]):
        _list_annotated(listing, tree.pictures, on_error)
        return listing, []
    rows = [(parts, tables.labels.of(parts)) for parts in tree.pictures]
    labelled = [(parts, row) for parts, row in rows if row is not None]
    if len(labelled) < max(1, _MIN_SHARE * len(rows)):
        return None, tables.unread
    num_equal = sum(row.value in map(label_name, parts[:-1]) for parts, row in labelled)
    if num_equal > _MIN_SHARE * len(labelled):
        return None, []  # the folders give the same labels
    row_groups: dict[int, str] = {}  # the path of the first picture of each row
    for parts, row in rows:
        path = folder / Path(*parts)
        if row is not None:
            split = row.split or split_named(*parts[:-1])
            group = row_groups.setdefault(id(row), "/".join(parts))
            listing.add(path, printable(row.value), split, group)
            continue
        error = DataError(
            path,
            got=f"a picture that {', '.join(tables.labels.tables)} does not list",
            expected="a label for each picture",
            fix=f"add a row for it, or {LEAVE_OUT}",
        )
        listing.leave_out(error, on_error)
    listing.has_splits = any(listing.splits)
    listing.notes.append(
        f"The labels of {len(listing.pictures):,} pictures were read from "
        f"{', '.join(tables.labels.tables)}."
    )
    if len(row_groups) == len(labelled):
        listing.groups = [""] * len(listing.pictures)
    else:
        listing.notes.append(_copies_note(listing, folder))
    return listing, []


def _copies_note(listing: Listing, folder: Path) -> str:
    """The note on rows with several pictures, such as RAF-DB's originals and aligned faces."""
    paths = [path.relative_to(folder).as_posix() for path in listing.pictures]
    copy, group = next((a, b) for a, b in zip(paths, listing.groups, strict=True) if a != b)
    return (
        f"{len(paths):,} pictures have {len(set(listing.groups)):,} rows: {printable(group)} and "
        f"{printable(copy)} share one. Pictures of a row stay in one split; name a folder of them "
        "to read each once."
    )


def _read(path: Path, tables: Tables) -> None:
    """Add the labels or groups of a table of pictures; skip any other file."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_TABLE_BYTES:
            return
        text = path.read_bytes()
        is_json = path.suffix.lower() == ".jsonl"
        names, rows = _json_rows(text) if is_json else read_table(text, os.fspath(path))
    except (DataError, OSError, ValueError):
        return
    file = find_column(names, FILE_COLUMNS)
    if (
        file is None
        and (file := _picture_column(rows)) is not None
        and is_picture_name(names[file])
    ):
        rows = [names, *rows]  # no header: a first row of a picture and its label
        names = [f"column {number}" for number in range(1, len(names) + 1)]
    if file is None:
        return
    label = find_column(names, (*COLUMNS["emotion"], "expression_label", "emotion_label"))
    group, split = find_column(names, GROUP_COLUMNS), find_column(names, COLUMNS["usage"])
    others = [place for place in range(len(names)) if place not in (file, group, split)]
    if label is None and others and (names[0] == "column 1" or len(names) == 2):
        few = len({row[others[0]] for row in rows}) <= _MAX_LABELS
        label = others[0] if few else None
    if label is None and group is None:
        if _picture_column(rows) is not None:
            columns = ", ".join(names[:8])
            tables.unread.append(f"{path.name} names pictures beside the columns {columns}")
        return
    split_of_table = split_named(path.stem)
    for row in rows:
        key = PurePosixPath(row[file].strip().replace("\\", "/").lower()).as_posix()
        if not key or key == ".":
            continue
        own_split = None if split is None else split_named(row[split])
        row_split = own_split or split_of_table or split_named(PurePosixPath(key).stem)
        if label is not None and (value := label_name(row[label])):
            tables.labels.add(key, _Row(value, row_split), path.name)
        if group is not None and (value := row[group].strip()):
            tables.groups.add(key, _Row(value, row_split), path.name)


def _json_rows(data: bytes) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of JSON objects, one a line.

    Raises:
        ValueError: for anything else.
    """
    objects = [json.loads(line) for line in text_of(data).splitlines() if line.strip()]
    if not objects or not all(isinstance(one, dict) for one in objects):
        raise ValueError("no JSON objects")
    names = list(dict.fromkeys(name for one in objects for name in one))
    rows = [["" if one.get(name) is None else str(one[name]) for name in names] for one in objects]
    return [name.strip().lower() for name in names], rows


def _picture_column(rows: Sequence[Sequence[str]]) -> int | None:
    """The first column with names of picture files; None if there is none."""
    sample = rows[:50]
    for place in range(len(sample[0]) if sample else 0):
        if sum(is_picture_name(row[place].strip()) for row in sample) > _MIN_SHARE * len(sample):
            return place
    return None


def _annotation(path: Path) -> Path:
    return path.parent.parent / "annotations" / f"{path.stem}_exp.npy"


def _annotated(folder: Path, parts: Sequence[str]) -> bool:
    return len(parts) > 1 and _annotation(folder / Path(*parts)).is_file()


def _list_annotated(listing: Listing, pictures: Iterable[Sequence[str]], on_error: str) -> None:
    for parts in pictures:
        path = listing.root / Path(*parts)
        try:
            label = label_name(np.load(_annotation(path), allow_pickle=False).item())
        except (OSError, ValueError) as error:
            unreadable = DataError(
                path,
                got=f"a picture whose annotation cannot be read ({error})",
                expected=f"its expression in {_annotation(path).name}",
                fix=f"copy it again, or {LEAVE_OUT}",
            )
            listing.leave_out(unreadable, on_error)
        else:
            listing.add(path, printable(label), split_named(*parts[:-1]))
    listing.has_splits = any(listing.splits)
    listing.notes.append(
        f"The labels of {len(listing.pictures):,} pictures were read from their annotations."
    )
