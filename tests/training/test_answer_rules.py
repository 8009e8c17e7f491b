"""Rules fitted on drawn probabilities whose best mixture is known, and a bundle derived anew."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mien.bundle import open_bundle
from mien.data.dataset import Dataset
from mien.data.synthetic import drawn_dataset
from mien.errors import UsageError
from mien.labels import FER2013, FERPLUS, FERPLUS_VOTES, LabelSet
from mien.training.answer_rules import (
    Judged,
    _halves,
    class_shares,
    fit_rules,
    recalibrate,
)

LABELS = {"fer2013": FER2013, "votes": FERPLUS}


def told(truth: np.ndarray, num: int, sure: float, rng: np.random.Generator) -> np.ndarray:
    """float32 (n, num): probabilities that name the truth the surer the larger `sure` is."""
    scores = rng.normal(size=(len(truth), num))
    scores[np.arange(len(truth)), truth] += sure
    powers = np.exp(scores)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def judged(truth: np.ndarray, first: float, second: float, *, seed: int, voted: bool) -> Judged:
    rng = np.random.default_rng(seed)
    heads = {"fer2013": told(truth, 7, first, rng), "votes": told(truth, 8, second, rng)}
    votes = np.zeros((len(truth), len(FERPLUS_VOTES)), np.uint8)
    votes[np.arange(len(truth)), [FERPLUS_VOTES.index(FER2013[k]) for k in truth]] = 10
    return Judged({"fast": heads, "best": heads}, truth, votes if voted else None)


def test_the_head_that_knows_a_place_has_more_of_its_answer() -> None:
    rng = np.random.default_rng(0)
    faces = judged(rng.integers(0, 7, 1500), 4.0, 1.0, seed=1, voted=True)
    often = rng.choice(7, 1500, p=[0.05, 0.02, 0.03, 0.3, 0.05, 0.05, 0.5])
    photographs = judged(often, 0.5, 4.0, seed=2, voted=False)
    rules = fit_rules(LABELS, faces, photographs, class_shares(often, 7))
    assert list(rules) == ["everyday", "balanced"]
    assert rules["balanced"].weights["fer2013"] > 0.6
    assert rules["everyday"].weights["votes"] > rules["balanced"].weights["votes"] + 0.2
    np.testing.assert_allclose(rules["everyday"].class_shares, class_shares(often, 7))
    heads = photographs.heads["fast"]
    right = {
        prior: float(np.mean(rule.answer(heads, LABELS).argmax(axis=1) == often))
        for prior, rule in rules.items()
    }
    assert right["everyday"] > right["balanced"] + 0.1
    assert 0.5 <= rules["everyday"].certain_from <= 0.95


def test_without_votes_there_is_nothing_to_fit() -> None:
    faces = judged(np.arange(70) % 7, 2.0, 2.0, seed=0, voted=False)
    with pytest.raises(UsageError, match="without FER\\+ votes"):
        fit_rules(LABELS, faces, faces, np.full(7, 1 / 7))
    with pytest.raises(UsageError, match="a second head that knows the labels"):
        fit_rules(
            {"fer2013": FER2013, "mood": LabelSet(("low", "high"))},
            dataclasses.replace(faces, votes=np.ones((70, 10), np.uint8)),
            faces,
            np.full(7, 1 / 7),
        )


def test_a_bundle_is_derived_anew(tmp_path: Path) -> None:
    data = with_votes(drawn_dataset(7, 35, 7))
    photographs = drawn_dataset(70, 35, 7)
    before = open_bundle("shipped")
    new, measured = recalibrate(before, tmp_path / "new.zip", dataset=data, photographs=photographs)
    again = open_bundle(tmp_path / "new.zip")
    assert again.digest == new.digest != before.digest and again.model == before.model
    assert list(again.rules) == ["everyday", "balanced"]
    row = measured["everyday"]["fast"]["photographs"]
    assert row["n"] == 35 and 0 <= row["certain"] <= 1
    assert again.metrics["validation"]["accuracy"] == before.metrics["validation"]["accuracy"]
    with pytest.raises(UsageError, match=r"got no rows in .*photographs"):
        recalibrate(before, tmp_path / "x", dataset=data, photographs=photographs.part("training"))


def test_nobody_is_in_both_halves() -> None:
    data = drawn_dataset(90, 7, 7).part("training")
    alone = np.zeros(90, dtype=object)
    alone[:] = ""
    alone[:60] = np.array([f"person {k % 12}" for k in range(60)], dtype=object)
    half = _halves(dataclasses.replace(data, groups=alone))
    assert set(half) == {0, 1} and set(half[60:]) == {0, 1}
    assert all(len(set(half[:60][alone[:60] == name])) == 1 for name in set(alone[:60]))
    assert set(_halves(dataclasses.replace(data, groups=None))) == {0, 1}


def with_votes(data: Dataset) -> Dataset:
    votes = np.zeros((len(data), len(FERPLUS_VOTES)), np.uint8)
    votes[np.arange(len(data)), [FERPLUS_VOTES.index(FER2013[k]) for k in data.labels]] = 10
    return dataclasses.replace(data, votes=votes)
