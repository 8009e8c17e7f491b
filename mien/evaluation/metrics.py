"""Figures of merit for probabilities over K classes, with bootstrap intervals.

Shapes everywhere: labels int (n,) in 0..K-1, probabilities float (n, K), rows summing to 1.
Where n = 0 a rate has no value: None, never 0.

Every score here is a function of sums over rows, so one matrix product gives the sums of
every bootstrap resample, and one function turns sums into scores for the data and the resamples
alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.errors import UsageError

CLIP = 1e-7  # Keras' epsilon: a certain and wrong answer costs 16.1 nats, not infinity
NUM_BINS = (
    15  # equal-width bins of confidence, as in Guo et al. 2017 (https://arxiv.org/abs/1706.04599)
)
SCORES = ("accuracy", "loss", "macro_f1", "balanced_accuracy", "top2_accuracy", "brier")
EXACT_BELOW = (
    25  # discordant pairs; fewer than this and McNemar's chi-square is a poor approximation
)

Estimate = dict[str, float | None]  # value, low, high; low and high bound the 95 % interval


def row_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """float64 (n,): cross-entropy in nats, -ln of the probability given to the true label, clipped
    at `CLIP`.

    Its mean is the negative log-likelihood (NLL) and what Keras calls categorical cross-entropy.
    """
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return np.asarray(-np.log(np.clip(own, CLIP, 1.0)))


def confusion(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """int64 (K, K): rows are the true label, columns the predicted one (scikit-learn's)."""
    from sklearn.metrics import confusion_matrix

    if len(labels) == 0:
        return np.zeros((num_classes, num_classes), np.int64)
    return np.asarray(confusion_matrix(labels, predicted, labels=np.arange(num_classes)), np.int64)


def per_class(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> list[dict[str, Any]]:
    """For each class n, predicted, precision, recall, f1 (scikit-learn's).

    Precision is None for a class never predicted; recall and F1 are None for a class that does not
    occur.
    """
    from sklearn.metrics import precision_recall_fscore_support

    support = np.bincount(labels, minlength=num_classes)
    answers = np.bincount(predicted, minlength=num_classes)
    if len(labels) == 0:
        precision = recall = f1 = np.zeros(num_classes)
    else:
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels, predicted, labels=np.arange(num_classes), zero_division=0.0
        )
    return [
        {
            "n": int(support[k]),
            "predicted": int(answers[k]),
            "precision": float(precision[k]) if answers[k] else None,
            "recall": float(recall[k]) if support[k] else None,
            "f1": float(f1[k]) if support[k] else None,
        }
        for k in range(num_classes)
    ]


def _columns(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """float64 (n, 3 + 3 K): loss, Brier, top-2 hit, then true positive, predicted and true, one-hot
    by class.
    """
    n, num_classes = probabilities.shape
    eye = np.eye(num_classes)
    truth = eye[labels]
    answer = eye[probabilities.argmax(1)] if n else np.zeros((0, num_classes))
    brier = ((probabilities - truth) ** 2).sum(1)
    # Stable, so that equal probabilities rank as they do for argmax: the first class wins.
    top2 = (np.argsort(-probabilities, axis=1, kind="stable")[:, :2] == labels[:, None]).any(1)
    return np.column_stack(
        [row_losses(labels, probabilities), brier, top2, truth * answer, answer, truth]
    )


def _scores(sums: np.ndarray, n: int, occurs: np.ndarray) -> dict[str, np.ndarray]:
    """Sums over rows (..., 3 + 3 K) -> each score (...), and F1 by class (..., K) with NaN for an
    absent class.

    Averages over classes run over the classes whose labels occur (`occurs`, bool (K,)) in these
    rows.
    """
    hits, answers, truth = np.split(sums[..., 3:], 3, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(truth > 0, hits / truth, np.nan)
        f1 = np.where(truth > 0, 2 * hits / (truth + answers), np.nan)
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
    """float64 (num_bootstrap, C): column sums over rows drawn with replacement.

    The same seed and number of rows give the same draws, so that two networks are resampled alike.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # comes with scikit-learn

    n = len(columns)
    generator = np.random.default_rng(seed)
    sums = np.empty((num_bootstrap, columns.shape[1]))
    step = max(1, 400_000 // n)  # a block of counts that stays in the processor's cache
    # One BLAS thread: products this thin gain nothing from more, and on a busy machine OpenBLAS'
    # threads waiting for each other made them 600 times slower (measured beside a training).
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
    """The scores of `SCORES` by name, and F1 by class, each with its 95 % percentile bootstrap
    interval.

    Definitions: macro-F1 and balanced accuracy average over the classes that occur; Brier is the
    sum of squared differences over all classes (Brier 1950: 0 to 2); top-2 counts a row whose label
    is among the two likeliest. With `num_bootstrap` 0 the bounds are None. Where all resamples are
    equal, as with no error at all, an interval without width would read as certainty: shares of
    rows then get the exact binomial interval, and the other scores none.
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
        # A resample may miss a rare class, and then says nothing about its F1.
        seen = ~np.isnan(again["f1"]).all(0)
        bounds["f1"][:, seen] = np.nanpercentile(again["f1"][:, seen], (2.5, 97.5), axis=0)
    scores = {name: as_estimate(values[name], *bounds[name]) for name in SCORES}
    if num_bootstrap:
        for name in ("accuracy", "top2_accuracy"):
            scores[name] = _exact_where_equal(scores[name], n)
    by_class = [as_estimate(values["f1"][k], *bounds["f1"][:, k]) for k in range(num_classes)]
    return scores, by_class


def _exact_where_equal(estimate: Estimate, n: int) -> Estimate:
    """A share of rows whose resamples are all equal (all right, or none) with the exact binomial
    interval (Clopper and Pearson 1934).
    """
    if estimate["low"] is not None or estimate["value"] is None:
        return estimate
    from scipy import stats

    bounds = stats.binomtest(round(estimate["value"] * n), n).proportion_ci(0.95, method="exact")
    return {"value": estimate["value"], "low": float(bounds.low), "high": float(bounds.high)}


def as_estimate(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> Estimate:
    if high - low <= 1e-9 * (1 + abs(value)):  # equal but for rounding
        low = high = np.asarray(np.nan)
    return {
        key: None if np.isnan(x) else float(x)
        for key, x in (("value", value), ("low", low), ("high", high))
    }


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, num_bins: int = NUM_BINS
) -> list[dict[str, Any]]:
    """Bins of equal width over the confidence (the highest probability): low, high, n, confidence,
    accuracy.

    Bin i holds low < confidence <= high. An empty bin has None for its means.
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
    """Expected calibration error: mean over rows of |accuracy - confidence| of the row's bin; 0 is
    perfect.
    """
    n = sum(b["n"] for b in bins)
    if n == 0:
        return None
    return float(sum(b["n"] * abs(b["accuracy"] - b["confidence"]) for b in bins if b["n"]) / n)


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> dict[str, Any]:
    """Paired test whether two networks err equally often on the same rows (McNemar 1947).

    Args:
        first_right, second_right: bool (n,), where each network is right.

    Returns:
        both, only_first, only_second, neither: counts; difference: accuracy of the first minus the
            second (None
        where n = 0); method; p_value. Exact binomial below `EXACT_BELOW` discordant rows, else
        chi-square with continuity correction.
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
    """Mean loss of the first network minus the second's on the same rows; the interval redraws
    rows, not networks.

    Two networks err on much the same faces, so this is known far better than either loss by itself,
    and it moves where counts of right answers do not yet.

    Args:
        first, second: float (n,), `row_losses` of each.
        num_bootstrap: Resamples for the interval; 0 leaves it out.
        seed: Of the resamples.
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
