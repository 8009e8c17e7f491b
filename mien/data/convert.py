"""Write a data set in a format that any program reads: csv like FER2013's, or a folder of PNGs."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

import numpy as np

from mien.data.dataset import SPLITS, UNLABELLED, USAGE, Dataset
from mien.errors import DataError, UsageError, printable
from mien.labels import FER2013, FERPLUS_VOTES

# Formats that are not written: refused, since a folder of such a name would mislead.
OTHER_SUFFIXES = (".zip", ".gz", ".tsv", ".txt", ".json", ".parquet", ".npz")
_USAGE_OF = {SPLITS.index(split): usage for usage, split in USAGE.items()}
# FER+'s own column names, in the order of FERPLUS_VOTES.
_VOTE_COLUMNS = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def is_csv(path: Path) -> bool:
    """Whether a path names a csv file."""
    return path.name.lower().endswith((".csv", ".csv.gz"))


def convert(dataset: Dataset, destination: Path, *, labelled_only: bool = False) -> Path:
    """Write a data set: as csv if the name ends in .csv or .csv.gz, else as a folder of pictures.

    Reading the result gives equal images, labels and splits; a folder is read sorted by split and
    label. Votes are written to `ferplus_votes.csv` beside a csv. Persons are the column `subject`
    of a csv, or `persons.csv` in a folder.

    Args:
        destination: A path that does not exist yet.
        labelled_only: Leave out rows without a label; neither format has a place for them.

    Returns:
        The path written.

    Raises:
        UsageError: if the destination exists already.
        DataError: for rows without a label, labels that the format cannot hold, or a write error.
    """
    destination = Path(destination)
    dataset = _convertible(dataset, destination, labelled_only)
    votes = _votes_path(dataset, destination)
    temporary = destination.with_name(f".new-{uuid.uuid4().hex[:8]}-{destination.name}")
    temporary_votes = temporary.with_name(f"{temporary.name}-votes") if votes else None
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        _write(dataset, temporary, destination)
        if temporary_votes and votes:
            _write_votes(dataset, temporary_votes)
            os.rename(temporary_votes, votes)
        try:
            os.rename(temporary, destination)
        except OSError:
            if votes:
                votes.unlink()  # or the next attempt would refuse to replace it
            raise
    except OSError as error:
        raise DataError(
            destination,
            got=f"an error while writing ({error.strerror or error})",
            expected="a place to write to",
            fix="free some space or name another destination",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for path in filter(None, (temporary, temporary_votes)):
            with suppress(OSError):
                path.unlink()
    return destination


def _convertible(dataset: Dataset, destination: Path, labelled_only: bool) -> Dataset:
    """The rows to write; refuses what the format of `destination` cannot hold."""
    if os.path.lexists(destination):
        raise UsageError(
            f"{destination}: got a path that already exists; expected a new one (nothing was "
            "overwritten). Fix: name another path"
        )
    num_unlabelled = int(np.sum(dataset.labels == UNLABELLED))
    if num_unlabelled and not labelled_only:
        raise DataError(
            dataset.source,
            got=f"{num_unlabelled:,} rows without a label",
            expected="a label for each row, since csv and folders have no place for other rows",
            fix="convert the labelled rows only (--labelled-only)",
        )
    if not is_csv(destination) and destination.name.lower().endswith(OTHER_SUFFIXES):
        raise UsageError(
            f"{destination}: got the name of a file that mien does not write; expected .csv, "
            ".csv.gz or a folder. Fix: name one of these"
        )
    odd = [name for name in dataset.label_set if re.search(r"^\.|[/\\]", name)]
    if odd and not is_csv(destination):
        raise DataError(
            dataset.source,
            got=f"the label {odd[0]!r}, which is no name of a folder",
            expected="labels without / and \\ that do not begin with a dot",
            fix=f"give it another name, such as --labels '{odd[0]}=other'",
        )
    if is_csv(destination) and dataset.label_set != FER2013:
        raise DataError(
            dataset.source,
            got="the labels " + ", ".join(dataset.label_set),
            expected="FER2013's seven labels, whose numbers a csv holds",
            fix="convert to a folder, which holds any labels by name",
        )
    return dataset.take(dataset.labels != UNLABELLED) if num_unlabelled else dataset


def _votes_path(dataset: Dataset, destination: Path) -> Path | None:
    """The file for the votes; None where there are no votes, or no place for them."""
    if not is_csv(destination) or dataset.votes is None:
        return None
    votes = destination.with_name("ferplus_votes.csv")
    if os.path.lexists(votes):
        raise UsageError(
            f"{votes}: got a path that already exists; expected none, since the votes go there "
            "(nothing was written). Fix: name a csv in another folder"
        )
    return votes


def _write(dataset: Dataset, temporary: Path, destination: Path) -> None:
    """Write to the temporary path `made` what will be renamed to `destination`."""
    if not is_csv(destination):
        _write_folder(dataset, temporary)
        return
    with open(temporary, "wb") as file:
        if destination.name.lower().endswith(".gz"):
            # No time stamp, so equal data gives equal bytes.
            with gzip.GzipFile(
                filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0
            ) as packed:
                _write_rows(dataset, cast(IO[bytes], packed))
        else:
            _write_rows(dataset, file)


def _write_rows(dataset: Dataset, file: IO[bytes]) -> None:
    decimal = [str(value) for value in range(256)]
    columns = "emotion,pixels,Usage" if dataset.groups is None else "emotion,pixels,Usage,subject"
    file.write(f"{columns}\n".encode())
    rows = zip(dataset.images, dataset.labels, dataset.splits, strict=True)
    for row, (image, label, split) in enumerate(rows):
        pixels = " ".join([decimal[value] for value in image.tobytes()])
        person = "" if dataset.groups is None else "," + _quoted(dataset.groups[row])
        file.write(f"{label},{pixels},{_USAGE_OF[int(split)]}{person}\n".encode())


def _quoted(*fields: object) -> str:
    """Fields as a line of csv, without its end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([printable(str(field)) for field in fields])
    return line.getvalue()


def _write_votes(dataset: Dataset, path: Path) -> None:
    votes = (
        dataset.votes
        if dataset.votes is not None
        else np.zeros((len(dataset), len(FERPLUS_VOTES)), np.uint8)
    )
    lines = [f"Usage,Image name,{_VOTE_COLUMNS}"]
    for index, (split, row) in enumerate(zip(dataset.splits, votes, strict=True)):
        lines.append(
            f"{_USAGE_OF[int(split)]},fer{index:07d}.png," + ",".join(map(str, row.tolist()))
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_folder(dataset: Dataset, folder: Path) -> None:
    """Write `train/happy/Training_0000012.png` and so on, named by the rows of the data set."""
    from PIL import Image

    persons = ["file,person"]
    names = {"training": "train", "validation": "validation", "test": "test"}
    rows = zip(dataset.images, dataset.labels, dataset.splits, strict=True)
    for index, (image, label, split) in enumerate(rows):
        place = folder / names[SPLITS[int(split)]] / dataset.label_set[int(label)]
        place.mkdir(parents=True, exist_ok=True)
        to = place / f"{_USAGE_OF[int(split)]}_{index:07d}.png"
        Image.fromarray(image[:, :, 0]).save(to, compress_level=1)
        if dataset.groups is not None:
            persons.append(_quoted(to.relative_to(folder).as_posix(), dataset.groups[index]))
    if dataset.groups is not None:
        (folder / "persons.csv").write_text("\n".join(persons) + "\n", encoding="utf-8")
