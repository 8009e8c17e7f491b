"""The source of data with its reading options, and the jobs of `mien data`."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.dataset import SPLITS, UNLABELLED, Dataset
from mien.data.groups import with_groups
from mien.data.label_names import rename_labels
from mien.data.pictures import ReadOptions
from mien.data.readers import read_dataset, with_class_check
from mien.errors import UsageError, writing

if TYPE_CHECKING:
    from mien.data.audit import Audit

Say = Callable[[str], None]
RECORD = "data.json"  # beside run.json: the data of the run and its reading options


@dataclass(frozen=True)
class Source:
    """The path of a data set and its reading options.

    Attributes:
        path: None searches for it (`mien.data.readers.find_data`).
        votes: FER+ votes for the same rows.
        on_error: `raise` an error for what cannot be read, or `skip` and report it.
        faces, side: How pictures become faces, and their size (`mien.data.crop`).
        labels: Names for the labels (`mien.data.label_names`).
        groups: Table with the person or group of each picture (`mien.data.groups`).
    """

    path: str | os.PathLike[str] | None
    votes: Path | None = None
    on_error: str = "raise"
    faces: str = "auto"
    side: int = FACE_SIDE
    labels: str | None = None
    groups: Path | None = None

    def load(self) -> Dataset:
        """Read the data with these options; its splits stay as they are."""
        options = ReadOptions(self.faces, self.side, self.on_error, cache=True)
        dataset = read_dataset(self.path, self.votes, options)
        if self.labels is not None:
            dataset = rename_labels(dataset, self.labels)
        dataset = with_class_check(dataset, self.on_error)
        return dataset if self.groups is None else with_groups(dataset, self.groups)

    def save(self, folder: Path, default: str) -> None:
        """Save it in a run folder, with absolute paths.

        Args:
            folder: The run folder.
            default: The path to record if none was named: that of the data that was read.

        Raises:
            RunError: if the folder cannot be written.
        """
        record = {**dataclasses.asdict(self), "path": default if self.path is None else self.path}
        for name in ("path", "votes", "groups"):
            if record[name] is not None:
                path = Path(record[name]).expanduser()
                record[name] = os.fspath(path.resolve() if path.exists() else path)
        with writing(folder):
            (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")

    def or_of_runs(self, folders: Sequence[Path]) -> Source:
        """This source if it names a path; else the data that runs were trained on, with its reading
        options unless they are set here.

        Raises:
            UsageError: if the runs were trained on different data.
        """
        if self.path is not None:
            return self
        recorded = [source for source in map(_source_of_run, folders) if source is not None]
        if not recorded:
            return self
        if len(set(recorded)) > 1:
            raise UsageError(
                "data: got none, and runs that were trained on different data "
                f"({', '.join(dict.fromkeys(str(source.path) for source in recorded))}); expected "
                "one data set. Fix: name it with --data DATA"
            )
        own_options = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default and field.name != "path"
        }
        return dataclasses.replace(recorded[0], **own_options)


def _source_of_run(folder: Path) -> Source | None:
    """The data that a run was trained on, if that was recorded and still exists."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        source = Source(
            path=record["path"],
            votes=None if record["votes"] is None else Path(record["votes"]),
            on_error=str(record["on_error"]),
            faces=str(record["faces"]),
            side=int(record["side"]),
            labels=record["labels"],
            groups=None if record["groups"] is None else Path(record["groups"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return source if source.path is not None and Path(source.path).exists() else None


def count(source: Source) -> dict[str, Any]:
    """Count the data by split and class, and list what was left out."""
    dataset = source.load()
    counts = dataset.counts()
    return {
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        "labels": list(dataset.label_set),
        "counts": {
            split: dict(zip(dataset.label_set, map(int, counts[s]), strict=True))
            for s, split in enumerate(SPLITS)
        },
        "num_unlabelled": int(np.sum(dataset.labels == UNLABELLED)),
        "num_with_votes": 0 if dataset.votes is None else len(dataset),
        "notes": list(dataset.notes),
        "left_out": [dataclasses.asdict(one) for one in dataset.left_out],
    }


def audit_source(source: Source, *, out: Path | None, say: Say) -> Audit:
    """Audit data, and write the findings into `out` if that is given."""
    from mien.data.audit import audit

    dataset = source.load()
    for note in dataset.notes:
        say(note)
    return write_audit(dataset, out, say=say) if out else audit(dataset)


def draw(out: Path, *, num: int, seed: int, form: str) -> dict[str, Any]:
    """Draw faces and write them to `out`, a folder or a csv."""
    from mien.data.convert import is_csv
    from mien.data.synthetic import drawn_dataset

    eighth = num // 8
    dataset = drawn_dataset(num - 2 * eighth, eighth, eighth, seed)
    if form != "csv" and is_csv(out):
        raise UsageError(
            f"{out}: got the name of a csv for a folder; expected the name of a folder. Fix: name "
            "one, or draw a csv with --form csv"
        )
    if form == "csv" and out.name and not is_csv(out):
        out = out.with_name(f"{out.name}.csv")
    return _write(dataset, out)


def convert_source(source: Source, out: Path, *, labelled_only: bool, say: Say) -> dict[str, Any]:
    """Read data of any format and write it to `out`: `.csv`, `.csv.gz`, or else a folder."""
    dataset = source.load()
    for note in dataset.notes:
        say(note)
    return _write(dataset, out, labelled_only=labelled_only)


def crop(source: Source, out: Path, *, sheets: Path | None, say: Say) -> dict[str, Any]:
    """Cut the faces out of photographs and write them as a folder that `mien train` reads."""
    from mien.data.crop_folder import write_crops

    dataset = source.load()
    for note in dataset.notes:
        say(note)
    written = write_crops(dataset, out)
    drawn = draw_crops(dataset, sheets or out.with_name(f"{out.name}-sheets"), say=say)
    return {
        "written": str(written),
        "num_faces": len(dataset),
        "side_px": dataset.side,
        "left_out": [dataclasses.asdict(one) for one in dataset.left_out],
        "sheets": [str(path) for path in drawn],
    }


def draw_crops(dataset: Dataset, folder: Path, *, say: Say) -> list[Path]:
    """Draw contact sheets of the faces cut out, and of pictures without a face or with several."""
    from mien.data.crop_folder import write_crop_sheets

    drawn = write_crop_sheets(dataset, folder)
    say(f"Contact sheets of the faces cut out: {', '.join(str(path) for path in drawn)}")
    return drawn


def _write(dataset: Dataset, out: Path, *, labelled_only: bool = False) -> dict[str, Any]:
    from mien.data.convert import convert

    written = convert(dataset, out, labelled_only=labelled_only)
    return {"written": str(written), "num_faces": int(np.sum(dataset.labels != UNLABELLED))}


def write_audit(dataset: Dataset, folder: Path, *, say: Say) -> Audit:
    """Write audit.json, audit.txt and contact sheets into `folder`.

    Raises:
        RunError: if it cannot be written.
    """
    from mien.data.audit import audit
    from mien.data.audit_sheets import write_sheets

    make_folder(folder)
    findings = audit(dataset)
    with writing(folder):
        (folder / "audit.json").write_text(
            json.dumps(findings.to_dict(rows=True), indent=1), encoding="utf-8"
        )
        (folder / "audit.txt").write_text(findings.table() + "\n", encoding="utf-8")
        write_sheets(findings, dataset, folder)
    say(f"Audit: {folder / 'audit.txt'}")
    return findings


def make_folder(folder: Path) -> None:
    """Make a folder for results.

    Raises:
        RunError: if it cannot be made or written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # its name is unique, also among processes
