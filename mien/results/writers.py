"""Files of predictions: CSV, JSONL, JSON and Parquet, written frame by frame.

docs/results-format.md names every column and field.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self, TextIO, cast

from mien.errors import DataError, UsageError, check_word, printable
from mien.results.arrow import ArrowColumns
from mien.results.columns import Row, check_labels, column_kinds, rows
from mien.results.frame import FORMAT, Frame

FORMS = ("csv", "jsonl", "json", "parquet")
ROWS_A_GROUP = 10_000  # in a Parquet file


def form_of(path: Path) -> str:
    """The format of a table's file, by the ending of its name.

    Raises:
        UsageError: for another ending.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in FORMS:
        raise UsageError(
            f"{path}: got the ending {path.suffix!r}; expected one of .{', .'.join(FORMS)}. Fix: "
            "rename it"
        )
    return form


class Writer(Protocol):
    """Writes frames one by one; each is on disk (CSV, JSONL, JSON) when `write` returns."""

    def write(self, frame: Frame) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_writer(
    target: str | os.PathLike[str] | TextIO | BinaryIO,
    form: str,
    *,
    labels: Sequence[str],
    columns: str = "mien",
    heads: Mapping[str, Sequence[str]] | None = None,
    raw: bool = False,
    append: bool = False,
) -> Writer:
    """Open a file or stream for writing frames.

    Args:
        target: A path, whose file is replaced, or an open stream, which `close` flushes and leaves
            open.
        form: `csv`; `jsonl` (one frame per line); `json` (one document, complete once closed);
            `parquet` (row groups of 10,000 under a temporary name, renamed when closed; needs
            pyarrow).
        labels, columns, heads, raw: As for `column_kinds`; JSON and JSONL always hold everything.
        append: Continue a CSV or JSONL file, after removing a last line that was cut off.

    Raises:
        UsageError: for an unknown form or preset, or if `append` is impossible.
        DataError: if the file to continue has other columns; from `write`, for a face with other
            labels.
        MissingExtraError: for Parquet if pyarrow is not installed.
    """
    check_word("form of results", form, FORMS)
    kinds = column_kinds(labels, columns, heads=heads, raw=raw)
    if append and (form not in ("csv", "jsonl") or not isinstance(target, str | os.PathLike)):
        raise UsageError(
            f"append: got {form} or a stream; expected a csv or jsonl file. Fix: pass the path of "
            "such a file"
        )
    if form == "parquet":
        return _ParquetWriter(target, ArrowColumns(labels, columns, heads=heads, raw=raw))
    if form == "csv":

        def csv_rows(frame: Frame) -> str:
            check_labels(frame, tuple(labels))
            return csv_text(
                [
                    [cell(row.get(name), kind) for name, kind in kinds.items()]
                    for row in rows(frame, columns)
                ]
            )

        return _LineWriter(
            target, csv_rows, head=csv_text([[cell(name, "text") for name in kinds]]), append=append
        )
    if form == "jsonl":
        return _LineWriter(target, lambda frame: _json(frame) + "\n", append=append)
    head = f'{{"format": "{FORMAT}", "frames": ['
    return _LineWriter(
        target, lambda frame: "\n" + _json(frame), head=head, separator=",", tail="\n]}\n"
    )


class _LineWriter:
    """Writes text, flushed after every frame."""

    def __init__(
        self,
        target: str | os.PathLike[str] | TextIO | BinaryIO,
        text: Callable[[Frame], str],
        *,
        head: str = "",
        separator: str = "",
        tail: str = "",
        append: bool = False,
    ) -> None:
        self._text, self._separator, self._tail = text, separator, tail
        self._is_first, self._is_own = True, isinstance(target, str | os.PathLike)
        if isinstance(target, str | os.PathLike):
            if append and _remove_partial_line(Path(target), head):
                head = ""
            self._stream: TextIO | BinaryIO = Path(target).open("ab" if append else "wb")
        else:
            self._stream = target
        self._write_text(head)

    def write(self, frame: Frame) -> None:
        text = self._text(frame)
        self._write_text(text if self._is_first else self._separator + text)
        self._is_first = False

    def close(self) -> None:
        if self._stream.closed:
            return
        self._write_text(self._tail)
        self._tail = ""
        if self._is_own:
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_text(self, text: str) -> None:
        if isinstance(self._stream, io.TextIOBase):
            self._stream.write(text)
        else:
            cast("BinaryIO", self._stream).write(text.encode("utf-8"))
        self._stream.flush()


class _ParquetWriter:
    """Writes row groups under a temporary name, so the final name is never a partial file."""

    def __init__(
        self, target: str | os.PathLike[str] | TextIO | BinaryIO, columns: ArrowColumns
    ) -> None:
        import pyarrow.parquet

        self._columns = columns
        self._path = Path(target) if isinstance(target, str | os.PathLike) else None
        self._part = None if self._path is None else self._path.with_name(self._path.name + ".part")
        self._file = pyarrow.parquet.ParquetWriter(self._part or target, columns.schema)
        self._rows: list[Row] = []
        self._is_open = True

    def write(self, frame: Frame) -> None:
        self._rows += self._columns.rows(frame)
        if len(self._rows) >= ROWS_A_GROUP:
            self._flush()

    def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._flush()
        self._file.close()
        if self._part is not None and self._path is not None:
            os.replace(self._part, self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(self._columns.table(self._rows))
            self._rows = []


def _remove_partial_line(path: Path, head: str) -> bool:
    """Remove a cut-off last line from a file that begins with `head`.

    Returns:
        Whether the file exists and has lines.
    """
    if not path.exists():
        return False
    with path.open("rb+") as file:
        beginning = file.read(len(head.encode()))
        if not head.encode().startswith(beginning):
            raise DataError(
                path, got="other columns", expected=head.strip(), fix="write to another file"
            )
        end = file.seek(0, os.SEEK_END)
        while end > 0:  # search backwards for the last line end
            start = max(0, end - 65_536)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        file.truncate(end)
    return end > 0


def _json(frame: Frame) -> str:
    values = frame.to_dict()
    return json.dumps({**_nine_digits(values), "time_s": values["time_s"]}, allow_nan=False)


def _nine_digits(value: Any) -> Any:
    """Numbers rounded to nine significant digits, which restore a 32-bit float exactly."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {name: _nine_digits(item) for name, item in value.items()}
    return [_nine_digits(item) for item in value] if isinstance(value, list) else value


def csv_text(lines: list[list[str]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()


def cell(value: Any, kind: str) -> str:
    """A value as text. Nine digits restore a float32 exactly; times have microseconds."""
    if value is None:
        return ""
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "float":
        return format(value, ".9g")
    if kind == "time":
        return repr(round(float(value), 6))
    text = printable(str(value))
    # A spreadsheet takes these for formulas. Only paths begin so, and ./ keeps their meaning.
    return "./" + text if kind == "text" and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
