"""Every score of one network on one split, and of networks against each other."""

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

NUM_EXAMPLES = 16  # faces on a contact sheet
NUM_WORST = 12
NUM_PAIRS = 8  # most confused pairs


def judge(
    part: Dataset,
    places: np.ndarray,
    twin: np.ndarray,
    probabilities: np.ndarray,
    num_bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """Everything about one network on one split of n > 0 labelled rows."""
    labels, names = part.labels, part.label_set.names
    num_classes = len(names)
    predicted = probabilities.argmax(1)
    wrong = predicted != labels
    scores, f1 = metrics.estimates(labels, probabilities, num_bootstrap=num_bootstrap, seed=seed)
    without = scores
    if twin.any():
        without, _ = metrics.estimates(
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
            "accuracy_without": without["accuracy"],
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
    """The worst errors, those where the annotators side with the network, and a spread of right
    and wrong ones.
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
        sided = vote_agreement.sides_with_network(part.votes, labels, predicted, part.label_set)
        rows = np.flatnonzero(sided)
        doubtful = show(rows[np.argsort(-probabilities.max(1)[rows], kind="stable")][:NUM_WORST])
    return {
        "worst": show(worst),
        "doubtful": doubtful,
        "correct": show(_spread(labels, ~wrong, seed)),
        "wrong": show(_spread(labels, wrong, seed)),
    }


def _confused_pairs(matrix: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """The largest off-diagonal cells; share is of the true label's rows."""
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
    """Up to NUM_EXAMPLES eligible rows at random: one of each class before a second of any."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(eligible))
    turn = np.zeros(len(rows), int)  # how many of the same class were drawn before
    for label in np.unique(labels[rows]):
        same = labels[rows] == label
        turn[same] = np.arange(same.sum())
    return np.asarray(rows[np.lexsort((labels[rows], turn))][:NUM_EXAMPLES])


def comparisons(
    parts: Mapping[str, Dataset], networks: Sequence[Predictions], num_bootstrap: int, seed: int
) -> list[dict[str, Any]]:
    """McNemar's test and the paired loss for each pair on each evaluation split that both
    predicted.
    """
    tests = []
    for split in ("validation", "test"):
        labels = parts[split].labels
        answers = {
            n.name: np.asarray(n.probabilities[split])
            for n in networks
            if len(labels) and split in n.probabilities
        }
        right = {name: answer.argmax(1) == labels for name, answer in answers.items()}
        losses = {name: metrics.row_losses(labels, answer) for name, answer in answers.items()}
        for first, second in itertools.combinations(answers, 2):
            loss = metrics.paired_loss(
                losses[first], losses[second], num_bootstrap=num_bootstrap, seed=seed
            )
            pair = {"split": split, "first": first, "second": second}
            tests.append(
                {**pair, **metrics.mcnemar(right[first], right[second]), "loss_difference": loss}
            )
    return tests


def best(judged: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
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
