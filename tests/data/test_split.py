"""Validation splits: by pixels, and by groups that stay whole."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mien.data.dataset import SPLITS, Dataset
from mien.data.split import with_validation
from mien.data.synthetic import drawn_dataset
from mien.errors import DataError
from mien.labels import FER2013

TRAINING = SPLITS.index("training")


def grouped(per_class: int = 40, persons: int = 20) -> Dataset:
    """Training faces of several persons, each of whom shows every expression."""
    faces = drawn_dataset(7 * per_class, 7, 7, seed=5).part("training")
    groups = np.array([f"person {row % persons}" for row in range(len(faces))], object)
    return dataclasses.replace(faces, groups=groups)


def parts(dataset: Dataset) -> tuple[set[str], set[str]]:
    assert dataset.groups is not None
    validates = dataset.mask("validation")
    return set(dataset.groups[~validates]), set(dataset.groups[validates])


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_no_group_is_cut_in_two(share: float) -> None:
    dataset = with_validation(grouped(), share)
    train, validate = parts(dataset)
    assert len(train) > 0 and len(validate) > 0 and not train & validate
    counts = dataset.counts()
    assert (counts[1] > 0).all()
    assert share * 0.7 < counts[1].sum() / counts.sum() < share * 2
    assert any("groups, each whole" in note for note in dataset.notes)


def test_equal_data_is_split_equally_whatever_its_order() -> None:
    dataset = grouped()
    again = with_validation(dataset.take(np.arange(len(dataset))[::-1]))
    assert parts(with_validation(dataset)) == parts(again)


def test_groups_that_share_a_picture_stay_together() -> None:
    dataset = grouped(persons=10)
    assert dataset.groups is not None
    images, groups = dataset.images.copy(), dataset.groups.copy()
    first, second = np.flatnonzero(groups == "person 1")[0], np.flatnonzero(groups == "person 2")[0]
    images[second] = images[first]
    validate = parts(with_validation(dataclasses.replace(dataset, images=images), 0.3))[1]
    assert ("person 1" in validate) == ("person 2" in validate)


def test_pictures_of_unknown_group_move_alone() -> None:
    dataset = grouped()
    assert dataset.groups is not None
    groups = dataset.groups.copy()
    groups[::2] = ""
    split = with_validation(dataclasses.replace(dataset, groups=groups))
    train, validate = parts(split)
    assert train & validate <= {""}
    assert split.mask("validation").sum() < 60


def test_a_class_of_one_person_trains() -> None:
    dataset = grouped()
    assert dataset.groups is not None
    groups = dataset.groups.copy()
    groups[dataset.labels == FER2013.index("fear")] = "the only one"
    split = with_validation(dataclasses.replace(dataset, groups=groups))
    assert split.counts()[1, FER2013.index("fear")] == 0
    assert any("Only one group has fear" in note for note in split.notes)


@pytest.mark.parametrize("num", [1, 7])
def test_groups_that_cannot_be_split_are_named(num: int) -> None:
    dataset = grouped()  # one person, or one person for each class
    groups = np.array([f"person {label % num}" for label in dataset.labels], object)
    with pytest.raises(DataError, match=rf"{num} group\(s\), such as persons") as caught:
        with_validation(dataclasses.replace(dataset, groups=groups))
    assert caught.value.fix == "add pictures of other people, or a validation split"
