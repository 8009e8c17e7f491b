"""Scores of additional heads on labels that the main head lacks.

CK+, for example, has contempt, which the main head never predicts. The main evaluation leaves those
faces out. Here a head that has the label is scored on all faces whose labels it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mien.data.dataset import Dataset
from mien.evaluation import metrics
from mien.evaluation.evaluate import Evaluation
from mien.evaluation.judged_data import Learned, lacking
from mien.evaluation.phrasing import interval, listed, percent

Heads = Callable[[np.ndarray], dict[str, np.ndarray]]  # faces -> head -> probabilities


def with_other_heads(
    evaluation: Evaluation, whole: Dataset, networks: Sequence[tuple[Learned, Heads]]
) -> Evaluation:
    """Add the scores of additional heads to an evaluation, if main heads lack labels of the data.

    Args:
        evaluation: The evaluation on the labels that all networks have.
        whole: The data before rows of other labels were left out.
        networks: For each network its labels, and a function that predicts with all its heads.
    """
    split = evaluation.truth["yardstick"]
    part = whole.part(split)
    made, missing = evaluation.truth["made"], lacking(whole, [learned for learned, _ in networks])
    judged = [
        _judged(part, learned, head, predict, made)
        for learned, predict in networks
        for head, labels in learned.heads.items()
        if set(missing) & set(labels.names) & {part.label_set[k] for k in part.labels}
    ]
    if not judged:
        return evaluation
    return evaluation.with_findings("other_heads", judged, [_sentence(s, split) for s in judged])


def _judged(
    part: Dataset, network: Learned, head: str, predict: Heads, made: dict[str, Any]
) -> dict[str, Any]:
    """Scores of one head on the rows whose labels it has."""
    labels = network.heads[head]
    known = np.array([name in labels.names for name in part.label_set])[part.labels]
    part = part.take(known)
    probabilities = np.asarray(predict(part.images)[head])
    truth = part.with_labels(labels).labels
    scores, _ = metrics.estimates(
        truth, probabilities, num_bootstrap=made["num_bootstrap"], seed=made["seed"]
    )
    recall = {}
    for name in (name for name in labels.names if name not in network.labels.names):
        rows = truth == labels.index(name)
        if rows.any():
            right = int(np.sum(probabilities[rows].argmax(1) == labels.index(name)))
            recall[name] = {"n": int(rows.sum()), "right": right}
    return {
        "name": network.name,
        "head": head,
        "labels": list(labels.names),
        "n": len(part),
        "accuracy": scores["accuracy"],
        "recall_of_lacking": recall,
    }


def _sentence(scores: dict[str, Any], split: str) -> str:
    bounds = interval(scores["accuracy"], dash="-")
    recall = scores["recall_of_lacking"]
    parts = [f"{of['right']:,} of {of['n']:,} of {name}" for name, of in recall.items()]
    return (
        f"{scores['name']}, head {scores['head']} (knows {listed(list(recall))} too, "
        f"looked at once): right on {percent(scores['accuracy']['value'])}"
        + (f" ({bounds})" if bounds else "")
        + f" of all {scores['n']:,} {split} faces with labels it knows, among them on "
        f"{listed(parts)}."
    )
