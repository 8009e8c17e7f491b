"""Read text tables: csv with `,`, `;` or tabs, in UTF-8, UTF-16 or Latin-1, with or without a byte
order mark, with the line ends of any system.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from mien.errors import DataError

DELIMITERS = ",;\t| "


def read_table(data: bytes, where: str) -> tuple[list[str], list[list[str]]]:
    """Column names in lower case without surrounding spaces, and the rows, filled up to the header.

    Raises:
        DataError: for an empty table, or a row with more fields than the header.
    """
    lines = list(csv.reader(io.StringIO(text_of(data)), delimiter=delimiter_of(data)))
    lines = [line for line in lines if any(cell.strip() for cell in line)]
    if not lines:
        raise DataError(
            where,
            got="an empty table",
            expected="a line with the names of the columns, and rows",
            fix="name another table",
        )
    names = [name.strip().lower() for name in lines[0]]
    for number, line in enumerate(lines[1:], 2):
        if len(line) > len(names):
            raise DataError(
                where,
                row=number,
                got=f"{len(line)} fields",
                expected=f"{len(names)}, as in the header",
                fix="put texts that contain the delimiter in quotes",
            )
    return names, [line + [""] * (len(names) - len(line)) for line in lines[1:]]


def column(names: Sequence[str], candidates: Sequence[str], where: str, what: str) -> int:
    """Position of the first candidate that is among the names.

    Raises:
        DataError: if there is none.
    """
    plain = [name.replace(" ", "_").replace("-", "_").replace(".", "_") for name in names]
    for name in candidates:
        if name in plain:
            return plain.index(name)
    raise DataError(
        where,
        row=1,
        got=f"the columns {', '.join(map(repr, names[:8]))}",
        expected=f"a column with {what}, named {', '.join(candidates[:6])} ...",
        fix="rename the column",
    )


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
    first = text_of(data[:65536]).lstrip().split("\n", 1)[0]
    commonest = max(DELIMITERS[:-1], key=first.count)
    return commonest if first.count(commonest) else DELIMITERS[-1]
