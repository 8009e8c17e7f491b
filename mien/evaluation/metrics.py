"""Scores of predicted probabilities over K classes, with bootstrap intervals.

Shapes: labels int (n,), 0 to K-1; probabilities float (n, K), rows sum to 1. With n = 0 a rate is
None, never 0.

Every score is a function of sums over rows. One matrix product computes these sums for all
bootstrap resamples, and the same function turns the sums of the data and of the resamples into
scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.errors import UsageError

CLIP = 1e-7  # Keras' epsilon: a wrong prediction of 100 % costs 16.1 nats, not infinity
# Equal-width bins of confidence, as in Guo et al. 2017 (https://arxiv.org/abs/1706.04599).
NUM_BINS = 15
SCORES = ("accuracy", "loss", "macro_f1", "balanced_accuracy", "top2_accuracy", "brier")
# With fewer discordant pairs McNemar's chi-square is a poor approximation.
EXACT_BELOW = 25

Estimate = dict[str, float | None]  # value, low, high; low and high bound the 95 % interval


def row_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Cross-entropy of each row in nats, float64 (n,): -ln of the label's probability, clipped at
    `CLIP`.

    Its mean is the negative log-likelihood (NLL), Keras' categorical cross-entropy.
    """
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return np.asarray(-np.log(np.clip(own, CLIP, 1.0)))


def confusion(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Confusion matrix, int64 (K, K): rows are true labels, columns predicted ones."""
    from sklearn.metrics import confusion_matrix

    if len(labels) == 0:
        return np.zeros((num_classes, num_classes), np.int64)
    return np.asarray(confusion_matrix(labels, predicted, labels=np.arange(num_classes)), np.int64)


def per_class(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> list[dict[str, Any]]:
    """`n`, `predicted` (counts), `precision`, `recall` and `f1` of each class, by scikit-learn.

    Precision is None for a class that is never predicted; recall and F1 are None for a class that
    does not occur.
    """
    from sklearn.metrics import precision_recall_fscore_support

    support = np.bincount(labels, minlength=num_classes)
    num_predicted = np.bincount(predicted, minlength=num_classes)
    if len(labels) == 0:
        precision = recall = f1 = np.zeros(num_classes)
    else:
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels, predicted, labels=np.arange(num_classes), zero_division=0.0
        )
    return [
        {
            "n": int(support[k]),
            "predicted": int(num_predicted[k]),
            "precision": float(precision[k]) if num_predicted[k] else None,
            "recall": float(recall[k]) if support[k] else None,
            "f1": float(f1[k]) if support[k] else None,
        }
        for k in range(num_classes)
    ]


def _columns(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Terms of the scores by row, float64 (n, 3 + 3 K): loss, Brier score, top-2 hit, then true
    positive, prediction and label, one-hot by class.
    """
    n, num_classes = probabilities.shape
    eye = np.eye(num_classes)
    truth = eye[labels]
    predicted = eye[probabilities.argmax(1)] if n else np.zeros((0, num_classes))
    brier = ((probabilities - truth) ** 2).sum(1)
    # A stable sort ranks equal probabilities as argmax does: the first class wins.
    top2 = (np.argsort(-probabilities, axis=1, kind="stable")[:, :2] == labels[:, None]).any(1)
    return np.column_stack(
        [row_losses(labels, probabilities), brier, top2, truth * predicted, predicted, truth]
    )


def _scores(sums: np.ndarray, n: int, occurs: np.ndarray) -> dict[str, np.ndarray]:
    """Turn sums of `_columns` over rows (..., 3 + 3 K) into scores.

    Means over classes include the classes that occur in the data (`occurs`, bool (K,)).

    Returns:
        Each score (...), and `f1` by class (..., K), NaN for absent classes.
    """
    hits, predicted, truth = np.split(sums[..., 3:], 3, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(truth > 0, hits / truth, np.nan)
        f1 = np.where(truth > 0, 2 * hits / (truth + predicted), np.nan)
    return {
        "accuracy": hits.sum(-1) / n,
        "loss": sums[..., 0] / n,
        "macro_f1": np.nanmean(f1[..., occurs], axis=-1),
        "balanced_accuracy": np.nanmean(recall[..., occurs], axis=-1),
        "top2_accuracy": sums[..., 2] / n,
        "brier": sums[..., 1] / n,
        "f1": f1,
    }


def resampled_sums(columns: np.ndarray, num_bootstrap: int, seed: int) -> np.ndarray:
    """Column sums over rows drawn with replacement, float64 (num_bootstrap, C).

    The same seed and number of rows give the same draws, so two networks get the same resamples.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # comes with scikit-learn

    n = len(columns)
    generator = np.random.default_rng(seed)
    sums = np.empty((num_bootstrap, columns.shape[1]))
    step = max(1, 400_000 // n)  # a block of counts that stays in the processor's cache
    # One BLAS thread: more do not help for such thin matrices, and on a busy machine OpenBLAS'
    # threads waited for each other and took 600 times as long (measured beside a training).
    with threadpool_limits(1, "blas"):
        for start in range(0, num_bootstrap, step):
            size = min(step, num_bootstrap - start)
            draws = generator.integers(0, n, (size, n)) + np.arange(size)[:, None] * n
            times = np.bincount(draws.ravel(), minlength=size * n).reshape(size, n)
            sums[start : start + size] = times.astype(np.float64) @ columns
    return sums


def estimates(
    labels: np.ndarray, probabilities: np.ndarray, *, num_bootstrap: int = 1000, seed: int = 0
) -> tuple[dict[str, Estimate], list[Estimate]]:
    """The scores of `SCORES`, and F1 by class, with 95 % percentile bootstrap intervals.

    Macro-F1 and balanced accuracy are means over the classes that occur. The Brier score is the sum
    of squared differences over all classes (Brier 1950; 0 to 2). Top-2 accuracy counts rows whose
    label is one of the two likeliest. If all resamples are equal, as without any error, an interval
    of width 0 would suggest certainty: accuracies then get the exact binomial interval, and the
    other scores none.

    Args:
        labels: int (n,).
        probabilities: float (n, K).
        num_bootstrap: Resamples; 0 leaves the bounds None.
        seed: Seed of the resamples.

    Raises:
        UsageError: if `num_bootstrap` is negative.
    """
    if num_bootstrap < 0:
        raise UsageError(
            f"num_bootstrap: got {num_bootstrap}; expected 0 or more. Fix: give 0 for no "
            "intervals, or 1000"
        )
    n, num_classes = probabilities.shape
    if n == 0:
        nothing: Estimate = {"value": None, "low": None, "high": None}
        return {name: dict(nothing) for name in SCORES}, [dict(nothing) for _ in range(num_classes)]
    columns = _columns(labels, probabilities)
    occurs = np.bincount(labels, minlength=num_classes) > 0
    values = _scores(columns.sum(0), n, occurs)
    bounds = {name: np.full((2, *np.shape(value)), np.nan) for name, value in values.items()}
    if num_bootstrap:
        again = _scores(resampled_sums(columns, num_bootstrap, seed), n, occurs)
        for name in SCORES:
            bounds[name][:] = np.percentile(again[name], (2.5, 97.5), axis=0)
        # A resample may miss a rare class, whose F1 it then leaves undefined.
        defined = ~np.isnan(again["f1"]).all(0)
        bounds["f1"][:, defined] = np.nanpercentile(again["f1"][:, defined], (2.5, 97.5), axis=0)
    scores = {name: as_estimate(values[name], *bounds[name]) for name in SCORES}
    if num_bootstrap:
        for name in ("accuracy", "top2_accuracy"):
            scores[name] = _exact_where_equal(scores[name], n)
    by_class = [as_estimate(values["f1"][k], *bounds["f1"][:, k]) for k in range(num_classes)]
    return scores, by_class


def _exact_where_equal(estimate: Estimate, n: int) -> Estimate:
    """The exact binomial interval (Clopper and Pearson 1934) for a share without an interval, whose
    resamples were all equal.
    """
    if estimate["low"] is not None or estimate["value"] is None:
        return estimate
    from scipy import stats

    bounds = stats.binomtest(round(estimate["value"] * n), n).proportion_ci(0.95, method="exact")
    return {"value": estimate["value"], "low": float(bounds.low), "high": float(bounds.high)}


def as_estimate(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> Estimate:
    """An estimate from scalars; NaN becomes None, and an interval without width is dropped."""
    if high - low <= 1e-9 * (1 + abs(value)):  # equal but for rounding
        low = high = np.asarray(np.nan)
    return {
        key: None if np.isnan(x) else float(x)
        for key, x in (("value", value), ("low", low), ("high", high))
    }


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, num_bins: int = NUM_BINS
) -> list[dict[str, Any]]:
    """Bins of equal width over the confidence, the highest probability of a row.

    Returns:
        For each bin its bounds `low` < confidence <= `high`, `n`, and the means `confidence` and
        `accuracy`, which are None if it is empty.
    """
    confidence = probabilities.max(1).astype(np.float64) if len(labels) else np.zeros(0)
    right = (probabilities.argmax(1) == labels).astype(np.float64) if len(labels) else np.zeros(0)
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, num_bins - 1)
    bins = []
    for i in range(num_bins):
        inside = place == i
        n = int(inside.sum())
        bins.append(
            {
                "low": float(edges[i]),
                "high": float(edges[i + 1]),
                "n": n,
                "confidence": float(confidence[inside].mean()) if n else None,
                "accuracy": float(right[inside].mean()) if n else None,
            }
        )
    return bins


def calibration_error(bins: list[dict[str, Any]]) -> float | None:
    """Expected calibration error (ECE), 0 to 1: the mean over rows of |accuracy - confidence| of
    their bins; None without rows.
    """
    n = sum(b["n"] for b in bins)
    if n == 0:
        return None
    return float(sum(b["n"] * abs(b["accuracy"] - b["confidence"]) for b in bins if b["n"]) / n)


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> dict[str, Any]:
    """Test whether two networks make errors equally often on the same rows (McNemar 1947).

    It is the exact binomial test below `EXACT_BELOW` discordant rows, otherwise the chi-square test
    with continuity correction.

    Args:
        first_right, second_right: bool (n,), the rows that each network predicts correctly.

    Returns:
        The counts `n`, `both`, `only_first`, `only_second` and `neither`; `difference`, the
        accuracy of the first minus that of the second; `method`; `p_value`. `difference` and
        `p_value` are None if n = 0.
    """
    from scipy import stats

    n = len(first_right)
    only_first = int(np.sum(first_right & ~second_right))
    only_second = int(np.sum(~first_right & second_right))
    discordant = only_first + only_second
    if discordant < EXACT_BELOW:
        method = "exact binomial"
        p_value = float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0
    else:
        method = "chi-square with continuity correction"
        p_value = float(
            stats.chi2.sf(max(abs(only_first - only_second) - 1, 0) ** 2 / discordant, 1)
        )
    return {
        "n": n,
        "both": int(np.sum(first_right & second_right)),
        "only_first": only_first,
        "only_second": only_second,
        "neither": int(np.sum(~first_right & ~second_right)),
        "difference": (only_first - only_second) / n if n else None,
        "method": method,
        "p_value": p_value if n else None,
    }


def paired_loss(
    first: np.ndarray, second: np.ndarray, *, num_bootstrap: int = 1000, seed: int = 0
) -> Estimate:
    """Mean loss of the first network minus that of the second on the same rows, with an interval
    from a bootstrap over rows.

    Two networks mostly fail on the same faces, so the difference is known more precisely than
    either loss. It can show a difference that counts of correct predictions do not show yet.

    Args:
        first, second: `row_losses` of each network, float (n,).
        num_bootstrap: Resamples for the interval; 0 leaves it out.
        seed: Seed of the resamples.
    """
    n = len(first)
    if n == 0:
        return {"value": None, "low": None, "high": None}
    difference = first - second
    low = high = np.asarray(np.nan)
    if num_bootstrap:
        low, high = np.percentile(
            resampled_sums(difference[:, None], num_bootstrap, seed) / n, (2.5, 97.5)
        )
    return as_estimate(np.asarray(difference.mean()), low, high)
