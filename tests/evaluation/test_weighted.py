"""Accuracy at another class mix."""

from __future__ import annotations

import numpy as np
import pytest

from mien.data.dataset import Dataset
from mien.errors import UsageError
from mien.evaluation.evaluate import Predictions, evaluate
from mien.evaluation.weighted import NATURAL, parse_weights, weigh, weighted_accuracy
from mien.labels import FER2013


def test_natural_is_what_was_counted() -> None:
    assert sum(NATURAL.values()) == 12_753
    assert set(NATURAL) == set(FER2013)


def test_by_hand() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 0, 1, 1, 0, 0])
    found = weighted_accuracy(labels, predicted, np.array([6.0, 3.0, 1.0]), num_bootstrap=500)
    assert found["value"] == pytest.approx(0.6 * 0.75 + 0.3 * 0.5 + 0.1 * 0)
    assert found["low"] is not None and found["high"] is not None
    assert found["low"] < found["value"] < found["high"]
    equal = weighted_accuracy(labels, predicted, np.ones(3), num_bootstrap=0)
    assert equal == {"value": pytest.approx(1.25 / 3), "low": None, "high": None}


def test_classes_that_do_not_occur_leave_their_weight_to_others() -> None:
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    found = weighted_accuracy(labels, predicted, np.array([1.0, 1.0, 8.0]), num_bootstrap=0)
    assert found["value"] == pytest.approx(0.75)
    nothing = weighted_accuracy(labels, predicted, np.array([0.0, 0.0, 8.0]), num_bootstrap=50)
    assert nothing["value"] is None


def test_pairs() -> None:
    weights = parse_weights("Happiness=4, neutral = 5.5,sad=0")
    assert weights.by_label == {"happy": 4.0, "neutral": 5.5, "sad": 0.0}
    assert parse_weights("Natural").by_label == NATURAL
    for text in ("", "happy", "happy=much", "happy=-1", "happy=nan", "happy=0", "=3"):
        with pytest.raises(UsageError, match="weights: got"):
            parse_weights(text)


def test_in_the_report(faces: Dataset) -> None:
    part = faces.part("test")
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(7), len(part)).astype(np.float32)
    evaluation = evaluate(faces, [Predictions("net", {"test": p}, {})], num_bootstrap=100)
    weighed = weigh(evaluation, parse_weights("natural"))
    scores = weighed.truth["networks"][0]["splits"]["test"]
    recall = [one["recall"] for one in scores["per_class"]]
    expected = sum(NATURAL[n] * r for n, r in zip(FER2013, recall, strict=True)) / 12_753
    assert scores["weighted_accuracy"]["value"] == pytest.approx(expected)
    assert weighed.truth["weights"]["covered"] == 1
    assert "net: weighted to the natural mix it is right on" in weighed.table()
    assert "weighted_accuracy" not in evaluation.truth["networks"][0]["splits"]["test"]
    with pytest.raises(UsageError, match="got weights of calm"):
        weigh(evaluation, parse_weights("calm=1"))
    some = weigh(evaluation, parse_weights("happy=1,calm=1"))
    assert some.truth["weights"]["covered"] == 0.5
    assert "the data lacks calm" in some.table()
