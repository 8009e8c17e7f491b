"""Fit temperatures, so that probabilities match the accuracy on faces outside the training data."""

from __future__ import annotations

import numpy as np

from mien.bundle.answer import softmax

TEMPERATURES = (0.05, 20.0)
PRIOR_SIGMA = float(np.log(2))  # temperatures are mostly between a half and two
NUM_FOLDS = 5


def fit_temperature(targets: np.ndarray, logits: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017,
    https://arxiv.org/abs/1706.04599).

    Its logarithm has a normal prior around 0 with standard deviation `PRIOR_SIGMA`. Otherwise a few
    faces, all predicted correctly or all wrongly, would give an extreme temperature. Thousands of
    faces outweigh the prior.

    Args:
        targets: int (n,) labels, or float (n, K) shares of labels, of rows that the network was not
            trained on. Rows of zeros (faces without votes) are ignored.
        logits: float32 (n, K).

    Returns:
        The temperature, between 0.05 and 20; 1 without rows.
    """
    from scipy.optimize import minimize_scalar

    if targets.ndim == 2:
        labelled = targets.sum(axis=1) > 0
        targets, logits = targets[labelled], logits[labelled]
    if not len(targets):
        return 1.0

    def cost(x: float) -> float:
        prior = (x / PRIOR_SIGMA) ** 2 / (2 * len(targets))
        return nll(targets, logits, float(np.exp(x))) + prior

    low, high = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(cost, bounds=(low, high), method="bounded").x))


def nll(targets: np.ndarray, logits: np.ndarray, temperature: float) -> float:
    """Mean negative log-likelihood, in nats, of labels (n,) or shares (n, K) under
    softmax(logits / temperature).
    """
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    own = (
        scaled[np.arange(len(targets)), targets]
        if targets.ndim == 1
        else (scaled * targets).sum(axis=1)
    )
    return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - own))


def folds(num: int) -> np.ndarray:
    """A random part, 0 to `NUM_FOLDS` - 1, for each row, int (num,); the same in every call."""
    return np.random.default_rng(0).permutation(num) % NUM_FOLDS


def cross_fitted(targets: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Calibrated probabilities (n, K) by cross-fitting: the temperature for each fifth of the rows
    is fitted on the other four.

    With fewer than ten rows all of them share one temperature, fitted on all.
    """
    fold = folds(len(targets))
    if len(targets) < 2 * NUM_FOLDS:
        return softmax(logits, fit_temperature(targets, logits))
    probabilities = np.empty(logits.shape, np.float32)
    for k in range(NUM_FOLDS):
        probabilities[fold == k] = softmax(
            logits[fold == k], fit_temperature(targets[fold != k], logits[fold != k])
        )
    return probabilities
