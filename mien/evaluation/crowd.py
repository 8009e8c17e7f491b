"""The FER+ crowd as a third opinion where a network and a label differ.

Ten people voted on each picture (Barsoum et al. 2016, https://arxiv.org/abs/1608.01041); votes are uint8 (n, 10) in
the order of `labels.FERPLUS_VOTES`, matched to the label set by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.labels import FERPLUS_VOTES, LabelSet


def plurality(votes: np.ndarray) -> np.ndarray:
    """uint8 (n, 10) -> int (n,): position in FERPLUS_VOTES of the single most voted, -1 for a tie or no votes."""
    top = votes.max(1, keepdims=True)
    single = ((votes == top).sum(1) == 1) & (top[:, 0] > 0)
    return np.where(single, votes.argmax(1), -1)


def siding(votes: np.ndarray, labels: np.ndarray, predicted: np.ndarray, label_set: LabelSet) -> dict[str, Any]:
    """With whom the FER+ crowd sides where network and label differ; shares are of these errors."""
    known = np.array([label_set.index(name) if name in label_set else -2 for name in FERPLUS_VOTES])
    winner = plurality(votes)
    choice = np.where(winner >= 0, known[winner], -1)  # -1 undecided, -2 an answer this label set lacks
    wrong = predicted != labels
    errors = int(wrong.sum())
    decided = choice != -1

    def share(rows: np.ndarray) -> dict[str, Any]:
        n = int(np.sum(wrong & rows))
        return {"n": n, "share": n / errors if errors else None}

    return {
        "errors": errors,
        "with_prediction": share(choice == predicted),
        "with_label": share(choice == labels),
        "neither": share(decided & (choice != predicted) & (choice != labels)),
        "undecided": share(~decided),
        "decided": int(decided.sum()),
        "label_is_plurality": float(np.mean((choice == labels)[decided])) if decided.any() else None,
        "prediction_is_plurality": float(np.mean((choice == predicted)[decided])) if decided.any() else None,
    }


def ballot(votes: np.ndarray) -> dict[str, int]:
    """The votes that one picture got, uint8 (10,), by name and most voted first."""
    order = np.argsort(-votes.astype(int), kind="stable")
    return {FERPLUS_VOTES[j]: int(votes[j]) for j in order if votes[j]}
