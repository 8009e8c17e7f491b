"""Read a data set of any format.

`load_dataset` recognises the format by name and content, calls its reader, joins FER+ votes, and
caches the faces it reads from pictures. `find_data` looks for FER2013 in the usual places.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mien.constants import FACE_SIDE, ON_ERROR
from mien.data.archives import named_as, unpacked
from mien.data.arrays import read_arrays
from mien.data.crop import NO_FACE
from mien.data.dataset import SPLITS, Dataset, LeftOut
from mien.data.fer2013_csv import read_csv
from mien.data.folders import list_pictures, read_folder
from mien.data.formats import DataFormat, find_fer2013, format_of
from mien.data.groups import with_cut_groups
from mien.data.parquet import read_parquet
from mien.data.pictures import ReadOptions
from mien.data.votes import join_votes, votes_beside
from mien.errors import DataError, UsageError, check_word, printable
from mien.labels import LabelSet
from mien.vision.addresses import is_address

KAGGLE_INPUT = Path("/kaggle/input")
_DEPTH = 4  # levels of folders searched below a root
_FORMAT_NAMES = {
    "pictures": "a folder of pictures",
    "archive": "an archive",
    "parquet": "Parquet files",
    "arrays": "arrays",
}


def load_dataset(
    source: str | os.PathLike[str] | None = None,
    *,
    votes: str | os.PathLike[str] | None = None,
    faces: str = "auto",
    side: int = FACE_SIDE,
    on_error: str = "raise",
    cache: bool = True,
) -> Dataset:
    """Read a data set.

    Args:
        source: FER2013 as csv (`fer2013.csv`, `icml_face_data.csv`, `train.csv` and `test.csv`;
            plain, .gz, or in a zip or tar), a folder that holds one of these, or a folder, zip or
            tar of pictures as `split/label/picture` or `label/picture`. None looks where
            `find_data` looks, and falls back on drawn faces.
        votes: FER+'s vote file for the same rows. A file called `ferplus_votes.csv` or
            `fer2013new.csv` beside the csv is joined without being named.
        faces: How pictures become faces: `whole`, `detect` or `auto` (`mien.data.crop`).
        side: Width and height of the faces in pixels; 48 is FER2013's own. Rows of a csv are not
            enlarged beyond 48: FER2013's stay at 48 if a larger side is given.
        on_error: "raise" stops at the first row or picture that cannot be read; "skip" leaves it
            out, counts it in the notes and lists it in `Dataset.left_out`. Errors of a whole file
            always raise.
        cache: Use the cache of faces read from pictures, in $MIEN_CACHE or the user's cache folder
            (`mien.data.face_cache`). Nothing is cached if a picture could not be read.

    Returns:
        Dataset with images uint8 (N, side, side, 1), read-only, and notes that say what was done.

    Raises:
        DataError: naming file and row: what was read, what was expected, and the fix.
        UsageError: for an unknown `on_error`, or votes for data that has no rows to join them to.
    """
    options = ReadOptions(faces, side, on_error, cache)
    return with_class_check(read_dataset(source, votes, options), on_error)


def read_dataset(
    source: str | os.PathLike[str] | None,
    votes: str | os.PathLike[str] | None,
    options: ReadOptions,
) -> Dataset:
    """Read a data set as `load_dataset` does, but do not check its classes yet: labels may still be
    renamed, merged or left out.
    """
    check_word("on_error", options.on_error, ON_ERROR)
    if is_address(source):
        raise DataError(
            str(source),
            got="an address",
            expected="a file or folder of this machine",
            fix="download it first, and name the file",
        )
    path = Path(os.path.expanduser(source)) if source is not None else find_data()
    if path is None:
        return _drawn_faces(votes)
    if not path.exists():
        raise DataError(
            path,
            got="nothing: no such file or folder",
            expected="a FER2013 csv or a folder of pictures",
            fix="check the path, or leave it out to let mien look for the data",
        )
    try:
        data_format = format_of(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if data_format.kind == "csv":
        dataset = _read_files(data_format, path, options)
        dataset = _with_votes(dataset, list(data_format.files), votes)
    elif votes is not None:
        raise UsageError(
            f"votes: got {os.fspath(votes)!r} for {_FORMAT_NAMES[data_format.kind]}; expected a "
            "FER2013 csv to join them to. Fix: leave the votes out, or name that csv"
        )
    else:
        dataset = _read_format(data_format, path, options)
    if dataset.left_out and any(one.reason != NO_FACE for one in dataset.left_out):
        dataset = dataset.with_notes(
            f"{len(dataset.left_out):,} row(s) or file(s) could not be read and were left out; "
            f"{len(dataset):,} were read. The first: {dataset.left_out[0].where}"
            + (f", row {dataset.left_out[0].row}" if dataset.left_out[0].row is not None else "")
            + f": {dataset.left_out[0].reason}."
        )
    return dataset


def find_data(
    environ: Mapping[str, str] | None = None, roots: Sequence[Path] | None = None
) -> Path | None:
    """Look for FER2013: $MIEN_DATA, then the Kaggle input folder, ./data, the working directory.

    Args:
        environ: The environment; the process's own by default.
        roots: Folders to search instead of the three. Four levels of subfolders are searched, none
            below the working directory.

    Returns:
        A csv file, a folder with train.csv and test.csv, or a folder copy; None if there is none.

    Raises:
        DataError: if $MIEN_DATA names a path that does not exist.
    """
    named = (os.environ if environ is None else environ).get("MIEN_DATA")
    if named:
        path = Path(os.path.expanduser(named))
        if not path.exists():
            raise DataError(
                "$MIEN_DATA",
                got=f"the path {named!r}, which does not exist",
                expected="the path of a data set",
                fix="correct or unset MIEN_DATA",
            )
        return path
    here = Path.cwd()
    for root in (KAGGLE_INPUT, here / "data", here) if roots is None else roots:
        depth = 0 if root == here and roots is None else _DEPTH
        data = find_fer2013(root, depth)
        if data is not None:
            return data
    return None


def _read_files(data_format: DataFormat, path: Path, options: ReadOptions) -> Dataset:
    """csv, Parquet or arrays."""
    source, files = os.fspath(path), data_format.files
    if data_format.kind != "csv":
        read = read_parquet if data_format.kind == "parquet" else read_arrays
        return read(files, options, source=source)
    try:
        dataset = read_csv(list(files), options, source=source).with_notes(*data_format.notes)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:-1])
        dataset = dataset.with_notes(f"{names} and {files[-1].name} were read together.")
    return dataset


def _read_format(data_format: DataFormat, path: Path, options: ReadOptions) -> Dataset:
    if data_format.kind == "archive":
        return _read_archive(data_format.files[0], options)
    if data_format.kind == "pictures":
        try:
            listing = list_pictures(path, options.on_error)
        except OSError as error:
            raise _unreadable(path, error) from error
        return read_folder(listing, options, source=os.fspath(path))
    return _read_files(data_format, path, options)


def _read_archive(path: Path, options: ReadOptions) -> Dataset:
    """The data in an archive, which is unpacked into a temporary folder."""
    source = os.fspath(path)
    with unpacked(path) as folder, named_as(folder, path):
        data_format = format_of(folder)
        dataset = _read_format(data_format, folder, options)

    def with_place_in_archive(text: str) -> str:
        return text.replace(f"{folder}/", f"{path}:").replace(os.fspath(folder), source)

    left_out = [
        dataclasses.replace(one, where=with_place_in_archive(one.where)) for one in dataset.left_out
    ]
    return dataclasses.replace(
        dataset,
        source=source,
        notes=tuple(map(with_place_in_archive, dataset.notes)),
        left_out=tuple(left_out),
    )


def _with_votes(
    dataset: Dataset, files: list[Path], votes: str | os.PathLike[str] | None
) -> Dataset:
    if votes is not None:
        return join_votes(dataset, Path(os.path.expanduser(votes)))
    beside = votes_beside(files)
    if beside is None:
        return dataset
    try:
        with_votes = join_votes(dataset, beside)
    except DataError as error:
        # This file was not named, so it must not stop the reading; a note reports it.
        return dataset.with_notes(f"{beside.name} lies beside the data and was not joined: {error}")
    return with_votes.with_notes(f"{beside.name} was joined because it lies beside the data.")


def with_class_check(dataset: Dataset, on_error: str) -> Dataset:
    """Refuse a split without a class that another split has, or note it for "skip".

    With "skip", a class without training pictures is removed, since it cannot be learned. A note
    names persons in several splits of the rest.
    """
    counts, names = dataset.counts(), dataset.label_set
    notes = []
    anywhere = counts.sum(axis=0) > 0
    if not np.all(anywhere):
        absent = ", ".join(name for name, there in zip(names, anywhere, strict=True) if not there)
        notes.append(f"The data has no picture of: {absent}.")
    for split, row in zip(SPLITS, counts, strict=True):
        missing = [
            name for name, n, there in zip(names, row, anywhere, strict=True) if there and not n
        ]
        if not row.any() or not missing:
            continue
        text = f"the {split} split has no picture of: {', '.join(missing)}"
        if on_error == "raise":
            without = (
                "continue without that class"
                if split == "training"
                else "judge that split without that class"
            )
            raise DataError(
                dataset.source,
                got=f"a split without a class: {text}, but another split has",
                expected="pictures of every class in every split that has labels",
                fix=(
                    f"add such pictures, leave the label out with --labels {missing[0]}=, or "
                    f"{without} with --on-error skip (in Python on_error='skip')"
                ),
            )
        notes.append(f"{text[0].upper()}{text[1:]}.")
        if split == "training":
            dataset = _without(dataset, missing)
    dataset = _printable(with_cut_groups(dataset.with_notes(*notes)))
    dataset.images.flags.writeable = False
    return dataset


def _without(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """The data without some classes, whose rows are listed as left out."""
    old = dataset.label_set
    remaining = LabelSet(tuple(name for name in old if name not in names))
    out = np.isin(dataset.labels, [old.index(name) for name in names])
    reason = "its class has no training picture"
    left_out = [
        LeftOut(dataset.source, int(row), f"{reason}: {old[k]}")
        for row, k in zip(dataset.rows[out], dataset.labels[out], strict=True)
    ]
    return dataclasses.replace(
        dataset.take(~out).with_labels(remaining), left_out=(*dataset.left_out, *left_out)
    )


def _printable(dataset: Dataset) -> Dataset:
    """The data with printable file names. This is the last step: files are read by their names."""
    left_out = [
        LeftOut(printable(item.where), item.row, printable(item.reason))
        for item in dataset.left_out
    ]
    return dataclasses.replace(
        dataset,
        source=printable(dataset.source),
        notes=tuple(map(printable, dataset.notes)),
        left_out=tuple(left_out),
    )


def _drawn_faces(votes: str | os.PathLike[str] | None) -> Dataset:
    if votes is not None:
        raise UsageError(
            f"votes: got {os.fspath(votes)!r} for drawn faces; expected a FER2013 csv to join them "
            "to. Fix: name the csv, or leave the votes out"
        )
    from mien.data.synthetic import drawn_dataset

    notes = [
        "No data was named and none was found ($MIEN_DATA, the Kaggle input folder, ./data, the "
        "working directory): these are the embedded drawn faces, not photographs. `mien data get "
        "fer2013` downloads FER2013."
    ]
    if Path("data").is_dir() and any(Path("data").iterdir()):
        notes.append("The folder ./data is not FER2013; name it to read it.")
    return drawn_dataset().with_notes(*notes)


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(
        path,
        got=f"a path that cannot be read ({error.strerror or error})",
        expected="a readable file or folder",
        fix="check its permissions and the disk",
    )
