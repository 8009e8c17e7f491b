"""The findings of an audit as contact sheets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mien.data.audit import Audit
from mien.data.dataset import SPLITS, Dataset, twins
from mien.errors import writing
from mien.vision.contact_sheet import contact_sheet

_SHOWN = 48  # faces on one sheet


def write_sheets(audit: Audit, dataset: Dataset, folder: str | os.PathLike[str]) -> list[Path]:
    """Draw the findings as contact sheets (PNG); a finding without pictures has no sheet.

    Args:
        audit: The audit of this data set.
        dataset: The pictures.
        folder: Created if it does not exist; sheets of the same names are replaced.

    Returns:
        The files, in the order in which to look at them.

    Raises:
        RunError: if the folder cannot be written.
    """
    from PIL import Image

    target, written = Path(folder), []
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        for sheet in _sheets(audit, dataset):
            if not len(sheet.rows):
                continue
            drawn = contact_sheet(
                dataset.images[sheet.rows],
                sheet.captions,
                columns=8,
                together=sheet.together,
                title=sheet.title,
            )
            path = target / f"{sheet.file}.png"
            Image.fromarray(drawn).save(path)
            written.append(path)
    return written


class _Sheet(NamedTuple):
    """One sheet: file name, title, rows with a caption each, and how many rows belong together."""

    file: str
    title: str
    rows: np.ndarray
    captions: list[str]
    together: int = 1


def _sheets(audit: Audit, dataset: Dataset) -> Iterator[_Sheet]:
    names = (*dataset.label_set.names, "no label")  # position -1 is UNLABELLED

    def label(row: int) -> str:
        return (
            f"{SPLITS[dataset.splits[row]][:5]} {dataset.rows[row]}\n{names[dataset.labels[row]]}"
        )

    def sheet(file: str, title: str, rows: Iterable[int], together: int = 1) -> _Sheet:
        chosen = np.fromiter(rows, np.int64)
        return _Sheet(file, title, chosen, [label(row) for row in chosen], together)

    yield sheet("samples", "Samples of each label (training)", _samples(dataset))
    yield sheet(
        "label-conflicts",
        "Equal pictures with different labels, side by side",
        [
            row
            for group in audit.conflicts[: _SHOWN // 2]
            for row in _two_labels(group, dataset.labels)
        ],
        together=2,
    )
    yield sheet(
        "leaks",
        "Evaluation pictures that also occur in training, side by side",
        _leaks(dataset),
        together=2,
    )
    if audit.near is not None:
        last = max(len(audit.near) - 1, 0)
        spread = np.unique(np.linspace(0, last, _SHOWN // 2).astype(np.int64))[: len(audit.near)]
        near = sheet(
            "near-duplicates",
            "Nearly equal pictures, surest first",
            audit.near.pairs[spread].ravel(),
            together=2,
        )
        scores = [
            f"{audit.near.scores[pair]:.2f}{' mirrored' if audit.near.mirrored[pair] else ''}"
            for pair in np.repeat(spread, 2)
        ]
        yield near._replace(
            captions=[
                f"{caption}\n{score}" for caption, score in zip(near.captions, scores, strict=True)
            ]
        )
    yield sheet("blanks", "Blank pictures", audit.blanks[:_SHOWN])
    if audit.no_faces is not None:
        yield sheet("no-faces", "No face, the annotators say", audit.no_faces[:_SHOWN])
    if audit.vote_agreement is not None:
        choice = audit.vote_agreement.choice
        decisive = _by_label(audit.vote_agreement.decisive, dataset.labels, len(dataset.label_set))
        clear = sheet("votes-disagree", "The annotators clearly disagree with the label", decisive)
        yield clear._replace(
            captions=[f"{label(row)}\nvotes: {names[choice[row]]}" for row in decisive]
        )


def _by_label(rows: np.ndarray, labels: np.ndarray, num_labels: int) -> np.ndarray:
    """The first 8 rows of each label: a row of the sheet for each."""
    return np.concatenate([rows[labels[rows] == index][:8] for index in range(num_labels)])


def _samples(dataset: Dataset) -> np.ndarray:
    rows = np.random.default_rng(0).permutation(np.flatnonzero(dataset.mask("training")))
    return _by_label(rows, dataset.labels, len(dataset.label_set))


def _two_labels(group: np.ndarray, labels: np.ndarray) -> tuple[int, int]:
    """The first row of the group, and the first row with another label."""
    return int(group[0]), int(group[labels[group] != labels[group[0]]][0])


def _leaks(dataset: Dataset) -> np.ndarray:
    """The first evaluation rows with a twin in training, each followed by that twin."""
    training = np.flatnonzero(dataset.mask("training"))
    digests, first = np.unique(dataset.digests[training], return_index=True)
    chosen = np.flatnonzero(twins(dataset))[: _SHOWN // 2]
    same = (
        training[first[np.searchsorted(digests, dataset.digests[chosen])]]
        if len(chosen)
        else chosen
    )
    return np.stack([chosen, same], 1).ravel()
