"""Pictures whose labels lie beside them: in a table, or in a file for each picture.

    labels.csv      file,label[,split][,person]     under any of the usual names; also tabs, `;`
    RAF-DB          EmoLabel/list_patition_label.txt: `train_00001.jpg 5`; pictures may be called
                    `train_00001_aligned.jpg`
    AffectNet       train_set/images/123.jpg with train_set/annotations/123_exp.npy

This is used if the folders of the pictures do not name labels.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from mien.data.csv_header import COLUMNS
from mien.data.dataset import LEAVE_OUT, SPLITS, LeftOut
from mien.data.groups import FILE_COLUMNS, GROUP_COLUMNS
from mien.data.label_names import label_name
from mien.data.layout import SPLIT_NAMES, Listing, split_word, walk
from mien.data.tables import read_table
from mien.errors import DataError, printable
from mien.vision.formats import is_picture_name

_ENDS = (".csv", ".tsv", ".txt", ".lst")
_MOST = 200_000_000  # bytes of a table
_ENOUGH = 0.5  # share of the pictures that a table must list
_ENDINGS = ("", "_aligned", "_face", "_cropped")  # of a picture's name; tables leave them out


@dataclass(frozen=True)
class _Row:
    """What a table says about one file."""

    label: str
    split: str | None
    group: str


@dataclass
class _Tables:
    """Rows of tables by their paths, in lower case with `/`; a path may have a row in the table of
    each split.
    """

    rows: dict[str, list[_Row]] = field(default_factory=lambda: defaultdict(list))
    names: list[str] = field(default_factory=list)

    def of(self, parts: Sequence[str]) -> _Row | None:
        """The row of a picture, whose path in the table may have more or fewer leading folders or
        another ending of the name. None if there is no such row, or if rows contradict each other.
        """
        stem, suffix = os.path.splitext(parts[-1].lower())
        above = [part.lower() for part in parts[:-1]]
        own = _split_of(parts[:-1])
        for ending in _ENDINGS:
            if not stem.endswith(ending):
                continue
            name = stem.removesuffix(ending)
            for start in range(len(above) + 1):
                for end in (suffix, ""):
                    rows = self.rows.get("/".join((*above[start:], f"{name}{end}")), [])
                    fitting = [row for row in rows if own in (None, row.split)] or rows
                    if len({row.label for row in fitting}) == 1:
                        return fitting[0]
        return None


def list_by_tables(folder: Path, on_error: str = "raise") -> Listing | None:
    """List the pictures of a folder with the labels that lie beside them; None if there are none.

    Raises:
        DataError: for pictures without a label, unless they are to be skipped.
    """
    tree = walk(folder)
    if not tree.pictures:
        return None
    listing = Listing(folder)
    if _annotated(folder, tree.pictures[0]):
        _list_annotated(listing, tree.pictures, on_error)
        return listing
    tables = _Tables()
    for parts in tree.others:
        if parts[-1].lower().endswith(_ENDS) and len(parts) <= 3:
            _read(folder / Path(*parts), tables)
    pictures = [(parts, tables.of(parts)) for parts in tree.pictures]
    listed = [(parts, row) for parts, row in pictures if row is not None]
    if len(listed) < max(1, _ENOUGH * len(pictures)):
        return None
    alike = sum(row.label in map(label_name, parts[:-1]) for parts, row in listed)
    if alike > _ENOUGH * len(listed):
        return None  # the folders say the same
    for parts, row in pictures:
        path = folder / Path(*parts)
        if row is not None:
            split = row.split or _split_of(parts[:-1])
            _add(listing, path, row.label, split, row.group)
            continue
        error = DataError(
            path,
            got=f"a picture that {', '.join(tables.names)} does not list",
            expected="a label for each picture",
            fix=f"add a row for it, or {LEAVE_OUT}",
        )
        if on_error == "raise":
            raise error
        listing.left_out.append(LeftOut(error.where, None, f"got {error.got}"))
    listing.has_splits = any(listing.splits)
    listing.notes.append(
        f"The labels of {len(listing.pictures):,} pictures were read from "
        f"{', '.join(dict.fromkeys(tables.names))}."
    )
    return listing


def _add(listing: Listing, path: Path, label: str, split: str | None, group: str) -> None:
    listing.pictures.append(path)
    listing.labels.append(printable(label))
    listing.splits.append(SPLITS.index(split or "training"))
    listing.groups.append(group)


def _split_of(above: Iterable[str]) -> str | None:
    for part in above:
        word = split_word(part)
        if word:
            return SPLIT_NAMES[word]
    return None


def _read(path: Path, tables: _Tables) -> None:
    """Add a table of files and labels; any other file is ignored."""
    if path.stat().st_size > _MOST:
        return
    try:
        names, rows = read_table(path.read_bytes(), os.fspath(path))
    except (DataError, OSError):
        return
    file = _first(names, FILE_COLUMNS)
    label = _first(names, (*COLUMNS["emotion"], "expression_label", "emotion_label"))
    if file is None or label is None:
        if len(names) < 2 or not is_picture_name(names[0]):
            return  # neither a header nor a first row of a picture and its label
        file, label, rows = 0, 1, [names, *rows]
    split, group = _first(names, COLUMNS["usage"]), _first(names, GROUP_COLUMNS)
    named = split_word(path.stem)
    for row in rows:
        key = PurePosixPath(row[file].strip().replace("\\", "/").lower()).as_posix()
        text = label_name(row[label])
        if not key or key == "." or not text:
            continue
        word = split_word(row[split]) if split is not None else None
        word = word or named or split_word(PurePosixPath(key).stem)
        person = row[group].strip() if group is not None else ""
        tables.rows[key].append(_Row(text, SPLIT_NAMES[word] if word else None, person))
    tables.names.append(path.name)


def _first(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    plain = [name.replace(" ", "_").replace("-", "_") for name in names]
    return next((plain.index(name) for name in wanted if name in plain), None)


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
            wrong = DataError(
                path,
                got=f"a picture whose annotation cannot be read ({error})",
                expected=f"its expression in {_annotation(path).name}",
                fix=f"copy it again, or {LEAVE_OUT}",
            )
            if on_error == "raise":
                raise wrong from error
            listing.left_out.append(LeftOut(wrong.where, None, f"got {wrong.got}"))
            continue
        _add(listing, path, label, _split_of(parts[:-1]), "")
    listing.has_splits = len(set(listing.splits)) > 1 or any(listing.splits)
    listing.notes.append(
        f"The labels of {len(listing.pictures):,} pictures were read from their annotations."
    )
