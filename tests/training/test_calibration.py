from __future__ import annotations

import numpy as np
import pytest

from mien.bundle.answer import softmax
from mien.training.calibration import cross_fitted, fit_temperature, nll


def test_the_temperature_of_a_known_distribution_is_found() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (20_000, 5)).astype(np.float32)
    probabilities = softmax(logits, 2.5)
    labels = (generator.random((20_000, 1)) > probabilities.cumsum(1)).sum(1).clip(max=4)
    assert fit_temperature(labels, logits) == pytest.approx(2.5, rel=0.05)
    assert nll(labels, logits, 2.5) == pytest.approx(
        -np.log(probabilities[np.arange(20_000), labels]).mean(), rel=1e-5
    )


def test_a_few_faces_do_not_make_a_network_certain() -> None:
    logits = np.eye(4, dtype=np.float32)
    assert 0.3 < fit_temperature(np.arange(4), logits) < 1  # all right: surer, not certain
    assert 1 < fit_temperature(np.arange(4)[::-1], 4 * logits) < 4  # all wrong
    assert fit_temperature(np.zeros(0, np.int64), logits[:0]) == 1


def test_faces_that_nobody_voted_on_have_no_say_in_the_temperature() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (1000, 8)).astype(np.float32)
    shares = generator.dirichlet(np.ones(8), 1000)
    expected = fit_temperature(shares[300:], logits[300:])
    shares[:300] = 0
    assert fit_temperature(shares, logits) == pytest.approx(expected, rel=1e-6) and expected > 2
    assert fit_temperature(np.zeros((1000, 8)), logits) == 1


def test_cross_fitting_lets_no_row_choose_its_own_temperature() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (400, 4)).astype(np.float32)
    labels = generator.integers(0, 4, 400)
    found = cross_fitted(labels, logits)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    apart = np.abs(found - softmax(logits, fit_temperature(labels, logits))).max(axis=1)
    assert 0 < apart.max() < 0.1
    shares = np.eye(4)[labels]
    assert fit_temperature(shares, logits) == pytest.approx(
        fit_temperature(labels, logits), rel=1e-6
    )
