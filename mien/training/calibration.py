"""Fit temperatures, so that a network is as sure as it is right on faces it was not trained on."""

from __future__ import annotations

import numpy as np

from mien.bundle.answer import softmax

TEMPERATURES = (0.05, 20.0)
LIKELY = float(np.log(2))  # temperatures are mostly between a half and two
NUM_FOLDS = 5


def fit_temperature(targets: np.ndarray, logits: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017,
    https://arxiv.org/abs/1706.04599).

    Before any row is seen its logarithm is taken to be normal around 0, give or take `LIKELY`: four
    faces, all right or all wrong, would else make a network certain, or certain of nothing.
    Thousands of faces outweigh that.

    Args:
        targets: int (n,) labels, or float (n, K) shares of labels; rows the network was not trained
            on. Rows of zeros, faces nobody voted on, tell nothing.
        logits: float32 (n, K).
    """
    from scipy.optimize import minimize_scalar

    if targets.ndim == 2:
        labelled = targets.sum(axis=1) > 0
        targets, logits = targets[labelled], logits[labelled]
    if not len(targets):
        return 1.0

    def cost(x: float) -> float:
        return nll(targets, logits, float(np.exp(x))) + (x / LIKELY) ** 2 / (2 * len(targets))

    low, high = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(cost, bounds=(low, high), method="bounded").x))


def nll(targets: np.ndarray, logits: np.ndarray, temperature: float) -> float:
    """Mean negative log-likelihood in nats of targets, labels (n,) or shares (n, K), under
    softmax(logits / T).
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
    """int (num,): which of `NUM_FOLDS` parts of equal size each row belongs to, at random but
    always alike.
    """
    return np.random.default_rng(0).permutation(num) % NUM_FOLDS


def cross_fitted(targets: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Calibrated probabilities (n, K); the temperature of each fifth of the rows is fitted on the
    other four.

    So no row helps to choose the temperature that it is judged by.
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
