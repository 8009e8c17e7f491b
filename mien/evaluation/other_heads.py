"""Faces of labels that only a further head of a network knows, judged by that head.

CK+ has contempt, which the answer that is shown never is. Those faces are left out of the main
judgement; the head that knows them is judged here on all faces whose labels it knows.
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

Ask = Callable[[np.ndarray], dict[str, np.ndarray]]  # faces -> head -> probabilities


def with_other_heads(
    evaluation: Evaluation, whole: Dataset, networks: Sequence[tuple[Learned, Ask]]
) -> Evaluation:
    """The evaluation with what further heads make of labels that main heads lack; as it is where
    none are lacking.

    Args:
        evaluation: Of the labels that all networks know.
        whole: The rows before those of other labels were left out.
        networks: What is known of each, and how it is asked, each face looked at once.
    """
    split = evaluation.truth["yardstick"]
    part = whole.part(split)
    made, missing = evaluation.truth["made"], lacking(whole, [one for one, _ in networks])
    judged = [
        _judged(part, one, head, ask, made)
        for one, ask in networks
        for head, labels in one.heads.items()
        if set(missing) & set(labels.names) & {part.label_set[k] for k in part.labels}
    ]
    if not judged:
        return evaluation
    told = [_sentence(one, split) for one in judged]
    return evaluation.with_findings("other_heads", judged, told)


def _judged(
    part: Dataset, network: Learned, head: str, ask: Ask, made: dict[str, Any]
) -> dict[str, Any]:
    labels = network.heads[head]
    known = np.array([name in labels.names for name in part.label_set])[part.labels]
    part = part.take(known)
    answers = np.asarray(ask(part.images)[head])
    truth = part.with_labels(labels).labels
    scores, _ = metrics.estimates(
        truth, answers, num_bootstrap=made["num_bootstrap"], seed=made["seed"]
    )
    recall = {}
    for name in (name for name in labels.names if name not in network.labels.names):
        rows = truth == labels.index(name)
        if rows.any():
            right = int(np.sum(answers[rows].argmax(1) == labels.index(name)))
            recall[name] = {"n": int(rows.sum()), "right": right}
    return {
        "name": network.name,
        "head": head,
        "labels": list(labels.names),
        "n": len(part),
        "accuracy": scores["accuracy"],
        "recall_of_lacking": recall,
    }


def _sentence(one: dict[str, Any], split: str) -> str:
    bounds = interval(one["accuracy"], dash="-")
    parts = [
        f"{of['right']:,} of {of['n']:,} of {name}" for name, of in one["recall_of_lacking"].items()
    ]
    return (
        f"{one['name']}, head {one['head']} (knows {listed(list(one['recall_of_lacking']))} too, "
        f"looked at once): right on {percent(one['accuracy']['value'])}"
        + (f" ({bounds})" if bounds else "")
        + f" of all {one['n']:,} {split} faces with labels it knows, among them on {listed(parts)}."
    )
