from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from mien.data.dataset import SPLITS, UNLABELLED, Dataset, leaked, twins
from mien.data.split import with_validation
from mien.data.synthetic import drawn_dataset
from mien.errors import DataError, UsageError
from mien.labels import LabelSet


def with_equal_pictures(faces: Dataset) -> Dataset:
    """Three training rows get the pixels of validation rows, one that of a test row."""
    images = faces.images.copy()
    training, validation, test = (np.flatnonzero(faces.mask(split)) for split in SPLITS)
    images[training[:3]] = images[validation[:3]]
    images[training[3]] = images[test[0]]
    return dataclasses.replace(faces, images=images)


def test_parts_and_counts(faces: Dataset) -> None:
    assert len(faces) == 210
    assert [len(faces.part(split)) for split in SPLITS] == [140, 35, 35]
    counts = faces.counts()
    assert counts.shape == (3, 7) and counts.sum() == 210
    for s, split in enumerate(SPLITS):
        np.testing.assert_array_equal(counts[s], np.bincount(faces.part(split).labels, minlength=7))
    with pytest.raises(UsageError, match="got 'PublicTest'; expected one of training"):
        faces.part("PublicTest")


def test_parts_leave_out_rows_without_label(faces: Dataset) -> None:
    labels = faces.labels.copy()
    labels[faces.mask("test")] = UNLABELLED
    dataset = dataclasses.replace(faces, labels=labels)
    assert len(dataset.part("test")) == 0
    assert dataset.counts().sum() == 175


@pytest.mark.parametrize(
    "change",
    [
        {"images": np.zeros((210, 48, 48), np.uint8)},
        {"images": np.zeros((210, 48, 48, 1), np.float32)},
        {"labels": np.zeros(209, np.int64)},
        {"labels": np.full(210, 7)},
        {"labels": np.full(210, -2)},
        {"votes": np.zeros((210, 8), np.uint8)},
    ],
)
def test_shapes_are_checked(faces: Dataset, change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"Dataset.{next(iter(change))}: got"):
        dataclasses.replace(faces, **change)


def test_labels_are_numbered_as_in_another_set(faces: Dataset) -> None:
    some = faces.take(np.isin(faces.labels, [3, 4, 6]))
    moods = some.with_labels_that_occur()
    assert (
        moods.label_set.names == ("happy", "sad", "neutral")
        and moods.with_labels_that_occur() is moods
    )
    np.testing.assert_array_equal(np.array([3, 4, 6])[moods.labels], some.labels)
    turned = moods.with_labels(LabelSet(("sad", "bored", "neutral", "happy")))
    np.testing.assert_array_equal(np.array([4, -9, 6, 3])[turned.labels], some.labels)
    assert turned.with_labels(moods.label_set).fingerprint == moods.fingerprint
    # Labels that the other set lacks, and rows without a label.
    assert faces.with_labels(moods.label_set) is faces and faces.with_labels_that_occur() is faces
    labels = some.labels.copy()
    labels[0] = UNLABELLED
    assert dataclasses.replace(some, labels=labels).with_labels_that_occur().labels[0] == UNLABELLED
    happy = faces.take(faces.labels == 3)
    assert happy.with_labels_that_occur() is happy  # one label alone is no set


def test_leaks_and_twins(faces: Dataset) -> None:
    assert leaked(faces).sum() == twins(faces).sum() == 0
    dataset = with_equal_pictures(faces)
    training = np.flatnonzero(dataset.mask("training"))
    np.testing.assert_array_equal(np.flatnonzero(leaked(dataset)), training[:4])
    assert twins(dataset)[dataset.mask("validation")].sum() == 3
    assert twins(dataset)[dataset.mask("test")].sum() == 1


def test_fingerprint_changes_with_pixels_labels_and_splits(faces: Dataset) -> None:
    images, labels, splits = faces.images.copy(), faces.labels.copy(), faces.splits.copy()
    images[5, 3, 3] ^= 1
    labels[5] = (labels[5] + 1) % 7
    splits[5] = (splits[5] + 1) % 3
    others = [
        dataclasses.replace(faces, **change)
        for change in ({"images": images}, {"labels": labels}, {"splits": splits})
    ]
    assert len({faces.fingerprint, *(one.fingerprint for one in others)}) == 4
    assert dataclasses.replace(faces, source="elsewhere").fingerprint == faces.fingerprint


def test_fingerprints_by_split_ignore_order_and_the_other_splits(faces: Dataset) -> None:
    mixed = faces.take(np.random.default_rng(0).permutation(len(faces)))
    assert mixed.fingerprints == faces.fingerprints and mixed.fingerprint != faces.fingerprint
    training = faces.take(faces.mask("training")).fingerprints
    assert (
        training["training"] == faces.fingerprints["training"]
        and training["test"] != faces.fingerprints["test"]
    )
    labels = faces.labels.copy()
    place = int(np.flatnonzero(faces.mask("test"))[0])
    labels[place] = (labels[place] + 1) % 7
    other = dataclasses.replace(faces, labels=labels).fingerprints
    assert [split for split in SPLITS if other[split] != faces.fingerprints[split]] == ["test"]
    names = dataclasses.replace(faces, label_set=LabelSet(tuple("abcdefg")))
    assert names.fingerprints["training"] != faces.fingerprints["training"]


def test_a_validation_split_is_made_of_training_rows_only(faces: Dataset) -> None:
    assert with_validation(faces) is faces
    without = with_equal_pictures(faces).take(~faces.mask("validation"))
    made = with_validation(without)
    again = with_validation(without)
    np.testing.assert_array_equal(made.splits, again.splits)
    np.testing.assert_array_equal(made.mask("test"), without.mask("test"))
    assert 7 <= len(made.part("validation")) <= 28
    assert np.all(made.counts()[1] > 0)
    assert not np.isin(made.part("validation").digests, made.part("training").digests).any()
    assert "no validation split" in made.notes[-1]


def test_too_few_pictures_for_a_validation_split(faces: Dataset) -> None:
    training = faces.part("training")
    first = [int(np.flatnonzero(training.labels == k)[0]) for k in range(7)]
    with pytest.raises(DataError, match="at least 2 different pictures of each class"):
        with_validation(training.take(np.array(first)))


def test_data_without_training_rows_gets_no_validation_split() -> None:
    test = drawn_dataset(7, 7, 7).part("test")
    assert with_validation(test) is test
