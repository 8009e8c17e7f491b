"""Fit the temperatures of a bundle and measure its scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mien.bundle import Bundle
from mien.bundle.answer import TEMPERATURE, TRAINING, logs, pool, softmax
from mien.bundle.classifier import Classifier
from mien.data.dataset import Dataset
from mien.data.votes import majority, vote_shares
from mien.labels import FERPLUS
from mien.training.calibration import cross_fitted, fit_temperature, nll

# Labels int (n,) and probabilities float32 (n, K) -> scores by name.
Measure = Callable[[np.ndarray, np.ndarray], Mapping[str, Any]]


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Accuracy of probabilities (n, K) on labels int (n,), and its 95 % interval (Wilson 1927)."""
    n, share, z = len(labels), float(np.mean(probabilities.argmax(1) == labels)), 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return {"accuracy": {"value": share, "low": middle - half, "high": middle + half}}


def add_scores(
    facts: dict[str, Any], bundle: Bundle, dataset: Dataset, measure: Measure, plain: Bundle | None
) -> None:
    """Add temperatures and scores to the facts of a bundle.

    Temperatures are fitted on the validation split, whose own scores come from cross-fitted
    probabilities. The test split is scored with the temperatures of the bundle; it decides nothing.

    Args:
        facts: The contents of bundle.json, changed in place.
        bundle: The bundle without temperatures and scores.
        dataset: The data, with the labels of the bundle.
        measure: Computes the scores.
        plain: The same bundle before quantisation to int8, to measure what that cost; or None.
    """
    parts = {split: dataset.part(split) for split in ("validation", "test")}
    parts = {split: part for split, part in parts.items() if len(part)}
    facts["metrics"] = {split: {"n": len(part)} for split, part in parts.items()}
    for mode, key in TEMPERATURE.items():
        with Classifier(bundle) as classify:
            logits = {
                split: classify.logits(part.images, mode=mode) for split, part in parts.items()
            }
        for split, part in parts.items():  # validation first
            probabilities = dict[str, np.ndarray]()
            for head in facts["heads"]:
                head_logits, name = logits[split][head["name"]], head["name"]
                targets = part.labels if head is facts["heads"][0] else _shares(part)
                probabilities[name], temperature = _calibrated(
                    targets, head_logits, split, head.get(key, 1.0)
                )
                head[key] = temperature
            rule = facts["answer"]["priors"][TRAINING]
            labels = {head.name: head.labels for head in bundle.heads}
            shown = pool(probabilities, labels, rule["weights"])
            if len(rule["weights"]) > 1:
                shown, rule[key] = _calibrated(part.labels, logs(shown), split, rule.get(key, 1.0))
            main = logits[split][facts["heads"][0]["name"]]
            scores = {
                **measure(part.labels, shown),
                "nll_uncalibrated": nll(part.labels, main, 1.0),
                "nll_calibrated": nll(part.labels, logs(shown), 1.0),
            }
            if len(probabilities) > 1:
                scores["heads"] = _heads(part, probabilities, measure)
            if mode == "fast":
                facts["metrics"][split] |= scores
            else:
                facts["metrics"][split][mode] = scores
    if plain is not None:
        for split, part in parts.items():
            facts["metrics"][split]["int8_cost"] = _int8_cost(part, plain, bundle)


def _calibrated(
    targets: np.ndarray, logits: np.ndarray, split: str, known: float
) -> tuple[np.ndarray, float]:
    """Calibrated probabilities (n, K) of a split, and the temperature.

    The validation split is cross-fitted, and gives the temperature; other splits use `known`.
    """
    if split != "validation":
        return softmax(logits, known), known
    return cross_fitted(targets, logits), fit_temperature(targets, logits)


def _shares(part: Dataset) -> np.ndarray:
    """Shares of the FER+ votes, float32 (n, 8); rows of zeros for faces without votes."""
    return (
        np.zeros((len(part), len(FERPLUS)), np.float32)
        if part.votes is None
        else vote_shares(part.votes)
    )


def _heads(
    part: Dataset, probabilities: Mapping[str, np.ndarray], measure: Measure
) -> dict[str, Any]:
    """Scores of each head: the main one against the labels, the vote head by FER+'s majority
    protocol.
    """
    main, votes = probabilities
    scores = {main: {"n": len(part), **measure(part.labels, probabilities[main])}}
    if part.votes is not None:
        winner = majority(part.votes)
        won = winner >= 0
        if won.any():
            scores[votes] = {"n": int(won.sum()), **measure(winner[won], probabilities[votes][won])}
    return scores


def _int8_cost(part: Dataset, plain: Bundle, bundle: Bundle) -> dict[str, Any]:
    """Accuracy of the main head before (`plain`) and after quantisation, on the same faces."""
    name = bundle.heads[0].name
    with Classifier(plain) as before, Classifier(bundle) as after:
        old, new = (classify.logits(part.images)[name].argmax(1) for classify in (before, after))
    wins = int(np.sum((old == part.labels) & (new != part.labels)))
    losses = int(np.sum((old != part.labels) & (new == part.labels)))
    return {
        "accuracy_float32": float(np.mean(old == part.labels)),
        "accuracy_lost": (wins - losses) / len(part),
        "only_float32_right": wins,
        "only_int8_right": losses,
        "answers_changed": int(np.sum(old != new)),
    }
