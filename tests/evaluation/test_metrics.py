"""Metrics against scikit-learn, against mlxtend, and against sums done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mien.errors import UsageError
from mien.evaluation import metrics


def fake(
    n: int, num_classes: int, seed: int = 0, skill: float = 1.5
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and probabilities (n, K) of a network that is right more often than chance."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, num_classes, n)
    scores = generator.normal(size=(n, num_classes)) + skill * np.eye(num_classes)[labels]
    exp = np.exp(scores)
    return labels, (exp / exp.sum(1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("num_classes", "seed"), [(2, 0), (7, 1), (20, 2)])
def test_scores_equal_scikit_learns(num_classes: int, seed: int) -> None:
    from sklearn import metrics as sk

    labels, probabilities = fake(600, num_classes, seed)
    assert set(labels) == set(range(num_classes))
    predicted = probabilities.argmax(1)
    scores, by_class = metrics.estimates(labels, probabilities, num_bootstrap=0)
    value = {name: scores[name]["value"] for name in metrics.SCORES}
    names = np.arange(num_classes)
    wide = probabilities.astype(np.float64)
    wide /= wide.sum(1, keepdims=True)
    assert value["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    assert value["loss"] == pytest.approx(sk.log_loss(labels, wide, labels=names), abs=1e-5)
    assert value["macro_f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert value["balanced_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(labels, predicted)
    )
    if num_classes > 2:  # scikit-learn refuses the trivial question
        assert value["top2_accuracy"] == pytest.approx(
            sk.top_k_accuracy_score(labels, wide, k=2, labels=names)
        )
    else:
        assert value["top2_accuracy"] == 1.0
    onehot = np.eye(num_classes)[labels]
    assert value["brier"] == pytest.approx(np.mean(((wide - onehot) ** 2).sum(1)), abs=1e-6)
    rows = metrics.per_class(labels, predicted, num_classes)
    f1 = sk.f1_score(labels, predicted, average=None)
    assert len(rows) == len(by_class) == num_classes
    assert [row["f1"] for row in rows] == pytest.approx(f1)
    assert [est["value"] for est in by_class] == pytest.approx(f1)
    assert (
        metrics.confusion(labels, predicted, num_classes).tolist()
        == sk.confusion_matrix(labels, predicted).tolist()
    )


def test_a_small_case_by_hand() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array(
        [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]], np.float32
    )
    scores, _ = metrics.estimates(labels, probabilities, num_bootstrap=0)
    assert scores["accuracy"] == {"value": 0.5, "low": None, "high": None}
    assert scores["loss"]["value"] == pytest.approx(-math.log(0.8 * 0.3 * 0.5 * 0.2) / 4, abs=1e-6)
    # class 0: tp 1, predicted 1, true 2 -> 2/3; class 1: tp 1, predicted 2, true 2 -> 1/2; class 2
    # does not occur.
    assert scores["macro_f1"]["value"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert scores["balanced_accuracy"]["value"] == pytest.approx(0.5)
    assert scores["top2_accuracy"]["value"] == 1.0
    rows = metrics.per_class(labels, probabilities.argmax(1), 3)
    assert [row["n"] for row in rows] == [2, 2, 0]
    assert rows[2] == {"n": 0, "predicted": 1, "precision": 0.0, "recall": None, "f1": None}


def test_a_class_never_predicted_has_no_precision_but_an_f1_of_zero() -> None:
    rows = metrics.per_class(np.array([0, 1]), np.array([0, 0]), 2)
    assert rows[1] == {"n": 1, "predicted": 0, "precision": None, "recall": 0.0, "f1": 0.0}


def test_a_certain_and_wrong_answer_has_a_finite_loss() -> None:
    loss = metrics.row_losses(np.array([1]), np.array([[1.0, 0.0]], np.float32))
    assert loss == pytest.approx([-math.log(1e-7)])


def test_nothing_to_count_is_none_not_zero() -> None:
    labels, probabilities = np.zeros(0, np.int64), np.zeros((0, 3), np.float32)
    scores, by_class = metrics.estimates(labels, probabilities)
    assert set(scores) == set(metrics.SCORES) and len(by_class) == 3
    assert all(
        est == {"value": None, "low": None, "high": None} for est in (*scores.values(), *by_class)
    )
    bins = metrics.reliability(labels, probabilities)
    assert len(bins) == 15 and metrics.calibration_error(bins) is None
    assert metrics.confusion(labels, labels, 3).tolist() == [[0] * 3] * 3
    assert [row["recall"] for row in metrics.per_class(labels, labels, 3)] == [None] * 3
    none = np.zeros(0, bool)
    assert metrics.mcnemar(none, none)["p_value"] is None


def test_the_interval_is_the_percentile_bootstrap_over_rows() -> None:
    """The matrix product must equal drawing rows and scoring each draw, one by one."""
    labels, probabilities = fake(80, 4, seed=3)
    num, seed = 60, 11
    scores, by_class = metrics.estimates(labels, probabilities, num_bootstrap=num, seed=seed)
    draws = np.random.default_rng(seed).integers(0, 80, (num, 80))
    again = [metrics.estimates(labels[d], probabilities[d], num_bootstrap=0) for d in draws]
    assert len(again) == num
    for name in metrics.SCORES:
        low, high = np.percentile([a[0][name]["value"] for a in again], (2.5, 97.5))
        assert (scores[name]["low"], scores[name]["high"]) == (
            pytest.approx(low),
            pytest.approx(high),
        )
        assert low < scores[name]["value"] < high
    low, high = np.percentile([a[1][2]["value"] for a in again], (2.5, 97.5))
    assert (by_class[2]["low"], by_class[2]["high"]) == (pytest.approx(low), pytest.approx(high))


def test_the_interval_has_the_width_that_theory_gives() -> None:
    labels, probabilities = fake(3000, 7, seed=4)
    accuracy = metrics.estimates(labels, probabilities)[0]["accuracy"]
    p, low, high = accuracy["value"], accuracy["low"], accuracy["high"]
    assert p is not None and low is not None and high is not None
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(p * (1 - p) / 3000), rel=0.1)


def test_the_same_seed_gives_the_same_interval_and_another_another() -> None:
    labels, probabilities = fake(500, 7)
    first = metrics.estimates(labels, probabilities, num_bootstrap=50, seed=1)
    assert first == metrics.estimates(labels, probabilities, num_bootstrap=50, seed=1)
    assert first != metrics.estimates(labels, probabilities, num_bootstrap=50, seed=2)


def test_a_class_of_one_row_that_resamples_often_miss() -> None:
    """Under -W error: no warning of an empty mean, and an interval all the same."""
    labels, probabilities = (
        np.array([0, 0, 0, 1]),
        np.array([[0.9, 0.1]] * 3 + [[0.2, 0.8]], np.float32),
    )
    probabilities[1] = [0.4, 0.6]  # an error, so that resamples differ
    scores, by_class = metrics.estimates(labels, probabilities, num_bootstrap=200)
    assert by_class[1]["value"] == pytest.approx(2 / 3)
    assert 0 < by_class[1]["low"] < 2 / 3 < by_class[1]["high"] == 1.0
    assert scores["macro_f1"]["low"] < scores["macro_f1"]["value"] < scores["macro_f1"]["high"]


@pytest.mark.parametrize("answer", [0, 1])
def test_equal_resamples_give_the_exact_interval_or_none(answer: int) -> None:
    """All right, or all wrong: an interval from 100 to 100 % would read as certainty."""
    probabilities = np.tile(
        np.eye(2)[answer] * 0.7 + 0.15, (30, 1)
    )  # 0.85 and 0.15: sums of them are not exact
    scores, by_class = metrics.estimates(np.zeros(30, np.int64), probabilities, num_bootstrap=100)
    assert set(scores) == set(metrics.SCORES)
    # Clopper and Pearson: 0.025 ** (1 / 30) = 0.8843.
    low, high = (0.8843, 1.0) if answer == 0 else (0.0, 1 - 0.8843)
    assert scores["accuracy"]["value"] == 1.0 - answer
    assert scores["accuracy"]["low"] == pytest.approx(low, abs=1e-4)
    assert scores["accuracy"]["high"] == pytest.approx(high, abs=1e-4)
    others = [est for name, est in scores.items() if name not in ("accuracy", "top2_accuracy")]
    assert len(others) == 4
    assert all(est["value"] is not None and est["low"] is est["high"] is None for est in others)
    assert by_class[0] == {"value": 1.0 - answer, "low": None, "high": None}


def test_reliability_by_hand() -> None:
    probabilities = np.array([[0.59, 0.41], [0.62, 0.38], [1.0, 0.0]], np.float32)
    bins = metrics.reliability(np.array([0, 1, 0]), probabilities)
    assert [b["n"] for b in bins] == [0] * 8 + [1, 1] + [0] * 4 + [1]
    assert bins[0]["accuracy"] is None and bins[0]["confidence"] is None
    assert bins[9]["accuracy"] == 0.0 and bins[9]["low"] == pytest.approx(0.6)
    assert metrics.calibration_error(bins) == pytest.approx((0.41 + 0.62 + 0.0) / 3)


def test_a_calibrated_network_has_a_small_calibration_error() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(5), 20000).astype(np.float32)
    labels = (generator.random((20000, 1)) > probabilities.cumsum(1)).sum(1).clip(max=4)
    error = metrics.calibration_error(metrics.reliability(labels, probabilities))
    assert error is not None and error < 0.015
    sharpened = probabilities**4 / (probabilities**4).sum(1, keepdims=True)
    worse = metrics.calibration_error(metrics.reliability(labels, sharpened))
    assert worse is not None and worse > 0.2


def test_mcnemar_counts_and_the_exact_test() -> None:
    from scipy.stats import binom

    first = np.array([True] * 14 + [False] * 6)
    second = np.array([True] * 4 + [False] * 10 + [True] * 2 + [False] * 4)
    result = metrics.mcnemar(first, second)
    assert [result[key] for key in ("n", "both", "only_first", "only_second", "neither")] == [
        20,
        4,
        10,
        2,
        4,
    ]
    assert result["difference"] == pytest.approx(8 / 20)
    assert result["method"] == "exact binomial"
    assert result["p_value"] == pytest.approx(2 * binom.cdf(2, 12, 0.5))


def test_mcnemar_equals_mlxtends() -> None:
    from mlxtend.evaluate import mcnemar, mcnemar_table

    generator = np.random.default_rng(5)
    for rate, method in ((0.3, "chi-square with continuity correction"), (0.02, "exact binomial")):
        first = generator.random(400) < 0.7
        second = first ^ (generator.random(400) < rate)
        table = mcnemar_table(np.ones(400, int), first.astype(int), second.astype(int))
        result = metrics.mcnemar(first, second)
        assert result["method"] == method
        assert (result["only_first"], result["only_second"]) == (table[0, 1], table[1, 0])
        assert result["p_value"] == pytest.approx(
            mcnemar(table, exact=method == "exact binomial")[1]
        )


def test_mcnemar_of_equal_networks_is_certain_of_nothing() -> None:
    right = np.array([True, False, True])
    assert metrics.mcnemar(right, right)["p_value"] == 1.0
    halves = np.arange(40) < 20
    assert metrics.mcnemar(halves, ~halves)["p_value"] == 1.0  # 20 against 20


def test_a_paired_loss_is_narrower_than_the_losses_are() -> None:
    generator = np.random.default_rng(0)
    second = generator.gamma(
        1.0, 1.0, 3000
    )  # losses that differ much from face to face, little between networks
    first = second + generator.normal(0.02, 0.1, 3000)
    found = metrics.paired_loss(first, second, seed=1)
    assert found["value"] == pytest.approx((first - second).mean())
    half_width = 1.96 * (first - second).std() / 3000**0.5
    assert found["low"] == pytest.approx(found["value"] - half_width, abs=5e-4)
    assert found["high"] == pytest.approx(found["value"] + half_width, abs=5e-4)


def test_a_paired_loss_of_equal_networks_or_of_no_rows_has_no_interval() -> None:
    losses = np.linspace(0, 1, 20)
    assert metrics.paired_loss(losses, losses) == {"value": 0.0, "low": None, "high": None}
    assert metrics.paired_loss(losses, losses + 1, num_bootstrap=0) == {
        "value": -1.0,
        "low": None,
        "high": None,
    }
    assert metrics.paired_loss(losses[:0], losses[:0]) == {"value": None, "low": None, "high": None}


def test_a_negative_number_of_resamples_is_refused() -> None:
    with pytest.raises(UsageError, match="num_bootstrap: got -1"):
        metrics.estimates(*fake(10, 2), num_bootstrap=-1)
