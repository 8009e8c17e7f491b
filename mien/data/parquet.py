"""Faces and labels in Parquet files, as Hugging Face distributes them.

Pictures are a column of file contents (bytes, or {"bytes", "path"}), of pixels (lists, nested or
flat, or texts), or a column for each pixel. Labels are a column of names or numbers, which the
file's metadata may name, or a column for each class. A file name such as
`train-00000-of-00001.parquet` gives the split.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.csv_header import COLUMNS, class_columns, pixel_columns
from mien.data.dataset import LEAVE_OUT, SPLITS, Dataset, LeftOut
from mien.data.face_cache import PictureSource
from mien.data.fractions import WHOLE, to_bytes, unify_scale
from mien.data.groups import GROUP_COLUMNS
from mien.data.label_names import (
    FER2013_NUMBERS,
    label_positions,
    largest,
    named,
    unlabelled_note,
)
from mien.data.layout import SPLIT_NAMES, split_named
from mien.data.pictures import ReadOptions, read_faces
from mien.data.pixels import pictures_of, shape_of
from mien.data.tables import ignored_splits
from mien.errors import DataError, MissingExtraError

_PICTURES = ("image", "img", "picture", "face", "photo", "pixels", "img_bytes", "image_bytes")
_BATCH = 2048  # rows decoded from Parquet at a time


def read_parquet(files: Sequence[Path], options: ReadOptions, *, source: str) -> Dataset:
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
    pictures, kinds = list[PictureSource](), list[int]()
    labels, splits = list[object](), list[int]()
    groups, names, notes = list[str](), list[str](), list[str]()
    left_out, places = list[LeftOut](), list[tuple[Path, int]]()
    for path in files:
        try:
            with parquet.ParquetFile(path) as file:
                schema = file.schema_arrow
                columns = _columns(schema, os.fspath(path))
                class_names = _class_names(schema, columns["label"][:1])
                default = _split_of_name(path)
                notes += _drop_other_splits(file, columns, path)
                for number, row in _good_rows(file, columns, path, options, left_out):
                    picture, kind = row["pixels"]
                    pictures.append(picture)
                    kinds.append(kind)
                    places.append((path, number))
                    labels.append(_label(row["label"], class_names))
                    splits.append(_split(row["split"], default))
                    groups.append("" if row["group"] is None else str(row["group"]))
                    names.append(_name(row["picture"], path, number - 1))
        except (arrow.ArrowException, OSError) as error:
            raise DataError(
                path,
                got=f"a file that cannot be read as Parquet ({str(error)[:200]})",
                expected="a whole Parquet file",
                fix="copy or download it again",
            ) from error
    if not pictures:
        raise _no_rows(source, left_out)
    notes += _unify_scale(pictures, kinds, places)
    read = read_faces(pictures, names, options, source)
    positions, label_set, are_numbers = label_positions(labels, source)
    if are_numbers:
        notes.append(FER2013_NUMBERS)
    notes += unlabelled_note(positions[read.rows])
    if not any(splits):
        notes.append("The files have no splits.")
    return Dataset(
        read.images,
        positions[read.rows],
        np.array(splits, np.uint8)[read.rows],
        read.rows,
        label_set,
        source,
        notes=(*notes, *read.notes),
        left_out=(*left_out, *read.left_out),
        files=np.array(names, object)[read.rows],
        groups=np.array(groups, object)[read.rows] if any(groups) else None,
        cropped=read.cropped,
        numeric_labels=are_numbers,
    )


def _no_rows(source: str, left_out: Sequence[LeftOut]) -> DataError:
    if left_out:
        return DataError(
            source,
            got=f"no readable row ({len(left_out):,} left out)",
            expected="at least one row that can be read",
            fix="correct the rows; the first error: " + left_out[0].reason,
        )
    return DataError(
        source,
        got="Parquet files without rows",
        expected="a row for each picture",
        fix="download them again",
    )


def _columns(schema: Any, where: str) -> dict[str, list[str]]:
    """Names of the columns of the picture (one, or one for each pixel), the label (one, or one for
    each class), the split and the group.
    """
    columns = [name.lower().replace(" ", "_") for name in schema.names]
    plain = dict(zip(columns, schema.names, strict=True))

    def first(candidates: Sequence[str]) -> list[str]:
        return next(([plain[name]] for name in candidates if name in plain), [])

    picture = first(_PICTURES) or [schema.names[place] for place in pixel_columns(columns)]
    if not picture:
        candidates = (name for name in schema.names if _holds_pictures(schema.field(name).type))
        picture = list(itertools.islice(candidates, 1))
    if not picture:
        raise DataError(
            where,
            got="the columns " + ", ".join(schema.names[:8]),
            expected="a column of pictures: image, pixels, ...",
            fix="rename the column of pictures to image",
        )
    label = first(COLUMNS["emotion"])
    return {
        "picture": picture,
        "label": label or [schema.names[place] for place, _ in class_columns(columns)],
        "split": first(COLUMNS["usage"]),
        "group": first(GROUP_COLUMNS),
    }


def _holds_pictures(kind: Any) -> bool:
    text = str(kind)
    return "binary" in text or text.startswith(("list", "large_list", "fixed_size_list"))


def _roots(columns: dict[str, list[str]]) -> list[str]:
    return [name for names in columns.values() for name in names]


def _class_names(schema: Any, column: Sequence[str]) -> list[str]:
    """Names of numbered labels, as Hugging Face's `ClassLabel` keeps them in the metadata."""
    try:
        metadata = json.loads((schema.metadata or {})[b"huggingface"])
        return [str(name) for name in metadata["info"]["features"][column[0]]["names"]]
    except (IndexError, KeyError, TypeError, ValueError):
        return []


def _rows(batch: Any, columns: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    by_kind: dict[str, Sequence[Any]] = {}
    for kind, names in columns.items():
        if len(names) > 1:  # a column for each pixel, or for each class
            parts = [batch.column(name).to_numpy(zero_copy_only=False) for name in names]
            values: Sequence[Any] = np.column_stack(parts)  # type: ignore[assignment]
            by_kind[kind] = (
                values
                if kind == "picture"
                else [None if k is None else names[k] for k in largest(values)]
            )
        else:
            by_kind[kind] = batch.column(names[0]).to_pylist() if names else [None] * batch.num_rows
    for row in range(batch.num_rows):
        yield {kind: values[row] for kind, values in by_kind.items()}


def _picture(value: Any, where: str, row: int) -> tuple[PictureSource, int]:
    """Bytes of a file, or uint8 pixels; and the kind of their numbers (`mien.data.fractions`)."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("data")
    if isinstance(value, bytes):
        return value, WHOLE
    if isinstance(value, str):
        value = value.translate(str.maketrans("[],;", "    ")).split()
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.ndim == 1:
        shape = shape_of(array.size)
        array = pictures_of(array[np.newaxis], shape)[0][0] if shape else np.zeros(0)
    pixels_and_kind = to_bytes(array) if array.ndim in (2, 3) and array.size >= 64 else None
    if pixels_and_kind is None:
        raise DataError(
            where,
            row=row,
            got="no picture"
            if value is None
            else "a picture that is neither the bytes of a file nor a square of pixels from 0 to "
            "255",
            expected="the bytes of a picture, or its pixels",
            fix=f"store one of these in the column, or {LEAVE_OUT}",
        )
    return pixels_and_kind


def _unify_scale(
    pictures: list[PictureSource], kinds: list[int], places: Sequence[tuple[Path, int]]
) -> list[str]:
    """Give the pixels of all rows one scale, in place; returns notes."""
    rows = [row for row, one in enumerate(pictures) if isinstance(one, np.ndarray)]
    images = [one for one in pictures if isinstance(one, np.ndarray)]
    odd, notes = unify_scale(images, [kinds[row] for row in rows])
    if odd:
        path, number = places[rows[odd[0]]]
        raise DataError(
            path,
            row=number,
            got="pixels above 1 among rows of fractions",
            expected="all pixels from 0 to 1, or all from 0 to 255",
            fix="write all rows in one scale",
        )
    for row, image in zip(rows, images, strict=True):
        pictures[row] = image
    return notes


def _label(label: Any, class_names: Sequence[str]) -> object:
    if isinstance(label, int | float) and not isinstance(label, bool) and class_names:
        return named(label, class_names)
    if isinstance(label, list) and label:
        return _label(label[0] if len(label) == 1 else largest([label])[0], class_names)
    unchanged: object = label
    return unchanged


def _split_of_name(path: Path) -> str | None:
    """The split that the name of a file, or of its folder, gives."""
    stem = re.sub(r"-\d+-of-\d+.*", "", path.stem)
    return split_named(stem.split("-")[0], stem) or SPLIT_NAMES.get(path.parent.name.lower())


def _split(value: Any, default: str | None) -> int:
    return SPLITS.index(_word(value) or default or "training")


def _word(value: Any) -> str | None:
    return None if value is None else split_named(str(value))


def _drop_other_splits(file: Any, columns: dict[str, list[str]], path: Path) -> list[str]:
    """Take the column of splits out of the columns if none of its values names a split; returns
    the note on that, or on other columns that divide the rows.
    """
    if not columns["split"]:
        return ignored_splits([name.lower() for name in file.schema_arrow.names], path.name)
    for batch in file.iter_batches(columns=columns["split"]):
        if any(_word(value) is not None for value in set(batch.column(0).to_pylist())):
            return []
    name, columns["split"] = columns["split"], []
    return [f"The column {one} of {path.name} names no splits and was not used." for one in name]


def _good_rows(
    file: Any,
    columns: dict[str, list[str]],
    path: Path,
    options: ReadOptions,
    left_out: list[LeftOut],
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a file by number, each with its `pixels` and their kind; those of an unknown
    split or without a picture are refused, or added to `left_out`.

    Raises:
        DataError: as described.
    """
    batches = file.iter_batches(_BATCH, columns=_roots(columns))
    rows = itertools.chain.from_iterable(_rows(batch, columns) for batch in batches)
    for number, row in enumerate(rows, 1):
        try:
            if columns["split"] and _word(row["split"]) is None:
                raise _odd_split(path, number, row["split"])
            row["pixels"] = _picture(row["picture"], os.fspath(path), number)
        except DataError as odd:
            if options.on_error == "raise":
                raise
            left_out.append(LeftOut(odd.where, number, f"got {odd.got}; expected {odd.expected}"))
            continue
        yield number, row


def _odd_split(path: Path, row: int, value: Any) -> DataError:
    return DataError(
        path,
        row=row,
        got=f"the split {value!r}",
        expected="train, val or test",
        fix=f"correct the row, or {LEAVE_OUT}",
    )


def _name(picture: Any, path: Path, row: int) -> str:
    own_path = picture.get("path") if isinstance(picture, dict) else None
    return str(own_path) if own_path else f"{path.name}:{row + 1}"
