"""Rows of a csv, Parquet file or arrays as faces to predict: `mien predict test.csv`.

Rows without labels are predicted, or all rows if all have labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mien.constants import ARRAY_SUFFIXES, PARQUET_SUFFIXES
from mien.data.dataset import UNLABELLED, Dataset, LeftOut

_SUFFIXES = (
    *(
        f"{kind}{compressed}"
        for kind in (".csv", ".tsv")
        for compressed in ("", ".gz", ".bz2", ".xz")
    ),
    *PARQUET_SUFFIXES,
    *ARRAY_SUFFIXES,
)


def is_table(path: str) -> bool:
    """Whether a path has the name of a table of faces, and exists."""
    return path.lower().endswith(_SUFFIXES) and Path(path).is_file()


def rows_to_predict(
    paths: Sequence[str],
) -> tuple[Mapping[str, np.ndarray], list[str], list[LeftOut]]:
    """The faces of tables.

    Returns:
        uint8 (48, 48) by `path:line` (for arrays `path:row`, from 0), notes, and the rows that
        could not be read.

    Raises:
        DataError: for a table that cannot be read at all.
    """
    faces: dict[str, np.ndarray] = {}
    notes: list[str] = []
    left_out: list[LeftOut] = []
    for path in paths:
        dataset = _read(Path(path))
        left_out += dataset.left_out
        chosen = dataset.labels == UNLABELLED
        num = int(chosen.sum())
        if not num:
            chosen[:] = True
            notes.append(
                f"{path}: all {len(dataset):,} rows have labels; all are predicted. mien evaluate "
                "says how many are right."
            )
        elif num < len(dataset):
            notes.append(
                f"{path}: {num:,} of {len(dataset):,} rows have no label; they are predicted."
            )
        for row, image in zip(dataset.rows[chosen], dataset.images[chosen], strict=True):
            faces[f"{path}:{row}"] = image[:, :, 0]
    return faces, notes, left_out


def _read(path: Path) -> Dataset:
    # Imported here: importing the readers takes longer than predicting a picture.
    from mien.data.arrays import read_arrays
    from mien.data.fer2013_csv import read_csv
    from mien.data.parquet import read_parquet
    from mien.data.pictures import ReadOptions

    options = ReadOptions(faces="whole", on_error="skip")
    source = str(path)
    name = path.name.lower()
    if name.endswith(PARQUET_SUFFIXES):
        return read_parquet([path], options, source=source)
    if name.endswith(ARRAY_SUFFIXES):
        return read_arrays([path], options, source=source)
    return read_csv([path], options, source=source)
