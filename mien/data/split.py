"""A validation split for data that has none: by pixels, or by whole groups.

Pictures of one person, or frames of one film, resemble each other more than pictures of different
people do. If they are in both training and validation, a network looks better than it is. So if
groups are known, each group stays in one split.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from mien.data.dataset import SPLITS, UNLABELLED, Dataset
from mien.errors import DataError

SHARE = 0.1  # of the training rows of each class


def with_validation(dataset: Dataset, share: float = SHARE) -> Dataset:
    """Move training rows to validation if a data set has no validation rows: the same share of each
    class, with equal pictures and known groups kept together.

    The choice depends only on pixels, or on the names of groups, so the same data is always split
    the same way. Data that has a validation split, or no training rows, is returned
    unchanged; test rows never move.

    Args:
        dataset: The data.
        share: The share of each class's training rows that moves, at least one row.

    Raises:
        DataError: if a class has too few training rows, or groups, to split.
    """
    training = dataset.mask("training") & (dataset.labels != UNLABELLED)
    if np.any(dataset.mask("validation") & (dataset.labels != UNLABELLED)) or not training.any():
        return dataset
    rows = np.flatnonzero(training)
    digests, labels = dataset.digests[rows], dataset.labels[rows]
    by_groups = dataset.groups is not None and any(dataset.groups[rows])
    if by_groups and dataset.groups is not None:
        units = _units(dataset.groups[rows], digests)
        chosen = _by_groups(units, labels, share)
    else:
        units, chosen = digests, _by_pixels(digests, labels, share)
    training_only = [
        name
        for index, name in enumerate(dataset.label_set)
        if np.any(labels == index) and not np.any(chosen[labels == index])
    ]
    if by_groups and not chosen.any():
        raise _unsplittable(dataset.source, len(np.unique(units)))
    if training_only and not by_groups:
        num = int(np.sum(labels == dataset.label_set.index(training_only[0])))
        raise DataError(
            dataset.source,
            got=f"{num} training picture(s) of the class {training_only[0]!r} and no validation "
            "split",
            expected="at least 2 different pictures of each class, one for training and one for "
            "validation",
            fix="add pictures of that class, or a validation split",
        )
    splits = dataset.splits.copy()
    splits[rows[chosen]] = SPLITS.index("validation")
    how = (
        f"{len(np.unique(units[chosen])):,} of {len(np.unique(units)):,} groups, each whole,"
        if by_groups
        else "chosen by their pixels,"
    )
    notes = [
        f"The data has no validation split: {chosen.sum()} of {len(rows)} training pictures, "
        f"{how} are used for validation."
    ]
    if training_only:
        notes.append(
            f"Only one group has {', '.join(training_only)}; it is used for training, so "
            "validation has no such pictures."
        )
    return dataclasses.replace(dataset, splits=splits).with_notes(*notes)


def _unsplittable(source: str, num_groups: int) -> DataError:
    return DataError(
        source,
        got=f"no validation split, and {num_groups:,} group(s), such as persons, of which none can "
        "be used for one: without it some class would have no training pictures",
        expected="at least 2 groups with pictures of the same classes",
        fix="add pictures of other people, or a validation split",
    )


def _by_pixels(units: np.ndarray, labels: np.ndarray, share: float) -> np.ndarray:
    chosen = np.zeros(len(units), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        unique = np.unique(units[members])
        if len(unique) > 1:
            moving = unique[: max(1, round(share * len(unique)))]
            chosen[members[np.isin(units[members], moving)]] = True
    return chosen


def _by_groups(units: np.ndarray, labels: np.ndarray, share: float) -> np.ndarray:
    """Choose whole units, in the order of their hashed names, until each class has its share.

    A unit is passed over if no class needs it, or if a class would be left without training rows.
    Rare classes choose first, before frequent classes take the units that contain rare ones.
    """
    names, place = np.unique(units, return_inverse=True)
    counts = np.zeros((len(names), int(labels.max()) + 1), np.int64)
    np.add.at(counts, (place, labels), 1)
    total = counts.sum(axis=0)
    target = np.where(total > 0, np.maximum(1, np.rint(share * total)), 0)
    moved = np.zeros_like(total)
    chosen = np.zeros(len(names), bool)
    order = sorted(range(len(names)), key=lambda i: _hash(names[i]))
    for label in np.argsort(total, kind="stable"):
        for i in order:
            if moved[label] >= target[label]:
                break
            if chosen[i] or not counts[i, label]:
                continue
            if np.any((counts[i] > 0) & (moved + counts[i] >= total)):
                continue  # no row of a class would be left for training
            chosen[i] = True
            moved += counts[i]
    return np.asarray(chosen[place])


def _units(groups: np.ndarray, digests: np.ndarray) -> np.ndarray:
    """str (R,): the unit of each row, which moves as a whole: its group, or the row itself if its
    group is unknown. Groups that share a picture form one unit.
    """
    own = [f"picture {digest}" for digest in digests]
    names = np.array([group or alone for group, alone in zip(groups, own, strict=True)], str)
    _, unit = np.unique(names, return_inverse=True)
    _, picture = np.unique(digests, return_inverse=True)
    while True:  # spread the lowest number through shared pictures and groups until it is stable
        lowest = np.full(picture.max() + 1, len(names))
        np.minimum.at(lowest, picture, unit)
        of_group = np.full(unit.max() + 1, len(names))
        np.minimum.at(of_group, unit, lowest[picture])
        joined = of_group[unit]
        if np.array_equal(joined, unit):
            break
        unit = joined
    first = np.unique(unit, return_index=True)[1]
    return np.asarray(names[first][np.unique(unit, return_inverse=True)[1]])


def _hash(name: object) -> bytes:
    return hashlib.sha256(str(name).encode("utf-8", "surrogatepass")).digest()
