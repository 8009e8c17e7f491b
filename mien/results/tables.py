"""Results as a pandas table: the columns of the CSV, with types that allow missing values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mien.errors import MissingExtraError
from mien.results.columns import Row, check_labels, column_kinds, rows
from mien.results.frame import Frame
from mien.results.types import Face

if TYPE_CHECKING:
    import pandas

# Type of a column (`column_kinds`) -> pandas dtype.
_TYPES: dict[str, Any] = {
    "text": "string",
    "integer": "Int64",
    "float": "float32",
    "time": "float64",
    "boolean": "boolean",
}
# Columns of the preset `mien` that are about a picture, not about a face in it.
_PICTURE_COLUMNS = (
    *("source", "frame", "time_s", "width", "height", "detector", "prior", "faces"),
    *("error", "note", "drawn"),
)


def table(frames: Sequence[Frame], columns: str = "mien") -> pandas.DataFrame:
    """A row for each face, and one for each frame without a face or with an error.

    Raises:
        DataError: for frames of networks with different labels.
        UsageError: for another preset of columns.
        MissingExtraError: if pandas is not installed.
    """
    labels = next((frame.labels for frame in frames if frame.labels), ())
    heads: dict[str, Sequence[str]] = {}
    for frame in frames:
        check_labels(frame, labels)
        heads |= frame.heads
        for face in frame.faces:
            heads |= {name: tuple(answer) for name, answer in face.heads.items()}
    raw = any(face.raw is not None for frame in frames for face in frame.faces)
    kinds = column_kinds(labels, columns, heads=heads, raw=raw)
    return _data_frame([row for frame in frames for row in rows(frame, columns)], kinds)


def table_of_faces(
    faces: Sequence[Face], labels: tuple[str, ...], heads: Mapping[str, tuple[str, ...]]
) -> pandas.DataFrame:
    """A row for each face, with the columns that are about a face.

    Raises:
        MissingExtraError: if pandas is not installed.
    """
    data_frame = table([Frame("", 0, None, 0, 0, "", tuple(faces), labels=labels, heads=heads)])
    data_frame = data_frame.drop(columns=list(_PICTURE_COLUMNS))
    return data_frame if faces else data_frame.iloc[:0]


def _data_frame(records: Sequence[Row], kinds: dict[str, str]) -> pandas.DataFrame:
    try:
        import pandas
    except ImportError:
        raise MissingExtraError("pandas", "pandas") from None
    columns: dict[str, Any] = {
        name: pandas.array([row.get(name) for row in records], dtype=_TYPES[kind])
        for name, kind in kinds.items()
    }
    return pandas.DataFrame(columns)
