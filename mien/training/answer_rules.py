"""Fit the rules that turn the probabilities of two heads into one prediction, under two class
priors.

    everyday    pictures from press, film and family albums: mostly neutral and happy faces
    balanced    experiments and posed collections: each expression about equally often

The heads make different mistakes. The one trained on FER2013's labels sees anger and sadness in
faces at rest; the one trained on FER+ votes misses some of both. A rule (`mien.bundle.answer`)
mixes them. It is fitted on three kinds of faces at once: everyday photographs; clear faces, whose
FER2013 label and majority of votes agree, as in posed collections; and all faces with a majority.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.bundle import Bundle, write_bundle
from mien.bundle.answer import (
    BALANCED,
    CERTAIN_FROM,
    TEMPERATURE,
    AnswerRule,
    logs,
    pool,
    softmax,
)
from mien.bundle.classifier import Classifier
from mien.data.class_mix import class_counts, class_shares, row_weights, weighted_recall
from mien.data.dataset import Dataset
from mien.data.votes import majority
from mien.errors import UsageError
from mien.labels import FERPLUS, LabelSet
from mien.training.calibration import TEMPERATURES

EVERYDAY = "everyday"
# Weight of each kind of face in the fit of `everyday`; docs/log.md compares others.
_PHOTOGRAPHS, _CLEAR, _VOTED = 0.5, 0.25, 0.25
_RARE = 0.6  # exponent of the labels' shares in photographs: rare ones weigh more in the fit
_PULL = 1e-3  # penalty on the factors: there are only a handful of photographs of rare labels
_RIGHT = 0.96  # accuracy that certain predictions under `everyday` should reach


@dataclass(frozen=True, eq=False)
class Judged:
    """Faces that the network was not trained on, with the predictions of its heads.

    Attributes:
        heads: Mode (`fast`, `best`) -> head -> calibrated probabilities, float32 (n, K).
        labels: int64 (n,), indices into the labels of the main head.
        votes: uint8 (n, 10), FER+ votes, or None.
    """

    heads: Mapping[str, Mapping[str, np.ndarray]]
    labels: np.ndarray
    votes: np.ndarray | None = None


# Probabilities (n, K) of the main and the second head for the same labels; labels (n,); weights
# (n,) of sum 1.
_Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def fit_rules(
    labels: Mapping[str, LabelSet], faces: Judged, photographs: Judged, shares: np.ndarray
) -> dict[str, AnswerRule]:
    """Fit the rules `everyday`, the default, and `balanced`.

    Args:
        labels: Head -> its labels: the main head, then the vote head.
        faces: A validation split with votes.
        photographs: Faces from everyday photographs.
        shares: Frequency of each label of the main head in such photographs, float (K,).

    Raises:
        UsageError: if there are no votes, or the second head lacks labels of the first.
    """
    main, *others = labels
    if faces.votes is None or not others or not set(labels[main]) <= set(labels[others[0]]):
        raise UsageError(
            f"calibrate: got the heads {', '.join(labels)} and faces "
            f"with{'out' if faces.votes is None else ''} FER+ votes; expected votes, and a second "
            "head that knows the labels of the first. Fix: train with votes (--votes)"
        )
    names = labels[main]
    num = len(names)
    winner = majority(faces.votes)
    positions = np.array([names.names.index(one) if one in names else -1 for one in FERPLUS])
    voted = np.where(winner >= 0, positions[winner], -1)
    clear = voted == faces.labels
    equal = np.full(num, 1 / num)
    face_heads, photograph_heads = (_probabilities(part, labels) for part in (faces, photographs))
    clear_part = _part(face_heads, np.where(clear, faces.labels, -1), equal)
    everyday = [
        (_PHOTOGRAPHS, _part(photograph_heads, photographs.labels, shares**_RARE)),
        (_CLEAR, clear_part),
        (_VOTED, _part(face_heads, voted, class_shares(voted[voted >= 0], num))),
    ]
    balanced = [(0.5, _part(face_heads, faces.labels, equal)), (0.5, clear_part)]
    return {
        EVERYDAY: _rule(EVERYDAY, labels, everyday, photographs, shares),
        BALANCED: _rule(BALANCED, labels, balanced, faces, equal),
    }


def recalibrate(
    bundle: Bundle, out: Path, *, dataset: Dataset, photographs: Dataset
) -> tuple[Bundle, dict[str, Any]]:
    """Write a copy of a bundle with newly fitted rules `everyday` and `balanced`.

    Args:
        bundle: The bundle to copy; its network stays as it is.
        out: A folder, or a zip file if the name ends in `.zip`.
        dataset: The data that it was trained on, with FER+ votes; its validation split is used.
        photographs: Faces from everyday photographs. The rule is fitted on the validation split,
            which must show people that the network was not trained on. The other splits only count
            for the frequencies of the labels.

    Returns:
        The new bundle, and its scores on the validation splits (`measured`). Each half of the
        photographs is scored with the rule that was fitted on the other half.

    Raises:
        UsageError: if the data does not fit the bundle, or a split is empty.
        BundleError: if `out` cannot be written.
    """
    labels = {head.name: head.labels for head in bundle.heads}
    main = bundle.heads[0]
    everyday = photographs.with_labels(main.labels)
    parts = {
        "faces": dataset.with_labels(main.labels).part("validation"),
        "photographs": everyday.part("validation"),
    }
    for name, part in parts.items():
        part.must_be_labelled_as(main.labels, bundle.name)
        if not len(part):
            raise UsageError(
                f"calibrate: got no rows in {part.source} ({name}); expected a validation split of "
                "the data and of the photographs. Fix: give a folder validation/"
            )
    with Classifier(bundle) as classify:
        judged = {
            name: Judged(
                {mode: classify(part.images, mode=mode) for mode in TEMPERATURE},
                part.labels,
                part.votes,
            )
            for name, part in parts.items()
        }
    shares = class_shares(everyday.labels[everyday.labels >= 0], len(main.labels))
    rules = fit_rules(labels, judged["faces"], judged["photographs"], shares)
    half = _halves(parts["photographs"])
    photos = judged["photographs"]
    cross_fitted = [
        (fit_rules(labels, judged["faces"], _subset(photos, half != n), shares), held_out)
        for n in (0, 1)
        if len((held_out := _subset(photos, half == n)).labels)
    ]
    facts = {
        **bundle.facts,
        "input_name": bundle.input_name,
        "answer": to_facts(rules, main.labels),
    }
    for name in ("format", "format_version", "input", "files", "sha256"):
        facts.pop(name, None)
    facts["answer"]["measured"] = table = measured(
        labels, shares, {"photographs": cross_fitted, "faces": [(rules, judged["faces"])]}
    )
    facts["metrics"] = {
        split: _main_head_scores(scores, main.name) for split, scores in bundle.metrics.items()
    }
    new = write_bundle(
        out,
        model=bundle.model,
        golden_faces=bundle.golden_faces,
        golden_logits=bundle.golden_logits,
        facts=facts,
    )
    return new, table


def _main_head_scores(scores: Mapping[str, Any], main: str) -> dict[str, Any]:
    """The scores of a split without those of the previous rule."""
    if main not in scores.get("heads", {}):
        return dict(scores)
    kept = {name: scores[name] for name in ("n", "heads", "int8_cost") if name in scores}
    if "best" in scores:
        kept["best"] = _main_head_scores(scores["best"], main)
    return {**scores["heads"][main], **kept}


def to_facts(rules: Mapping[str, AnswerRule], labels: LabelSet) -> dict[str, Any]:
    """The rules as bundle.json stores them; the first is the default."""

    def by_label(values: Sequence[float]) -> dict[str, float]:
        return dict(zip(labels, values, strict=True))

    return {
        "default": next(iter(rules)),
        "priors": {
            name: {
                "class_shares": None if rule.class_shares is None else by_label(rule.class_shares),
                "weights": dict(rule.weights),
                "log_factors": by_label(rule.log_factors),
                "temperature": rule.temperature,
                "temperature_best": rule.temperature_best,
                "certain_from": rule.certain_from,
            }
            for name, rule in rules.items()
        },
    }


def measured(
    labels: Mapping[str, LabelSet],
    shares: np.ndarray,
    judged: Mapping[str, Sequence[tuple[Mapping[str, AnswerRule], Judged]]],
) -> dict[str, Any]:
    """Accuracy, recall and share of certain predictions under each prior.

    Args:
        labels: Head -> its labels, the main one first.
        shares: Frequency of each label in everyday photographs, float (K,). `photographs` are
            weighted to these frequencies.
        judged: `photographs` and `faces`, each in parts with the rules that are applied to them.

    Returns:
        Prior -> mode -> `photographs` and `faces` -> scores.
    """
    names = next(iter(labels.values()))
    table: dict[str, Any] = {}
    for prior in judged["faces"][0][0]:
        for mode in TEMPERATURE:
            row: dict[str, Any] = {}
            for name, parts in judged.items():
                truth = np.concatenate([part.labels for _, part in parts])
                predicted = [
                    (rules[prior], rules[prior].answer(part.heads[mode], labels, mode=mode))
                    for rules, part in parts
                ]
                right = np.concatenate([p.argmax(axis=1) for _, p in predicted]) == truth
                certain = np.concatenate([p.max(1) >= rule.certain_from for rule, p in predicted])
                mix = shares if name == "photographs" else np.bincount(truth, minlength=len(names))
                row[name] = _scores(truth, right, certain, names, mix)
            table.setdefault(prior, {})[mode] = row
    return table


def _scores(
    truth: np.ndarray, right: np.ndarray, certain: np.ndarray, names: LabelSet, mix: np.ndarray
) -> dict[str, Any]:
    """Scores of predictions in a mix of classes, float (K,)."""
    hits, counts = class_counts(truth, right, len(names))
    weights = row_weights(truth, mix)
    return {
        "n": len(right),
        "accuracy": float(weighted_recall(hits, counts, mix)),
        "recall": {
            label: float(hit / count) if count else None
            for label, hit, count in zip(names, hits, counts, strict=True)
        },
        "certain": float(weights[certain].sum()),
        "certain_right": float(
            (weights * right)[certain].sum() / max(weights[certain].sum(), 1e-9)
        ),
    }


def _halves(photographs: Dataset) -> np.ndarray:
    """0 or 1 at random for each row, int64 (n,); rows of one group get the same number."""
    group = np.arange(len(photographs))
    if photographs.groups is not None:
        names, group = np.unique(photographs.groups.astype(str), return_inverse=True)
        ungrouped = names[group] == ""
        group = np.where(ungrouped, len(names) + np.arange(len(group)), group)
    return np.asarray(np.random.default_rng(0).integers(0, 2, group.max() + 1)[group])


def _subset(judged: Judged, rows: np.ndarray) -> Judged:
    """The rows where the mask, bool (n,), is true."""
    return Judged(
        {
            mode: {head: p[rows] for head, p in heads.items()}
            for mode, heads in judged.heads.items()
        },
        judged.labels[rows],
        None if judged.votes is None else judged.votes[rows],
    )


def _probabilities(part: Judged, labels: Mapping[str, LabelSet]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of both heads for the labels of the first, float64 (n, K) each.

    float64, since the optimiser in `_fit` takes small differences of the loss.
    """
    main, second = list(labels)[:2]
    heads = part.heads["fast"]
    other = pool(heads, {main: labels[main], second: labels[second]}, {second: 1.0})
    return heads[main].astype(np.float64), other.astype(np.float64)


def _part(
    probabilities: tuple[np.ndarray, np.ndarray], truth: np.ndarray, shares: np.ndarray
) -> _Part:
    """The labelled rows (`truth` >= 0), weighted so that the classes have these `shares`."""
    rows = truth >= 0
    first, second = probabilities
    return first[rows], second[rows], truth[rows], row_weights(truth[rows], shares)


def _rule(
    prior: str,
    labels: Mapping[str, LabelSet],
    parts: Sequence[tuple[float, _Part]],
    calibration: Judged,
    shares: np.ndarray,
) -> AnswerRule:
    """The rule that fits `parts` best; `calibration` faces, weighted to these `shares`, set its
    temperatures and its threshold of certainty.
    """
    main, second = list(labels)[:2]
    weight, factors = _fit(parts)
    plain = AnswerRule(
        prior,
        tuple(float(share) for share in shares),
        {main: 1 - weight, second: weight},
        tuple(float(factor) for factor in factors),
        1.0,
        1.0,
    )
    truth = calibration.labels
    weights = row_weights(truth, shares)
    scores = {mode: logs(plain.answer(heads, labels)) for mode, heads in calibration.heads.items()}
    fast, best = (_temperature(truth, scores[mode], weights) for mode in TEMPERATURE)
    calibrated = dataclasses.replace(plain, temperature=fast, temperature_best=best)
    if prior != EVERYDAY:
        return calibrated
    certain = _certain_from(softmax(scores["fast"], calibrated.temperature), truth, weights)
    return dataclasses.replace(calibrated, certain_from=certain)


def _fit(parts: Sequence[tuple[float, _Part]]) -> tuple[float, np.ndarray]:
    """Share of the second head, and the logarithms of the factors, float64 (K,).

    They minimise the negative log-likelihood on the parts, together with an inverse temperature,
    `sharpness`.
    """
    from scipy.optimize import minimize

    num = parts[0][1][0].shape[1]

    def unpacked(values: np.ndarray) -> tuple[float, float, np.ndarray]:
        return float(1 / (1 + np.exp(-values[0]))), float(np.exp(values[1])), values[2:]

    def cost(values: np.ndarray) -> float:
        share, sharpness, factors = unpacked(values)
        total = _PULL * float(((factors - factors.mean()) ** 2).sum())
        for weight, (first, second, truth, weights) in parts:
            scores = sharpness * logs((1 - share) * first + share * second) + factors
            scores = scores - scores.max(axis=1, keepdims=True)
            own = scores[np.arange(len(truth)), truth]
            total += weight * float((weights * (np.log(np.exp(scores).sum(axis=1)) - own)).sum())
        return total

    share, sharpness, factors = unpacked(minimize(cost, np.zeros(2 + num), method="BFGS").x)
    return share, (factors - factors.mean()) / sharpness


def _temperature(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """The temperature with the lowest weighted negative log-likelihood."""
    from scipy.optimize import minimize_scalar

    def cost(x: float) -> float:
        p = softmax(scores, float(np.exp(x)))
        return -float((weights * np.log(p[np.arange(len(truth)), truth] + 1e-9)).sum())

    low, high = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(cost, bounds=(low, high), method="bounded").x))


def _certain_from(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> float:
    """The lowest threshold of 0.5, 0.55 ... 0.95 above which the accuracy is at least `_RIGHT`."""
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    for level in np.arange(CERTAIN_FROM, 0.951, 0.05):
        sure = top >= level
        if (weights * right)[sure].sum() >= _RIGHT * weights[sure].sum():
            return round(float(level), 2)
    return 0.95
