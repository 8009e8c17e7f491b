"""Read text tables: csv with `,`, `;` or tabs, in UTF-8, UTF-16 or Latin-1, with or without a byte
order mark, with the line ends of any system.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from mien.errors import DataError

_DELIMITERS = ",;\t| "
# Columns that divide rows by numbers, which may mean any split.
_DIVISIONS = (
    *("is_train", "is_training", "train", "is_test", "test", "is_val", "is_valid"),
    *("is_validation", "fold", "folds", "kfold", "k_fold", "cv_fold"),
)


def read_table(data: bytes, where: str) -> tuple[list[str], list[list[str]]]:
    """Column names in lower case without surrounding spaces, and the rows, filled up to the header.

    Raises:
        DataError: for an empty table, or a row with more fields than the header.
    """
    rows = csv_rows(io.StringIO(text_of(data), newline=""), delimiter_of(data))
    lines = [(number, cells) for number, cells in rows if any(cell.strip() for cell in cells)]
    if not lines:
        raise DataError(
            where,
            got="an empty table",
            expected="a line with the names of the columns, and rows",
            fix="name another table",
        )
    names = [name.strip().lower() for name in lines[0][1]]
    for number, cells in lines[1:]:
        if len(cells) > len(names):
            raise DataError(
                where,
                row=number,
                got=f"{len(cells)} fields",
                expected=f"{len(names)}, as in the header",
                fix="put texts that contain the delimiter in quotes",
            )
    return names, [cells + [""] * (len(names) - len(cells)) for _, cells in lines[1:]]


def csv_rows(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a csv, each with the number of its (last) line."""
    # Of the whole process. Python's own limit is less than the pixels of a large picture.
    csv.field_size_limit(1 << 30)
    reader = csv.reader(lines, delimiter=delimiter)
    for cells in reader:
        yield reader.line_num, cells


def column(names: Sequence[str], candidates: Sequence[str], where: str, what: str) -> int:
    """Position of the first candidate that is among the names.

    Raises:
        DataError: if there is none.
    """
    place = find_column(names, candidates)
    if place is not None:
        return place
    raise DataError(
        where,
        row=1,
        got=f"the columns {', '.join(map(repr, names[:8]))}",
        expected=f"a column with {what}, named {', '.join(candidates[:6])} ...",
        fix="rename the column",
    )


def find_column(names: Sequence[str], candidates: Sequence[str]) -> int | None:
    """Position of the first candidate that is among the names; None if there is none."""
    plain = [name.replace(" ", "_").replace("-", "_").replace(".", "_") for name in names]
    return next((plain.index(name) for name in candidates if name in plain), None)


def ignored_splits(names: Sequence[str], table: str) -> list[str]:
    """A note on columns that divide the rows in other ways than by the names of splits.

    Args:
        names: All columns, in lower case, of a table that has no column of splits.
        table: The table's name.
    """
    found = [name for name in names if name.replace(" ", "_").replace("-", "_") in _DIVISIONS]
    note = (
        f"In {table}, {', '.join(found)} did not count: a column split of training, validation or "
        "test says where each row belongs."
    )
    return [note] if found else []


def text_of(data: bytes) -> str:
    """Decode by the byte order mark, else as UTF-8, else as Latin-1."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def delimiter_of(data: bytes) -> str:
    """The delimiter that occurs most often in the first line; a space only if no other occurs."""
    first = next(iter(text_of(data[:65536]).lstrip().splitlines()), "")
    commonest = max(_DELIMITERS[:-1], key=first.count)
    return commonest if first.count(commonest) else _DELIMITERS[-1]
