"""Frames as Arrow tables: the columns and values of a Parquet file of results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mien.errors import MissingExtraError, printable
from mien.results.columns import Row, check_labels, column_kinds, rows
from mien.results.frame import Frame


class ArrowColumns:
    """Converts frames to Arrow tables, all with the same schema.

    Args:
        labels, columns, heads, raw: As for `mien.results.columns.column_kinds`.

    Raises:
        MissingExtraError: if pyarrow is not installed.
        UsageError: for an unknown preset of columns.
    """

    def __init__(
        self,
        labels: Sequence[str],
        columns: str = "mien",
        *,
        heads: Mapping[str, Sequence[str]] | None = None,
        raw: bool = False,
    ) -> None:
        try:
            import pyarrow
        except ImportError:
            raise MissingExtraError("pyarrow", "parquet") from None
        types = {
            "text": pyarrow.string(),
            "integer": pyarrow.int64(),
            "float": pyarrow.float32(),
            "time": pyarrow.float64(),
            "boolean": pyarrow.bool_(),
        }
        kinds = column_kinds(labels, columns, heads=heads, raw=raw)
        self._arrow, self._labels, self._columns = pyarrow, tuple(labels), columns
        self.schema: Any = pyarrow.schema([(name, types[kind]) for name, kind in kinds.items()])

    def rows(self, frame: Frame) -> list[Row]:
        """The rows of a frame, for `table`.

        Raises:
            DataError: for a face with other labels.
        """
        check_labels(frame, self._labels)
        return rows(frame, self._columns)

    def table(self, rows: Sequence[Row]) -> Any:
        """A `pyarrow.Table` of rows."""
        arrays = [
            self._arrow.array([_cell(row.get(field.name)) for row in rows], type=field.type)
            for field in self.schema
        ]
        return self._arrow.Table.from_arrays(arrays, schema=self.schema)

    def table_of(self, frames: Iterable[Frame]) -> Any:
        """A `pyarrow.Table` of frames."""
        return self.table([row for frame in frames for row in self.rows(frame)])


def _cell(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value
