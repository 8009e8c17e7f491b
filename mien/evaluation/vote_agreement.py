"""Compare predictions and labels with the votes of FER+'s annotators.

Ten people voted on each picture (Barsoum et al. 2016, https://arxiv.org/abs/1608.01041). Votes are
uint8 (n, 10) in the order of `labels.FERPLUS_VOTES`, matched to the label set by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.data.votes import majority, plurality
from mien.evaluation import metrics
from mien.labels import FERPLUS_VOTES, LabelSet


def siding(
    votes: np.ndarray, labels: np.ndarray, predicted: np.ndarray, label_set: LabelSet
) -> dict[str, Any]:
    """Whether the annotators agree with the prediction or the label, for faces where these differ.

    The choice of the annotators is `mien.data.votes.plurality`; ties, and faces without votes for a
    label of the set, are undecided. The agreement over all faces counts the first label of a tie as
    the choice, as the audit does.

    Args:
        votes: uint8 (n, 10).
        labels, predicted: int (n,).
        label_set: The labels.

    Returns:
        `errors`, the number of differing faces; `with_prediction`, `with_label`, `neither` and
        `undecided`, each `n` and `share` of the errors; over all faces `counted`, those with a
        choice, and `label_is_choice` and `prediction_is_choice`, shares of these.
    """
    _, choice, tied = plurality(votes, label_set)
    wrong = predicted != labels
    errors = int(wrong.sum())
    counted = choice >= 0
    decided = counted & ~tied

    def share(rows: np.ndarray) -> dict[str, Any]:
        n = int(np.sum(wrong & rows))
        return {"n": n, "share": n / errors if errors else None}

    return {
        "errors": errors,
        "with_prediction": share(decided & (choice == predicted)),
        "with_label": share(decided & (choice == labels)),
        "neither": share(decided & (choice != predicted) & (choice != labels)),
        "undecided": share(~decided),
        "counted": int(counted.sum()),
        "label_is_choice": float(np.mean((choice == labels)[counted])) if counted.any() else None,
        "prediction_is_choice": float(np.mean((choice == predicted)[counted]))
        if counted.any()
        else None,
    }


def by_majority(
    votes: np.ndarray, probabilities: np.ndarray, *, num_bootstrap: int, seed: int
) -> dict[str, Any] | None:
    """Scores of a vote head by FER+'s majority protocol (`mien.data.votes.majority`).

    Args:
        votes: uint8 (n, 10).
        probabilities: float (n, 8), in the order of `labels.FERPLUS`.
        num_bootstrap: Resamples for the intervals; 0 leaves them out.
        seed: Seed of the resamples.

    Returns:
        `n`, the faces with a majority, and the scores on these; None if there are none.
    """
    winner = majority(votes)
    rows = winner >= 0
    if not rows.any():
        return None
    labels, predicted = winner[rows], probabilities[rows]
    scores, _ = metrics.estimates(labels, predicted, num_bootstrap=num_bootstrap, seed=seed)
    return {
        "n": int(rows.sum()),
        **scores,
        "ece": metrics.calibration_error(metrics.reliability(labels, predicted)),
    }


def sides_with_network(
    votes: np.ndarray, labels: np.ndarray, predicted: np.ndarray, label_set: LabelSet
) -> np.ndarray:
    """The errors where the annotators chose the prediction, without a tie, bool (n,)."""
    _, choice, tied = plurality(votes, label_set)
    return np.asarray((predicted != labels) & ~tied & (choice == predicted))


def ballot(votes: np.ndarray) -> dict[str, int]:
    """The votes on one picture, uint8 (10,), by name, the most frequent first."""
    order = np.argsort(-votes.astype(int), kind="stable")
    return {FERPLUS_VOTES[j]: int(votes[j]) for j in order if votes[j]}
