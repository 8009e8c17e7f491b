"""Accuracy for another mix of classes than that of the data, such as that of everyday photographs.

A collection with equal shares of each expression says little about photographs of which half are
neutral. Weighted accuracy is the accuracy that a network would have with its recall of each class
if the classes came in the given shares.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mien.data.class_mix import class_counts, weighted_recall
from mien.data.dataset import SPLITS
from mien.errors import UsageError, meant
from mien.evaluation import metrics
from mien.evaluation.evaluate import Evaluation
from mien.evaluation.phrasing import interval, percent
from mien.labels import canonical

# Labelled faces by class in muxspace/facial_expressions: 12,753 press photographs and film stills,
# without those of one annotator, with whom no other agrees.
NATURAL = {
    "neutral": 6713.0,
    "happy": 5306.0,
    "surprise": 356.0,
    "angry": 228.0,
    "sad": 124.0,
    "disgust": 13.0,
    "fear": 13.0,
}


@dataclasses.dataclass(frozen=True)
class ClassWeights:
    """A mix of classes: its name, and label -> a positive number on any scale."""

    name: str
    by_label: Mapping[str, float]


def parse_weights(text: str) -> ClassWeights:
    """Parse `natural`, `balanced`, or pairs such as `neutral=5,happy=4`; other labels weigh 0.

    Raises:
        UsageError: if the text is anything else.
    """
    plain = text.strip().lower()
    if plain == "natural":
        return ClassWeights("natural", NATURAL)
    if plain == "balanced":
        return ClassWeights("balanced", {})
    by_label = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        label, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not (equals and label and math.isfinite(weight) and weight >= 0):
            raise UsageError(
                f"weights: got {part[:60]!r}; expected natural, balanced, or LABEL=NUMBER with 0 "
                "or more. Fix: "
                + meant(part, ("natural", "balanced"), "write weights such as neutral=5,happy=4")
            )
        by_label[canonical(label)] = weight
    if not any(by_label.values()):
        raise UsageError(
            f"weights: got {text!r}; expected at least one weight above 0. Fix: write weights such "
            "as neutral=5,happy=4"
        )
    return ClassWeights("own", by_label)


def weighted_accuracy(
    labels: np.ndarray,
    predicted: np.ndarray,
    weights: np.ndarray,
    *,
    num_bootstrap: int = 1000,
    seed: int = 0,
) -> metrics.Estimate:
    """Weighted mean recall of the classes that occur, with its 95 % percentile bootstrap interval.

    Args:
        labels, predicted: int (n,).
        weights: Weights of the classes, float (K,), 0 or more, on any scale.
        num_bootstrap: Resamples for the interval; 0 leaves it out.
        seed: Seed of the resamples.
    """
    truth = np.eye(len(weights))[labels].reshape(-1, len(weights))
    hits, counts = class_counts(labels, predicted == labels, len(weights))
    value = weighted_recall(hits, counts, weights)
    low = high = np.asarray(np.nan)
    if num_bootstrap and len(labels) and not np.isnan(value):
        columns = np.concatenate([truth * (predicted == labels)[:, None], truth], axis=1)
        sums = metrics.resampled_sums(columns, num_bootstrap, seed)
        # A resample may miss a rare class.
        hits, counts = np.split(sums, 2, axis=-1)
        again = weighted_recall(hits, counts, weights)
        low, high = np.nanpercentile(again, (2.5, 97.5))
    return metrics.as_estimate(value, low, high)


def weigh(evaluation: Evaluation, weights: ClassWeights) -> Evaluation:
    """Add `weighted_accuracy` for each network and split, and sentences about it.

    Raises:
        UsageError: if the data has none of the weighted labels.
    """
    truth, dataset = copy.deepcopy(evaluation.truth), evaluation.dataset
    names = dataset.label_set.names
    shares = weights.by_label or dict.fromkeys(names, 1.0)
    vector = np.array([shares.get(name, 0.0) for name in names])
    made = truth["made"]
    if not vector.any():
        raise UsageError(
            f"weights: got weights of {', '.join(shares)}; expected labels of the data. Fix: use "
            f"some of {', '.join(names)}"
        )
    sentences = []
    for network, judged in zip(evaluation.networks, truth["networks"], strict=True):
        for split in SPLITS:
            scores = judged["splits"][split]
            if not scores:
                continue
            labels = dataset.part(split).labels
            predicted = np.asarray(network.probabilities[split]).argmax(1)
            scores["weighted_accuracy"] = weighted_accuracy(
                labels,
                predicted,
                vector,
                num_bootstrap=made["num_bootstrap"],
                seed=made["seed"],
            )
            if split == truth["yardstick"]:
                sentences.append(_sentence(network.name, weights, vector, split, scores, labels))
    present = np.bincount(dataset.part(truth["yardstick"]).labels, minlength=len(names)) > 0
    truth["weights"] = {
        "name": weights.name,
        "by_label": dict(shares),
        "covered": float(sum(vector[present]) / sum(shares.values())),
    }
    missing = [name for name in shares if shares[name] and not _occurs(name, names, present)]
    if missing:
        sentences.append(
            f"Of the weighted labels the data lacks {', '.join(missing)}: the others weigh all."
        )
    truth["words"]["weighted"] = sentences
    truth["words"]["verdict"] = [*truth["words"]["verdict"], *sentences]
    return dataclasses.replace(evaluation, truth=truth)


def _occurs(name: str, names: tuple[str, ...], present: np.ndarray) -> bool:
    return name in names and bool(present[names.index(name)])


def _sentence(
    network: str,
    weights: ClassWeights,
    vector: np.ndarray,
    split: str,
    scores: Mapping[str, Any],
    labels: np.ndarray,
) -> str:
    estimate = scores["weighted_accuracy"]
    bounds = interval(estimate, dash="-")
    rarest = int(min(np.bincount(labels, minlength=len(vector))[vector > 0], default=0))
    mix = {"natural": "the natural mix", "balanced": "equal shares of all classes"}
    return (
        f"{network}: weighted to {mix.get(weights.name, 'the given shares')} it is right on "
        f"{percent(estimate['value'])}" + (f" ({bounds})" if bounds else "") + f" of {split} faces "
        f"(n = {len(labels):,}, {rarest} of the rarest weighted class)."
    )
