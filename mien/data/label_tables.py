"""Pictures whose labels lie beside them: in a table, or in a file for each picture.

    labels.csv      file,label[,split][,person]     or other usual names; also tabs, `;`, spaces
    metadata.jsonl  {"file_name": ..., "label": ...} a line, as Hugging Face writes folders
    ExpW            label.lst: `name.jpg 0 10 12 90 88 50.5 3`, a line for each face
    RAF-DB          EmoLabel/list_patition_label.txt: `train_00001.jpg 5`; pictures may be called
                    `train_00001_aligned.jpg`
    AffectNet       train_set/images/123.jpg with train_set/annotations/123_exp.npy

Used if the folders of the pictures do not name labels. A table of the persons in the pictures is
used in any case.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from mien.data.csv_header import COLUMNS
from mien.data.dataset import LEAVE_OUT, SPLITS
from mien.data.groups import FILE_COLUMNS, GROUP_COLUMNS
from mien.data.label_names import label_name
from mien.data.layout import FOLDER_GROUPS, Listing, split_named
from mien.data.tables import find_column, ignored_splits, read_table, text_of
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
    """The row of a picture in a table: its label or group as `value`, empty if it has none, and its
    split: None if the table does not say, or the text itself if that is no split's name.
    """

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

    def of(self, parts: Sequence[str]) -> list[_Row]:
        """The row of a picture, whose path in the table may have more or fewer leading folders or
        another ending of the name; several if rows disagree.
        """
        disagreeing = list[_Row]()
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
                        fitting = [row for row in fitting if row.value] or fitting
                        if len({row.value for row in fitting}) == 1:
                            return fitting[:1]
                        disagreeing = disagreeing or fitting
        return disagreeing


@dataclass
class Tables:
    """The tables of a folder: their labels, their groups, notes, and tables of pictures that cannot
    be used (`Listing.unread`).
    """

    labels: _Index = field(default_factory=_Index)
    groups: _Index = field(default_factory=_Index)
    notes: list[str] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)


def tables_in(folder: Path, tree: Tree) -> Tables:
    """The tables in a folder, with its content, and in two levels of subfolders."""
    tables = Tables()
    for parts in tree.others:
        if parts[-1].lower().endswith(_ENDS) and len(parts) <= 3:
            _read(folder / Path(*parts), tables)
    return tables


def groups_beside(listing: Listing, folder: Path, tables: Tables) -> None:
    """Take groups, such as persons, from the tables in a folder for a listing of it. Pictures that
    the tables do not list keep the group of their folder.
    """
    index = tables.groups
    paths = [path.relative_to(folder).parts for path in listing.pictures]
    groups = [rows[0].value if len(rows := index.of(parts)) == 1 else "" for parts in paths]
    if sum(map(bool, groups)) <= _MIN_SHARE * len(groups) or len(set(groups)) < 2:
        return
    folders = defaultdict[str, set[str]](set)
    for new, old in zip(groups, listing.groups, strict=True):
        folders[new].add(old)
    if any(listing.groups) and all(len(names) == 1 for names in folders.values()):
        return  # clips of persons, say: the folders keep more together
    listing.notes = [note for note in listing.notes if not note.startswith(FOLDER_GROUPS)]
    listing.groups = [new or old for new, old in zip(groups, listing.groups, strict=True)]
    listing.notes.append(
        f"{len(set(groups) - {''}):,} groups were read from {', '.join(index.tables)}, which lies "
        "beside the pictures: a random validation split keeps each whole."
    )
    listing.loose = max(0, listing.loose - len(index.tables))


def list_by_tables(
    folder: Path, tree: Tree, tables: Tables, on_error: str = "raise"
) -> tuple[Listing | None, list[tuple[str, str]]]:
    """The pictures of a folder with labels from files beside them (None if there are none), and
    tables that could not be used, as in `Listing.unread`.

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
    found = [(parts, tables.labels.of(parts)) for parts in tree.pictures]
    labelled = [(parts, rows[0]) for parts, rows in found if rows and rows[0].value]
    used = {id(row) for _, rows in found for row in rows}
    many = sum(bool(rows) for _, rows in found) >= _MIN_SHARE * len(found)
    # A table may also list a few of many pictures, such as the last of each film of CK+.
    if not labelled or not (many or len(used) >= _MIN_SHARE * len(tables.labels.whole)):
        return None, [*tables.unread, *_few(tables.labels, len(labelled), len(found))]
    num_equal = sum(row.value in map(label_name, parts[:-1]) for parts, row in labelled)
    if num_equal > _MIN_SHARE * len(labelled):
        return None, []  # the folders give the same labels
    names = ", ".join(tables.labels.tables)
    # Splits without a single label, such as the test split of a competition, are no mistake.
    unlabelled = set(SPLITS[1:]) - {row.split for _, row in labelled}
    counts: Counter[str] = Counter()
    row_groups: dict[int, str] = {}  # the path of the first picture of each row
    for parts, rows in found:
        if len(rows) == 1 and not rows[0].value and rows[0].split in unlabelled:
            counts[str(rows[0].split)] += 1
        elif error := _refused(folder / Path(*parts), rows, names):
            listing.leave_out(error, on_error)
        else:
            (row,) = rows
            group = row_groups.setdefault(id(row), "/".join(parts))
            split = row.split or split_named(*parts[:-1])
            listing.add(folder / Path(*parts), printable(row.value), split, group)
    listing.has_splits = any(listing.splits)
    listing.notes.append(
        f"The labels of {len(listing.pictures):,} pictures were read from {names}."
    )
    listing.notes += tables.notes
    listing.notes += [
        f"{number:,} pictures of the {split} split have no labels in {names} and were left out: "
        "mien predict recognises them."
        for split, number in counts.items()
    ]
    if len(row_groups) == len(listing.pictures):
        listing.groups = [""] * len(listing.pictures)
    else:
        listing.notes.append(_copies_note(listing, folder))
    return listing, []


def _few(index: _Index, labelled: int, pictures: int) -> list[tuple[str, str]]:
    """What to say of tables of labels that list too few of the pictures."""
    if not index.whole:
        return []
    example = next(iter(index.whole))
    said = f"{', '.join(index.tables)} labels {labelled:,} of {pictures:,} pictures"
    fix = f"correct the names of files in the table (the first: {printable(example[-60:])!r})"
    return [(f"{said} here", fix)]


def _refused(path: Path, rows: Sequence[_Row], tables: str) -> DataError | None:
    """Why a picture cannot be read with its rows; None if it can."""
    fix, expected = "correct its row", "a label for each picture"
    if not rows:
        got, fix = f"a picture that {tables} does not list", "add a row for it"
    elif len(rows) > 1:
        labels = ", ".join(sorted({row.value for row in rows})[:4])
        got = f"a picture with several labels in {tables}: {labels}"
    elif not rows[0].value:
        got = f"a picture without a label in {tables}"
    elif rows[0].split not in (None, *SPLITS):
        got, expected = f"the split {rows[0].split!r} in {tables}", "train, val or test"
    else:
        return None
    return DataError(path, got=got, expected=expected, fix=f"{fix}, or {LEAVE_OUT}")


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
    headless = False
    if file is None and (file := _picture_column(rows)) is not None:
        headless = is_picture_name(names[file])  # a first row of a picture and its label
    if file is None:
        return
    if headless:
        rows = [names, *rows]
        names = [f"column {number}" for number in range(1, len(names) + 1)]
    label = find_column(names, (*COLUMNS["emotion"], "expression_label", "emotion_label"))
    group, split = find_column(names, GROUP_COLUMNS), find_column(names, COLUMNS["usage"])
    if split is not None and not any(split_named(row[split]) for row in rows):
        tables.notes.append(
            f"The column {names[split]} of {path.name} names no splits (the first row: "
            f"{printable(rows[0][split][:40])!r}) and was not used."
        )
        split = None
    if split is None:
        tables.notes += ignored_splits(names, path.name)
    if headless:
        split = next(
            (k for k in range(len(names)) if all(split_named(row[k]) for row in rows)), None
        )
        if _is_expw(rows):
            rows, label = _largest_faces(rows), len(names) - 1
            tables.notes.append(f"{path.name} was read as ExpW's: the largest face has the label.")
    others = [place for place in range(len(names)) if place not in (file, group, split)]
    if label is None and (len(others) == 1 if headless else len(names) == 2 and others):
        few = len({row[others[0]] for row in rows}) <= _MAX_LABELS
        label = others[0] if few else None
    if label is None and group is None:
        if headless or _picture_column(rows) is not None:
            tables.unread.append(_unnamed(path.name, names, headless))
        return
    split_of_table = split_named(path.stem)
    keys = [PurePosixPath(row[file].strip().replace("\\", "/").lower()).as_posix() for row in rows]
    # `train_00001.jpg` is a split if all names are alike; `Val_Kilmer_0002.jpg` is a person.
    by_name = all(split_named(PurePosixPath(key).stem) for key in keys if key != ".")
    for row, key in zip(rows, keys, strict=True):
        if key == ".":
            continue
        own_split = None if split is None else split_named(row[split])
        row_split = own_split or split_of_table
        if row_split is None and by_name:
            row_split = split_named(PurePosixPath(key).stem)
        if split is not None and row_split is None:
            row_split = row[split].strip()
        if label is not None:
            tables.labels.add(key, _Row(label_name(row[label]), row_split), path.name)
        if group is not None and (value := row[group].strip()):
            tables.groups.add(key, _Row(value, row_split), path.name)


def _unnamed(table: str, names: Sequence[str], headless: bool) -> tuple[str, str]:
    """What to say of a table of pictures in which no column is known to hold labels."""
    if headless:
        said = f"{table} names pictures beside {len(names) - 1} columns without names"
        return said, "write the names of the columns into its first line, such as file,label"
    known = ", ".join(COLUMNS["emotion"][:4])
    said = f"{table} names pictures beside the columns {', '.join(names[:8])}"
    return f"{said}, none of which is called {known} ...", "call the column of labels 'label'"


def _is_expw(rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows are those of ExpW's label.lst (Zhang et al. 2018): picture, number of the face,
    top, left, right, bottom, confidence, expression.
    """
    try:
        numbers = [list(map(float, row[1:])) for row in rows if len(row) == 8]
    except ValueError:
        return False
    in_order = all(one[1] <= one[4] and one[2] <= one[3] for one in numbers)
    return len(numbers) == len(rows) and in_order and all(one[6] in range(7) for one in numbers)


def _largest_faces(rows: Sequence[list[str]]) -> list[list[str]]:
    """The row of the largest face of each picture of ExpW."""
    largest: dict[str, tuple[float, list[str]]] = {}
    for row in rows:
        top, left, right, bottom = map(float, row[2:6])
        area = (right - left) * (bottom - top)
        if row[0] not in largest or area > largest[row[0]][0]:
            largest[row[0]] = area, row
    return [row for _, row in largest.values()]


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
