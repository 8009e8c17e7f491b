"""Faces and labels as numpy saves them: `.npz` with both, or two `.npy` side by side.

    x, y    images, labels    x_train, y_train, x_val, y_val, x_test, y_test    fdataX, flabels ...

Pictures may be (N, H, W), (N, H, W, 1, 3 or 4), (N, 1 or 3, H, W), (N, H * W) or (N, H * W * 3), as
whole numbers from 0 to 255 or as fractions from 0 to 1; labels numbers, names, or a column for each
class.
Pickled arrays are refused.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.dataset import SPLITS, Dataset
from mien.data.label_names import (
    FER2013_NUMBERS,
    label_positions,
    largest,
    named,
    unlabelled_note,
)
from mien.data.layout import SPLIT_NAMES, split_named, split_word
from mien.data.pictures import ReadOptions, read_faces
from mien.data.pixels import pictures_of, shape_of
from mien.errors import DataError, printable

_FACES = ("x", "images", "image", "imgs", "faces", "data", "pixels", "features", "fdatax", "arr_0")
_LABELS = (
    *("y", "labels", "label", "targets", "target", "emotions", "emotion", "expressions"),
    *("classes", "flabels", "arr_1"),
)
_GROUPS = (
    *("groups", "group", "subjects", "subject", "persons", "person", "identities", "identity"),
    *("person_ids", "person_id", "subject_ids", "subject_id", "participants"),
)
_NAMES = ("label_names", "class_names", "names", "categories")
MAX_SIDE = 1024  # pixels


@dataclass(frozen=True)
class _Part:
    """The names of the arrays of one split."""

    split: str | None
    faces: str
    labels: str | None
    groups: str | None = None


def companions(path: Path) -> list[Path]:
    """An `.npz` by itself; an `.npy` together with the others in its folder."""
    if path.suffix.lower() == ".npz":
        return [path]
    return sorted(file for file in path.parent.iterdir() if file.suffix.lower() == ".npy")


def check_together(files: Sequence[Path]) -> None:
    """Refuse several `.npz` that are not those of splits.

    Raises:
        DataError: as described.
    """
    npz = [file for file in files if file.suffix.lower() == ".npz"]
    if len(npz) > 1 and len({split_word(file.stem) for file in npz} - {None}) < len(npz):
        raise DataError(
            npz[0].parent,
            got="several data sets: " + ", ".join(printable(file.name) for file in npz[:5]),
            expected="one .npz, or one for each split, such as train.npz and test.npz",
            fix="name one of them, or name each after its split",
        )


def read_arrays(files: Sequence[Path], options: ReadOptions, *, source: str) -> Dataset:
    """Read an `.npz`, those of splits (`train.npz`, `test.npz`), or the `.npy` files of a folder.

    Raises:
        DataError: for arrays that are not pictures and labels, or that are pickled.
    """
    arrays = _load(files)
    where = os.fspath(files[0] if len(files) == 1 else files[0].parent)
    parts = _parts(arrays, where)
    pictures, labels, splits, notes = list[np.ndarray](), list[object](), list[int](), list[str]()
    groups = list[str]()
    names = next((arrays[name] for name in arrays if name.lower() in _NAMES), None)
    for part in parts:
        faces, part_notes = _pictures(arrays[part.faces], f"{where}:{part.faces}")
        notes += part_notes
        n = len(faces)
        pictures += list(faces)
        part_labels = [None] * n if part.labels is None else _labels(arrays[part.labels], names)
        _check_count(len(part_labels), n, "label", f"{where}:{part.labels}")
        labels += part_labels
        groups += _groups(arrays, part, n, where)
        splits += [SPLITS.index(part.split or "training")] * n
    if all(part.split is None for part in parts):
        notes.append("The names of the arrays name no splits.")
    notes += _unused(arrays, parts)
    read = read_faces(pictures, [f"row {n}" for n in range(len(pictures))], options, where)
    positions, label_set, are_numbers = label_positions(labels, source)
    if are_numbers:
        notes.append(FER2013_NUMBERS)
    notes += unlabelled_note(positions[read.rows])
    return Dataset(
        read.images,
        positions[read.rows],
        np.array(splits, np.uint8)[read.rows],
        read.rows,
        label_set,
        source,
        notes=(*dict.fromkeys(notes), *read.notes),
        left_out=tuple(read.left_out),
        groups=np.array(groups, object)[read.rows] if any(groups) else None,
        cropped=read.cropped,
        numeric_labels=are_numbers,
    )


def _unused(arrays: Mapping[str, np.ndarray], parts: Sequence[_Part]) -> list[str]:
    """A note on the arrays that were not read, since their names are not known."""
    used = {name for part in parts for name in (part.faces, part.labels, part.groups)}
    unused = [name for name in arrays if name not in used and name.lower() not in _NAMES]
    if not unused:
        return []
    listed = ", ".join(printable(name) for name in unused[:5]) + (", ..." if unused[5:] else "")
    return [f"Arrays that were not used: {listed} (labels are named y or labels, for example)."]


def _groups(arrays: Mapping[str, np.ndarray], part: _Part, n: int, where: str) -> list[str]:
    """The group of each picture; empty if no array names it."""
    if part.groups is None:
        return [""] * n
    groups = [str(one) for one in arrays[part.groups].reshape(-1).tolist()]
    _check_count(len(groups), n, "group", f"{where}:{part.groups}")
    return groups


def _check_count(count: int, n: int, what: str, where: str) -> None:
    """Refuse another number of labels or groups than of pictures.

    Raises:
        DataError: if they differ.
    """
    if count != n:
        raise DataError(
            where,
            got=f"{count:,} {what}s for {n:,} pictures",
            expected=f"a {what} for each picture",
            fix=f"save pictures and {what}s of the same data",
        )


def _load(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """All arrays by name, except pickled ones that are neither pictures, labels nor groups."""
    arrays: dict[str, np.ndarray] = {}
    for path in files:
        try:
            with open(path, "rb") as file:
                loaded = np.load(file, allow_pickle=False)
                if isinstance(loaded, np.ndarray):
                    arrays[path.stem] = loaded
                    continue
                with loaded:
                    for name in loaded.files:
                        if (array := _array_or_none(loaded, name, path)) is not None:
                            arrays[_name_in(path, name) if len(files) > 1 else name] = array
        except ValueError as error:
            if "pickle" in str(error).lower():
                raise _pickled(path, path.stem) from error
            raise DataError(
                path,
                got=f"a damaged array ({error})",
                expected="arrays of numbers or texts",
                fix="copy the file again",
            ) from error
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                path,
                got=f"a file that is not a whole .npz or .npy ({error})",
                expected="a file written by numpy.savez or numpy.save",
                fix="copy the file again",
            ) from error
    return arrays


def _name_in(path: Path, name: str) -> str:
    """The name of an array in the file of a split, with that split."""
    named = _word_and_split(name)[0] in (*_FACES, *_LABELS, *_GROUPS)
    return f"{split_word(path.stem)}_{name}" if named else name


def _array_or_none(loaded: Any, name: str, path: Path) -> np.ndarray | None:
    try:
        return np.asarray(loaded[name])
    except ValueError as error:
        if "pickle" not in str(error).lower():
            raise
        if _word_and_split(name)[0] in (*_FACES, *_LABELS, *_GROUPS):
            raise _pickled(f"{path}:{name}", name) from error
        return None


def _pickled(where: str | Path, name: str) -> DataError:
    pictures = _word_and_split(name)[0] in _FACES
    return DataError(
        where,
        got="an array of Python objects, which only unpickling could read",
        expected="an array of numbers or texts",
        fix="save it as np.stack(list(array)).astype('uint8')"
        if pictures
        else "save it as array.astype(str)",
    )


def _parts(arrays: Mapping[str, np.ndarray], where: str) -> list[_Part]:
    """Pair arrays of pictures with their labels, by their names without the name of the split."""
    faces: dict[str | None, str] = {}
    labels: dict[str | None, str] = {}
    groups: dict[str | None, str] = {}
    for name in arrays:
        word, split = _word_and_split(name)
        if word in _FACES:
            faces[split] = name
        elif word in _LABELS:
            labels[split] = name
        elif word in _GROUPS:
            groups[split] = name
    if not faces and len(arrays) == 2:  # the larger of two arrays has the pictures
        by_size = sorted(arrays, key=lambda name: arrays[name].size)
        faces, labels = {None: by_size[1]}, {None: by_size[0]}
    if not faces:
        raise DataError(
            where,
            got="arrays named " + ", ".join(list(arrays)[:8]),
            expected=(
                "pictures and labels named x and y, images and labels, or x_train, y_train, ..."
            ),
            fix="save them under such names",
        )
    return [
        _Part(split, name, labels.get(split), groups.get(split)) for split, name in faces.items()
    ]


def _word_and_split(name: str) -> tuple[str, str | None]:
    """Split a name: `x_train`, `Xtrain` -> (`x`, `training`); `images` -> (`images`, None)."""
    plain = name.lower()
    words = [word for word in re.split(r"[_\-. ]+", plain) if word]
    split = [word for word in words if split_word(word)]
    rest = [word for word in words if word not in split]
    if not split:
        for key in sorted(SPLIT_NAMES, key=len, reverse=True):
            for word in (plain.removesuffix(key), plain.removeprefix(key)):
                if word != plain and word in (*_FACES, *_LABELS):
                    return word, SPLIT_NAMES[key]
        return plain if plain in (*_FACES, *_LABELS) else "_".join(rest), None
    return "_".join(rest), split_named(split[0])


def _pictures(array: np.ndarray, where: str) -> tuple[np.ndarray, list[str]]:
    """Pictures as uint8 (N, H, W) or (N, H, W, 3), and notes for the user."""
    shaped, order_notes = _shaped(array, where)
    pictures, notes = _of_bytes(shaped, where)
    return pictures, [*order_notes, *notes]


def _of_bytes(shaped: np.ndarray, where: str) -> tuple[np.ndarray, list[str]]:
    """Values of any kind as uint8, and notes for the user."""
    if shaped.dtype == np.uint8:
        return shaped, []
    if shaped.dtype == bool or not np.issubdtype(shaped.dtype, np.number):
        raise _bad_values(where, f"values of the type {shaped.dtype}")
    low, high = float(shaped.min(initial=0)), float(shaped.max(initial=0))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise _bad_values(where, "values that are not numbers (NaN or infinity)")
    if low < 0 or high > 255:
        fix = (
            "scale them first: (array / 257).round().astype('uint8') for 16 bits"
            if high > 255
            else ""
        )
        raise _bad_values(where, f"values from {low:g} to {high:g}", fix)
    if np.issubdtype(shaped.dtype, np.integer) or np.array_equal(shaped, np.rint(shaped)):
        if 0 < high <= 1 and np.issubdtype(shaped.dtype, np.floating):
            raise _bad_values(
                where, "only the values 0 and 1, which may mean black and white or nearly black"
            )
        return shaped.astype(np.uint8), []
    if high > 1:
        return np.rint(shaped).astype(np.uint8), ["Fractions among the pixels were rounded."]
    return (
        np.rint(shaped * 255.0).astype(np.uint8),
        ["Pixels are fractions from 0 to 1, scaled to 0..255."],
    )


def _shaped(array: np.ndarray, where: str) -> tuple[np.ndarray, list[str]]:
    shape = array.shape
    if len(shape) == 2 and (row := shape_of(shape[1])) and array.dtype.kind in "iuf":
        return pictures_of(array, row)
    if len(shape) == 3 and 8 <= min(shape[1:]) and max(shape[1:]) <= MAX_SIDE:
        return array, []
    if len(shape) == 4:
        if shape[3] == 4 and min(shape[1:3]) >= 8:
            return _on_gray(array, where), []
        if shape[3] in (1, 3) and min(shape[1:3]) >= 8:
            return array[..., 0] if shape[3] == 1 else array, []
        if shape[1] in (1, 3) and min(shape[2:]) >= 8:
            return array[:, 0] if shape[1] == 1 else np.moveaxis(array, 1, 3), []
    raise DataError(
        where,
        got=f"an array of the shape {shape}",
        expected=(
            "(N, H, W), (N, H, W, 1, 3 or 4), (N, 1 or 3, H, W), or (N, H * W) or (N, H * W * 3) "
            "of square pictures"
        ),
        fix="reshape it before saving it",
    )


def _on_gray(array: np.ndarray, where: str) -> np.ndarray:
    """uint8 (N, H, W, 3) from RGBA over mid-gray, as for transparent picture files."""
    if array.dtype != np.uint8:
        raise _bad_values(where, f"four channels of {array.dtype}")
    opacity = array[..., 3:].astype(np.float32) / 255
    return np.rint(array[..., :3] * opacity + 128 * (1 - opacity)).astype(np.uint8)


def _labels(array: np.ndarray, names: np.ndarray | None) -> list[object]:
    """A label for each row: a number, a name, or the class whose column has the largest value."""
    is_number = array.dtype.kind in "iuf"
    if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "biuf":
        values: list[Any] = largest(array)  # type: ignore[arg-type]
        is_number = True
    else:
        values = array.reshape(-1).tolist()
    if names is not None and is_number:
        texts = [str(name) for name in np.asarray(names).reshape(-1)]
        return [None if value is None else named(value, texts) for value in values]
    return values


def _bad_values(where: str, got: str, fix: str = "") -> DataError:
    return DataError(
        where,
        got=got,
        expected="whole numbers from 0 to 255, or fractions from 0 to 1",
        fix=fix or "save the pixels before you normalise them, such as array.astype('uint8')",
    )
