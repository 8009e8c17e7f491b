"""Scores of one network on one split, and comparisons between networks."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.data.dataset import Dataset
from mien.evaluation import metrics, vote_agreement

if TYPE_CHECKING:
    from mien.evaluation.evaluate import Predictions

NUM_EXAMPLES = 16  # right and wrong faces on a contact sheet
NUM_WORST = 12  # errors on a contact sheet
NUM_PAIRS = 8  # most confused pairs of labels


def judge(
    part: Dataset,
    places: np.ndarray,
    twin: np.ndarray,
    probabilities: np.ndarray,
    num_bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """All scores and examples of one network on one split.

    Args:
        part: The n > 0 labelled rows of the split.
        places: Their positions in the whole dataset, int (n,).
        twin: Whether the same pixels occur in training, bool (n,).
        probabilities: float (n, K).
        num_bootstrap: Resamples for the intervals; 0 leaves them out.
        seed: Seed of the resamples and of the examples.
    """
    labels, names = part.labels, part.label_set.names
    num_classes = len(names)
    predicted = probabilities.argmax(1)
    wrong = predicted != labels
    scores, f1 = metrics.estimates(labels, probabilities, num_bootstrap=num_bootstrap, seed=seed)
    scores_without_twins = scores
    if twin.any():
        scores_without_twins, _ = metrics.estimates(
            labels[~twin], probabilities[~twin], num_bootstrap=num_bootstrap, seed=seed
        )
    bins = metrics.reliability(labels, probabilities)
    matrix = metrics.confusion(labels, predicted, num_classes)
    by_class = metrics.per_class(labels, predicted, num_classes)
    most = int(np.bincount(labels, minlength=num_classes).argmax())
    return {
        "n": len(labels),
        **scores,
        "ece": metrics.calibration_error(bins),
        "confidence": float(probabilities.max(1).astype(np.float64).mean()),
        "reliability": bins,
        "baseline": {"label": names[most], "accuracy": float(np.mean(labels == most))},
        "per_class": [{"label": names[k], **by_class[k], "f1": f1[k]} for k in range(num_classes)],
        "confusion": matrix.tolist(),
        "confused_pairs": _confused_pairs(matrix, names),
        "twins": {
            "n": int(twin.sum()),
            "accuracy_of_twins": float(np.mean(~wrong[twin])) if twin.any() else None,
            "n_without": int((~twin).sum()),
            "accuracy_without": scores_without_twins["accuracy"],
        },
        "ferplus": None,
        "vote_agreement": None
        if part.votes is None
        else vote_agreement.siding(part.votes, labels, predicted, part.label_set),
        **_examples(part, places, probabilities, seed),
        "predictions_sha256": hashlib.sha256(
            np.ascontiguousarray(probabilities, "<f4").tobytes()
        ).hexdigest()[:16],
    }


def _examples(
    part: Dataset, places: np.ndarray, probabilities: np.ndarray, seed: int
) -> dict[str, Any]:
    """Example faces: the worst errors, errors where the annotators agree with the network, and a
    selection of right and wrong predictions.
    """
    labels, names = part.labels, part.label_set.names
    predicted = probabilities.argmax(1)
    wrong = predicted != labels
    losses = metrics.row_losses(labels, probabilities)

    def show(rows: np.ndarray) -> list[dict[str, Any]]:
        return [
            {
                "index": int(places[i]),
                "row": int(part.rows[i]),
                "label": names[labels[i]],
                "predicted": names[predicted[i]],
                "loss": float(losses[i]),
                "probabilities": [float(p) for p in probabilities[i]],
                "votes": None if part.votes is None else vote_agreement.ballot(part.votes[i]),
            }
            for i in rows
        ]

    own = probabilities[np.arange(len(labels)), labels]
    worst = np.flatnonzero(wrong)
    worst = worst[np.argsort(own[worst], kind="stable")][:NUM_WORST]
    doubtful = None
    if part.votes is not None:
        agreeing = vote_agreement.sides_with_network(part.votes, labels, predicted, part.label_set)
        rows = np.flatnonzero(agreeing)
        doubtful = show(rows[np.argsort(-probabilities.max(1)[rows], kind="stable")][:NUM_WORST])
    return {
        "worst": show(worst),
        "doubtful": doubtful,
        "correct": show(_spread(labels, ~wrong, seed)),
        "wrong": show(_spread(labels, wrong, seed)),
    }


def _confused_pairs(matrix: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """The largest off-diagonal cells of the confusion matrix; shares are of the label's rows."""
    off = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-off, axis=None, kind="stable")[:NUM_PAIRS]
    rows, columns = np.unravel_index(order, off.shape)
    return [
        {
            "label": names[i],
            "predicted": names[j],
            "n": int(off[i, j]),
            "of": int(matrix[i].sum()),
            "share": float(off[i, j] / matrix[i].sum()),
        }
        for i, j in zip(rows, columns, strict=True)
        if off[i, j]
    ]


def _spread(labels: np.ndarray, eligible: np.ndarray, seed: int) -> np.ndarray:
    """Up to NUM_EXAMPLES eligible rows at random, spread evenly over the classes."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(eligible))
    rank = np.zeros(len(rows), int)  # number of the row within its class
    for label in np.unique(labels[rows]):
        same = labels[rows] == label
        rank[same] = np.arange(same.sum())
    return np.asarray(rows[np.lexsort((labels[rows], rank))][:NUM_EXAMPLES])


def comparisons(
    parts: Mapping[str, Dataset], networks: Sequence[Predictions], num_bootstrap: int, seed: int
) -> list[dict[str, Any]]:
    """McNemar's test and the paired loss of each pair of networks on validation and test."""
    tests = []
    for split in ("validation", "test"):
        labels = parts[split].labels
        probabilities = {
            n.name: np.asarray(n.probabilities[split])
            for n in networks
            if len(labels) and split in n.probabilities
        }
        right = {name: p.argmax(1) == labels for name, p in probabilities.items()}
        losses = {name: metrics.row_losses(labels, p) for name, p in probabilities.items()}
        for first, second in itertools.combinations(probabilities, 2):
            loss = metrics.paired_loss(
                losses[first], losses[second], num_bootstrap=num_bootstrap, seed=seed
            )
            pair = {"split": split, "first": first, "second": second}
            tests.append(
                {**pair, **metrics.mcnemar(right[first], right[second]), "loss_difference": loss}
            )
    return tests


def best(judged: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The name of the best network, or None, and the rule by which it was chosen."""
    with_validation = [n for n in judged if n["splits"]["validation"]]
    if not with_validation:
        return {
            "name": None,
            "rule": "None was chosen: choosing needs validation predictions, and there are none.",
        }
    best = min(
        with_validation,
        key=lambda n: (
            -n["splits"]["validation"]["accuracy"]["value"],
            n["splits"]["validation"]["loss"]["value"],
        ),
    )
    return {
        "name": best["name"],
        "rule": "The highest accuracy on the validation split; the lower loss among equals.",
    }
