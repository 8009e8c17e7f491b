"""Write the faces cut out of photographs as a folder of pictures, a table and contact sheets.

OUT/[split/]label/picture.png    a face; its metadata says that it was cut out, so that it is taken
                                 whole when it is read again
OUT/faces.csv                    file, source, label, split, group, side_px
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from mien.data.crop import MARK, NO_FACE, SEVERAL
from mien.data.dataset import SPLITS, UNLABELLED, Dataset
from mien.data.layout import label_of, names_labels
from mien.data.tree import Tree
from mien.errors import DataError, UsageError, printable, writing
from mien.vision.contact_sheet import contact_sheet
from mien.vision.formats import is_picture_name

TABLE = "faces.csv"
SHOWN = 80  # faces on the sheet of what was cut out
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f<>:"|?*]')  # on some file system


def write_crops(dataset: Dataset, out: Path) -> Path:
    """Write faces as PNG files under the names of their photographs.

    Args:
        dataset: A data set read from pictures.
        out: A folder that does not exist yet.

    Returns:
        The folder.

    Raises:
        UsageError: if the folder exists, or the data did not come from picture files.
        DataError: if the folder cannot be written.
    """
    if dataset.files is None:
        raise UsageError(
            f"{dataset.source}: got data without picture files; expected photographs as "
            "label/picture. Fix: write csv data as pictures with mien data convert"
        )
    if os.path.lexists(out):
        raise UsageError(
            f"{out}: got a path that already exists; expected a new one (nothing was overwritten). "
            "Fix: name another path"
        )
    temporary = out.with_name(f".new-{uuid.uuid4().hex[:8]}-{out.name}")
    try:
        temporary.mkdir(parents=True)
        _write(dataset, temporary)
        os.rename(temporary, out)
    except OSError as error:
        raise DataError(
            out,
            got=f"an error while writing ({error.strerror or error})",
            expected="a place to write to",
            fix="free some space or name another folder",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def write_crop_sheets(dataset: Dataset, folder: Path) -> list[Path]:
    """Draw `faces.png`, `no-face.png` and `several-faces.png`, where there is something to draw.

    Raises:
        RunError: if the folder cannot be written.
    """
    from PIL import Image

    names = (*dataset.label_set.names, "no label")
    rows = np.unique(np.linspace(0, len(dataset) - 1, SHOWN).astype(int))
    captions = [names[dataset.labels[row]] for row in rows]
    title = f"{len(rows)} of {len(dataset):,} faces as the network sees them"
    scale = max(1, 96 // dataset.side)
    sheet = contact_sheet(dataset.images[rows], captions, scale=scale, title=title)
    sheets = [("faces.png", sheet)]
    cropped = dataset.cropped
    for file, kind, text in (
        ("no-face.png", NO_FACE, "pictures without a face, left out"),
        ("several-faces.png", SEVERAL, "pictures with several faces; the framed one was taken"),
    ):
        examples = () if cropped is None else cropped.examples
        of_kind = [example for example in examples if example[1] == kind]
        if not of_kind or cropped is None:
            continue
        total = cropped.num_none if kind == NO_FACE else cropped.num_several
        sheet = contact_sheet(
            np.array([picture for _, _, picture in of_kind], np.uint8),
            [printable(PurePosixPath(name).name) for name, _, _ in of_kind],
            scale=1,
            title=f"{len(of_kind)} of {total:,} {text}",
        )
        sheets.append((file, sheet))
    paths = []
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for file, sheet in sheets:
            Image.fromarray(sheet).save(folder / file)
            paths.append(folder / file)
    return paths


def _write(dataset: Dataset, folder: Path) -> None:
    from PIL import Image, PngImagePlugin

    text = PngImagePlugin.PngInfo()
    text.add_text("Software", MARK.decode())
    free_place = _Places()
    with open(folder / TABLE, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.writer(file)
        table.writerow(("file", "source", "label", "split", "group", "side_px"))
        sources = [] if dataset.files is None else dataset.files.tolist()
        for row, (source, wanted) in enumerate(
            zip(sources, _places(dataset, sources), strict=True)
        ):
            label = int(dataset.labels[row])
            place = free_place(wanted)
            to = folder / place
            to.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(dataset.images[row, :, :, 0]).save(to, pnginfo=text, compress_level=1)
            table.writerow(
                (
                    place,
                    source,
                    "" if label == UNLABELLED else dataset.label_set[label],
                    SPLITS[int(dataset.splits[row])],
                    "" if dataset.groups is None else dataset.groups[row],
                    dataset.side if dataset.cropped is None else int(dataset.cropped.faces_px[row]),
                )
            )


def place_of(source: str) -> PurePosixPath:
    """The place of a face in the folder that is written, from the name of its photograph: tables
    also hold absolute paths, `..`, and hidden folders, which would not be read again.
    """
    parts = re.split(r"[/\\]", _DRIVE.sub("", source, count=1))
    kept = [_NOT_IN_NAMES.sub("-", name) for part in parts if (name := part.lstrip("."))]
    place = PurePosixPath(*kept or ("face",))
    if is_picture_name(place.name):
        return place.with_suffix(".png")
    return place.with_name(f"{place.name}.png")  # `rows.parquet:7` has no suffix to replace


def _places(dataset: Dataset, sources: Sequence[str]) -> list[PurePosixPath]:
    """Where the faces are wanted: as their photographs lay, but in folders of their labels if those
    of the photographs name others, as after `--labels`.
    """
    places = [place_of(source) for source in sources]
    if not names_labels(Tree(pictures=[place.parts for place in places])):
        return places  # the table gives the labels
    labels = [None if k == UNLABELLED else dataset.label_set[int(k)] for k in dataset.labels]
    if all(
        label is None or label in map(label_of, place.parts[:-1])
        for label, place in zip(labels, places, strict=True)
    ):
        return places
    splits = [SPLITS[int(split)] if dataset.splits.any() else "" for split in dataset.splits]
    return [
        place if label is None else PurePosixPath(split, re.sub(r"[/\\]", "-", label), place.name)
        for place, label, split in zip(places, labels, splits, strict=True)
    ]


class _Places:
    """Gives each face a place of its own; a name in use gets a number."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._numbers: dict[str, int] = {}

    def __call__(self, place: PurePosixPath) -> PurePosixPath:
        wanted = str(place).lower()
        number, free = self._numbers.get(wanted, 1), place
        while str(free).lower() in self._used:
            number += 1
            free = place.with_name(f"{place.stem}-{number}.png")
        self._numbers[wanted] = number
        self._used.add(str(free).lower())
        return free
