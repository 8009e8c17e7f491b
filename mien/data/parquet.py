"""Faces and labels in Parquet files, as Hugging Face distributes them.

A column has the pictures: bytes of files (alone, or as {"bytes", "path"}), lists of pixels, nested
or flat, or pixels as text. Another has the labels: names, or numbers whose names the file's
metadata may give. Files named like `train-00000-of-00001.parquet` name their split.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.csv_header import COLUMNS
from mien.data.dataset import SPLITS, Dataset
from mien.data.face_cache import Source
from mien.data.groups import GROUP_COLUMNS
from mien.data.label_names import numbered
from mien.data.layout import SPLIT_NAMES, split_word
from mien.data.pictures import How, read_faces
from mien.errors import DataError, MissingExtraError

SUFFIXES = (".parquet", ".pq")
_PICTURES = ("image", "img", "picture", "face", "photo", "pixels", "img_bytes", "image_bytes")
_BATCH = 2048  # rows decoded from Parquet at a time


def read_parquet(files: Sequence[Path], how: How, *, source: str) -> Dataset:
    """Read some Parquet files as one data set.

    Raises:
        MissingExtraError: if pyarrow is not installed.
        DataError: for damaged files, or files without a column of pictures.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet") from error
    pictures, labels, splits = list[Source](), list[object](), list[int]()
    groups, names, notes = list[str](), list[str](), list[str]()
    for path in files:
        try:
            with parquet.ParquetFile(path) as file:
                schema = file.schema_arrow
                columns = _columns(schema, os.fspath(path))
                meanings = _meanings(schema, columns["label"])
                above = path.parent.name.lower()
                named = split_word(path.stem.split("-")[0]) or (
                    above if above in SPLIT_NAMES else None
                )
                for batch in file.iter_batches(_BATCH, columns=_roots(columns)):
                    for row in _rows(batch, columns):
                        pictures.append(_picture(row["picture"], os.fspath(path), len(pictures)))
                        labels.append(_meant(row["label"], meanings))
                        splits.append(_split(row["split"], named))
                        groups.append("" if row["group"] is None else str(row["group"]))
                        names.append(_name(row["picture"], path, len(names)))
        except (arrow.ArrowException, OSError) as error:
            raise DataError(
                path,
                got=f"a file that cannot be read as Parquet ({str(error)[:200]})",
                expected="a whole Parquet file",
                fix="copy or download it again",
            ) from error
    if not pictures:
        raise DataError(
            source,
            got="Parquet files without rows",
            expected="a row for each picture",
            fix="download them again",
        )
    read = read_faces(pictures, names, how, source)
    places, label_set, are_numbers = numbered(labels, source)
    if are_numbers:
        notes.append("Labels are numbers, read as FER2013's (--labels names others).")
    if not any(splits):
        notes.append("The files have no splits.")
    return Dataset(
        read.images,
        places[read.rows],
        np.array(splits, np.uint8)[read.rows],
        read.rows,
        label_set,
        source,
        notes=(*notes, *read.notes),
        left_out=tuple(read.left_out),
        files=np.array(names, object)[read.rows],
        groups=np.array(groups, object)[read.rows] if any(groups) else None,
        cropped=read.cropped,
        numbered=are_numbers,
    )


def _columns(schema: Any, where: str) -> dict[str, str | None]:
    """Names of the columns for picture, label, split and group."""
    plain = {name.lower().replace(" ", "_"): name for name in schema.names}

    def first(wanted: Sequence[str]) -> str | None:
        return next((plain[name] for name in wanted if name in plain), None)

    picture = first(_PICTURES) or next(
        (name for name in schema.names if _holds_pictures(schema.field(name).type)), None
    )
    if picture is None:
        raise DataError(
            where,
            got="the columns " + ", ".join(schema.names[:8]),
            expected="a column of pictures: image, pixels, ...",
            fix="rename the column of pictures to image",
        )
    return {
        "picture": picture,
        "label": first(COLUMNS["emotion"]),
        "split": first(COLUMNS["usage"]),
        "group": first(GROUP_COLUMNS),
    }


def _holds_pictures(kind: Any) -> bool:
    text = str(kind)
    return "binary" in text or text.startswith(("list", "large_list", "fixed_size_list"))


def _roots(columns: dict[str, str | None]) -> list[str]:
    return [name for name in columns.values() if name is not None]


def _meanings(schema: Any, column: str | None) -> list[str]:
    """Names of numbered labels, which Hugging Face's `ClassLabel` stores in the metadata."""
    try:
        facts = json.loads((schema.metadata or {})[b"huggingface"])
        return [str(name) for name in facts["info"]["features"][column]["names"]]
    except (KeyError, TypeError, ValueError):
        return []


def _rows(batch: Any, columns: dict[str, str | None]) -> Iterator[dict[str, Any]]:
    columns_of = {
        kind: [None] * batch.num_rows if name is None else batch.column(name).to_pylist()
        for kind, name in columns.items()
    }
    for row in range(batch.num_rows):
        yield {kind: values[row] for kind, values in columns_of.items()}


def _picture(value: Any, where: str, row: int) -> Source:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("data")
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        value = value.translate(str.maketrans("[],;", "    ")).split()
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.ndim == 1:
        side = math.isqrt(array.size)
        array = array.reshape(side, side) if side * side == array.size else np.zeros(0)
    if array.ndim not in (2, 3) or array.size < 64 or not _are_pixels(array):
        raise DataError(
            where,
            row=row + 1,
            got=(
                "a picture that is neither the bytes of a file nor a square of pixels from 0 to 255"
            ),
            expected="the bytes of a picture, or its pixels",
            fix="store one of these in the column",
        )
    return array.astype(np.uint8)


def _are_pixels(array: np.ndarray) -> bool:
    return bool(array.min() >= 0 and array.max() <= 255 and np.array_equal(array, np.rint(array)))


def _meant(label: Any, meanings: Sequence[str]) -> object:
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(meanings):
        return meanings[label]
    if isinstance(label, list) and label:
        return int(np.argmax(label)) if len(label) > 1 else _meant(label[0], meanings)
    plain: object = label
    return plain


def _split(value: Any, named: str | None) -> int:
    word = split_word(str(value)) if value is not None else named
    return SPLITS.index(SPLIT_NAMES[word or "train"])


def _name(picture: Any, path: Path, row: int) -> str:
    given = picture.get("path") if isinstance(picture, dict) else None
    return str(given) if given else f"{path.name}:{row + 1}"
