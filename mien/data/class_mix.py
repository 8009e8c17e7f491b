"""Mixes of classes: weights of rows, and accuracy in another mix than that of the data."""

from __future__ import annotations

import numpy as np


def class_shares(labels: np.ndarray, num: int) -> np.ndarray:
    """Frequency of each label, float64 (num,); a label without faces counts as half a face."""
    counts = np.maximum(np.bincount(labels, minlength=num), 0.5)
    return np.asarray(counts / counts.sum())


def row_weights(labels: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Weights of rows, float64 (n,), that give the classes these `shares`; the sum is 1."""
    weights = (shares / np.maximum(np.bincount(labels, minlength=len(shares)), 1))[labels]
    return np.asarray(weights / weights.sum())


def class_counts(labels: np.ndarray, right: np.ndarray, num: int) -> np.ndarray:
    """Right rows and all rows of each class, int (2, num), for `weighted_recall`.

    Args:
        labels: int (n,).
        right: Whether the prediction is right, bool (n,).
        num: Number of classes.
    """
    return np.stack([np.bincount(rows, minlength=num) for rows in (labels[right], labels)])


def weighted_recall(hits: np.ndarray, counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of the recall of the classes that occur: the accuracy in that mix of classes.

    Args:
        hits, counts: Right rows and all rows of each class, (..., K).
        weights: Weights of the classes, (K,), 0 or more, on any scale. Those of absent classes are
            shared by the others.

    Returns:
        float64 (...); NaN where no class with a weight occurs.
    """
    present = np.where(counts > 0, weights, 0.0)
    total = present.sum(-1)
    mean = (hits / np.maximum(counts, 1) * present).sum(-1) / np.where(total > 0, total, 1)
    return np.asarray(np.where(total > 0, mean, np.nan))
