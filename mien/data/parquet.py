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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.csv_header import COLUMNS, class_columns, pixel_columns
from mien.data.dataset import LEAVE_OUT, SPLITS, Dataset, LeftOut
from mien.data.face_cache import PictureSource
from mien.data.fractions import WHOLE, to_bytes, unify_scale
from mien.data.groups import GROUP_COLUMNS
from mien.data.label_names import FER2013_NUMBERS, label_positions
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
    left_out = list[LeftOut]()
    for path in files:
        try:
            with parquet.ParquetFile(path) as file:
                schema = file.schema_arrow
                columns = _columns(schema, os.fspath(path))
                class_names = _class_names(schema, columns["label"][:1])
                default = _split_of_name(path)
                notes += _drop_other_splits(file, columns, path)
                for row in _split_rows(file, columns, path, options, left_out):
                    picture, kind = _picture(row["picture"], os.fspath(path), len(pictures))
                    pictures.append(picture)
                    kinds.append(kind)
                    labels.append(_label(row["label"], class_names))
                    splits.append(_split(row["split"], default))
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
    notes += _unify_scale(pictures, kinds, source)
    read = read_faces(pictures, names, options, source)
    positions, label_set, are_numbers = label_positions(labels, source)
    if are_numbers:
        notes.append(FER2013_NUMBERS)
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
            by_kind[kind] = values if kind == "picture" else _largest(values, names)
        else:
            by_kind[kind] = batch.column(names[0]).to_pylist() if names else [None] * batch.num_rows
    for row in range(batch.num_rows):
        yield {kind: values[row] for kind, values in by_kind.items()}


def _largest(values: Sequence[Any], names: Sequence[str]) -> list[str | None]:
    """For each row, the class whose column has the largest number; None if several have it."""
    numbers = np.nan_to_num(np.asarray(values, np.float64))
    most = numbers.max(axis=1, keepdims=True)
    is_single = ((numbers == most).sum(axis=1) == 1) & (most[:, 0] > 0)
    chosen = numbers.argmax(axis=1)
    return [names[k] if single else None for k, single in zip(chosen, is_single, strict=True)]


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
            row=row + 1,
            got=(
                "a picture that is neither the bytes of a file nor a square of pixels from 0 to 255"
            ),
            expected="the bytes of a picture, or its pixels",
            fix="store one of these in the column",
        )
    return pixels_and_kind


def _unify_scale(pictures: list[PictureSource], kinds: list[int], where: str) -> list[str]:
    """Give the pixels of all rows one scale, in place; returns notes."""
    rows = [row for row, one in enumerate(pictures) if isinstance(one, np.ndarray)]
    images = [one for one in pictures if isinstance(one, np.ndarray)]
    odd, notes = unify_scale(images, [kinds[row] for row in rows])
    if odd:
        raise DataError(
            where,
            row=rows[odd[0]] + 1,
            got="pixels above 1 among rows of fractions",
            expected="all pixels from 0 to 1, or all from 0 to 255",
            fix="write all rows in one scale",
        )
    for row, image in zip(rows, images, strict=True):
        pictures[row] = image
    return notes


def _label(label: Any, class_names: Sequence[str]) -> object:
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(class_names):
        return class_names[label]
    if isinstance(label, list) and label:
        return int(np.argmax(label)) if len(label) > 1 else _label(label[0], class_names)
    unchanged: object = label
    return unchanged


def _split_of_name(path: Path) -> str | None:
    """The split that the name of a file, or of its folder, gives."""
    return split_named(path.stem.split("-")[0]) or SPLIT_NAMES.get(path.parent.name.lower())


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


def _split_rows(
    file: Any,
    columns: dict[str, list[str]],
    path: Path,
    options: ReadOptions,
    left_out: list[LeftOut],
) -> Iterator[dict[str, Any]]:
    """The rows of a file; those of an unknown split are refused, or added to `left_out`.

    Raises:
        DataError: as described.
    """
    batches = file.iter_batches(_BATCH, columns=_roots(columns))
    rows = itertools.chain.from_iterable(_rows(batch, columns) for batch in batches)
    for number, row in enumerate(rows, 1):
        if columns["split"] and _word(row["split"]) is None:
            odd = _odd_split(path, number, row["split"])
            if options.on_error == "raise":
                raise odd
            left_out.append(LeftOut(odd.where, number, f"got {odd.got}; expected {odd.expected}"))
            continue
        yield row


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
