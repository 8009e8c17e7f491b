from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mien.data.dataset import Dataset
from mien.errors import UsageError
from mien.labels import FERPLUS_VOTES
from mien.training import targets
from mien.training.recipe import Recipe

PLAIN = Recipe(
    "plain",
    ((4,),),
    dense=0,
    block_dropout=0.0,
    dense_dropout=0.0,
    max_epochs=1,
    label_smoothing=0.0,
)


def test_class_weights() -> None:
    counts = np.array([10, 40, 50])
    np.testing.assert_array_equal(runs_weights := targets.class_weights(counts, "none"), [1, 1, 1])
    balanced = targets.class_weights(counts, "balanced")
    np.testing.assert_allclose(balanced, 100 / (3 * counts))  # scikit-learn's formula
    root = targets.class_weights(counts, "sqrt")
    np.testing.assert_allclose(root / root[0], np.sqrt(counts[0] / counts))
    for each in (runs_weights, balanced, root):
        assert (each * counts).sum() == pytest.approx(counts.sum())  # the mean over the rows is 1


@pytest.fixture
def torn(faces: Dataset) -> Dataset:
    """1,400 faces of two labels; all ten vote for the right one of two, but a fifth of the labels
    is the other one.
    """
    rng = np.random.default_rng(0)
    training = faces.part("training").take(np.arange(1400) % 140)
    seen = rng.integers(0, 2, len(training))
    votes = np.zeros((len(training), len(FERPLUS_VOTES)), np.uint8)
    votes[np.arange(len(training)), seen] = 10
    votes[:7] = 0
    labels = np.where(rng.random(len(training)) < 0.2, 1 - seen, seen).astype(training.labels.dtype)
    return dataclasses.replace(training, votes=votes, labels=labels)


def test_votes_tell_how_likely_each_label_is(torn: Dataset) -> None:
    likely, voted = targets.labels_by_votes(torn)
    assert likely.shape == (1400, 7) and likely.dtype == np.float32
    np.testing.assert_allclose(likely.sum(axis=1), 1, atol=1e-5)
    assert not voted[:7].any() and voted[7:].all()
    assert torn.votes is not None
    for seen in (0, 1):
        rows = voted & (torn.votes[:, seen] == 10)
        np.testing.assert_allclose(
            likely[rows, seen], np.mean(torn.labels[rows] == seen), atol=0.01
        )


def test_vote_weight_is_their_share_of_the_targets(torn: Dataset) -> None:
    likely, voted = targets.labels_by_votes(torn)
    truth = np.eye(7)[torn.labels]
    made = targets.make_targets(torn, dataclasses.replace(PLAIN, soft_label_weight=0.25))
    np.testing.assert_allclose(made.labels[voted], (0.75 * truth + 0.25 * likely)[voted], atol=1e-6)
    np.testing.assert_array_equal(made.labels[~voted], truth[~voted])
    with pytest.raises(
        UsageError, match="soft_label_weight: got data without FER\\+ votes; expected votes"
    ):
        targets.make_targets(
            dataclasses.replace(torn, votes=None),
            dataclasses.replace(PLAIN, soft_label_weight=0.25),
        )


def test_mixed_faces_have_mixed_targets() -> None:
    shares = tf.constant([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    mixed, weights = targets.mixed(
        shares, tf.constant([1.0, 0.0, 0.5]), tf.constant([0.75, 1.0, 0.5])
    )
    # The first has 0.75 of itself and 0.25 of the last, whose weight is a half; nobody voted for
    # the second.
    np.testing.assert_allclose(
        mixed, [[0.75 / 0.875, 0.125 / 0.875], [0, 0], [0.5 / 0.75, 0.25 / 0.75]], atol=1e-6
    )
    np.testing.assert_allclose(weights, [0.875, 0, 0.75], atol=1e-6)
