"""Fit how the heads of a network make the answer that is shown, under two class priors.

    everyday    pictures as press, film and family albums hold them: mostly neutral and happy
    balanced    experiments and posed collections: each expression about as often as any other

Two heads know different things. One learned FER2013's labels, and sees anger and sadness where
people see a face at rest; the other learned how ten people vote, and misses some of both. A rule
(`mien.bundle.answer`) mixes them, so that it answers well on three kinds of faces at once:
photographs of the place that it is meant for; faces whose FER2013 label and majority of votes
agree (clear faces, as posed collections hold them); and the majority of votes on all faces.
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
from mien.data.dataset import Dataset
from mien.data.votes import majority
from mien.errors import UsageError
from mien.labels import FERPLUS, LabelSet
from mien.training.calibration import TEMPERATURES

EVERYDAY = "everyday"
# How much each kind of face counts in the fit of `everyday`. docs/log.md has what others gave.
_PHOTOGRAPHS, _CLEAR, _VOTED = 0.5, 0.25, 0.25
_RARE = 0.6  # power of the labels' shares in photographs: the rare ones count for more in the fit
_PULL = 1e-3  # of the factors towards 1: of the rarest labels there are a handful of photographs
_RIGHT = 0.96  # share of the certain answers under `everyday` that are to be right


@dataclass(frozen=True, eq=False)
class Judged:
    """Faces that the network did not learn from, and what its heads say of them.

    Attributes:
        heads: Mode (`fast`, `best`) -> head -> calibrated probabilities, float32 (n, K).
        labels: int64 (n,), by the labels of the main head.
        votes: uint8 (n, 10), FER+ votes, or None.
    """

    heads: Mapping[str, Mapping[str, np.ndarray]]
    labels: np.ndarray
    votes: np.ndarray | None = None


# Probabilities of the main and the second head for the same labels, labels, weights of sum 1.
_Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def fit_rules(
    labels: Mapping[str, LabelSet], faces: Judged, photographs: Judged, shares: np.ndarray
) -> dict[str, AnswerRule]:
    """The rules `everyday`, the default, and `balanced`.

    Args:
        labels: Head -> its labels: the main one, and one that learned how people vote.
        faces: A validation split with votes.
        photographs: Faces of everyday photographs that the network did not learn from.
        shares: How often each label of the main head occurs in such photographs, float (K,).

    Raises:
        UsageError: without votes, or if the second head lacks labels of the first.
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
    of_faces, of_photographs = (_probabilities(one, labels) for one in (faces, photographs))
    clear_part = _part(of_faces, np.where(clear, faces.labels, -1), equal)
    everyday = [
        (_PHOTOGRAPHS, _part(of_photographs, photographs.labels, shares**_RARE)),
        (_CLEAR, clear_part),
        (_VOTED, _part(of_faces, voted, class_shares(voted[voted >= 0], num))),
    ]
    balanced = [(0.5, _part(of_faces, faces.labels, equal)), (0.5, clear_part)]
    return {
        EVERYDAY: _rule(EVERYDAY, labels, everyday, photographs, shares),
        BALANCED: _rule(BALANCED, labels, balanced, faces, equal),
    }


def recalibrate(
    bundle: Bundle, out: Path, *, dataset: Dataset, photographs: Dataset
) -> tuple[Bundle, dict[str, Any]]:
    """Write a bundle again, its answer derived anew for `everyday` and `balanced`.

    Args:
        bundle: What is read; its network stays as it is.
        out: A folder, or a zip where the name ends in `.zip`.
        dataset: The data that it was trained on, with FER+ votes; its validation split is used.
        photographs: Faces of everyday photographs. The rule is fitted on the validation split, of
            persons that the network did not learn from; the other splits only help to say how
            often each label occurs.

    Returns:
        The new bundle, and what it answers on the validation splits: `measured`. Each half of the
        photographs is answered by the rule that was fitted on the other half.

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
    crossed = [
        (fit_rules(labels, judged["faces"], _some(photos, half != n), shares), asked)
        for n in (0, 1)
        if len((asked := _some(photos, half == n)).labels)
    ]
    facts = {
        **bundle.facts,
        "input_name": bundle.input_name,
        "answer": to_facts(rules, main.labels),
    }
    for name in ("format", "format_version", "input", "files", "sha256"):
        facts.pop(name, None)
    facts["answer"]["measured"] = table = measured(
        labels, shares, {"photographs": crossed, "faces": [(rules, judged["faces"])]}
    )
    facts["metrics"] = {
        split: _of_the_main_head(scores, main.name) for split, scores in bundle.metrics.items()
    }
    new = write_bundle(
        out,
        model=bundle.model,
        golden_faces=bundle.golden_faces,
        golden_logits=bundle.golden_logits,
        facts=facts,
    )
    return new, table


def _of_the_main_head(scores: Mapping[str, Any], main: str) -> dict[str, Any]:
    """The scores of a split less those of an answer that is no longer given."""
    if main not in scores.get("heads", {}):
        return dict(scores)
    kept = {name: scores[name] for name in ("n", "heads", "int8_cost") if name in scores}
    if "best" in scores:
        kept["best"] = _of_the_main_head(scores["best"], main)
    return {**scores["heads"][main], **kept}


def to_facts(rules: Mapping[str, AnswerRule], labels: LabelSet) -> dict[str, Any]:
    """The rules as bundle.json holds them; the first is the default."""

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
    """What the answers under each prior are worth.

    Args:
        labels: Head -> its labels, the main one first.
        shares: How often each label occurs in everyday photographs: `photographs` count by that.
        judged: `photographs` and `faces`: in parts, each with the rules that answer it.

    Returns:
        Prior -> mode -> `photographs` and `faces` -> scores.
    """
    table: dict[str, Any] = {}
    for prior in judged["faces"][0][0]:
        for mode in TEMPERATURE:
            row: dict[str, Any] = {}
            for name, parts in judged.items():
                truth = np.concatenate([part.labels for _, part in parts])
                answers = [
                    (rules[prior], rules[prior].answer(part.heads[mode], labels, mode=mode))
                    for rules, part in parts
                ]
                right = np.concatenate([p.argmax(axis=1) for _, p in answers]) == truth
                sure = np.concatenate([p.max(axis=1) >= rule.certain_from for rule, p in answers])
                plain = np.full(len(right), 1 / len(right))
                weights = row_weights(truth, shares) if name == "photographs" else plain
                row[name] = {
                    "n": len(right),
                    "accuracy": float((weights * right).sum()),
                    "recall": {
                        label: float(right[truth == k].mean()) if (truth == k).any() else None
                        for k, label in enumerate(next(iter(labels.values())))
                    },
                    "certain": float(weights[sure].sum()),
                    "certain_right": float(
                        (weights * right)[sure].sum() / max(weights[sure].sum(), 1e-9)
                    ),
                }
            table.setdefault(prior, {})[mode] = row
    return table


def _halves(photographs: Dataset) -> np.ndarray:
    """int64 (n,): 0 or 1 at random for each row; rows of one group are in the same half."""
    whose = np.arange(len(photographs))
    if photographs.groups is not None:
        names, whose = np.unique(photographs.groups.astype(str), return_inverse=True)
        alone = names[whose] == ""
        whose = np.where(alone, len(names) + np.arange(len(whose)), whose)
    return np.asarray(np.random.default_rng(0).integers(0, 2, whose.max() + 1)[whose])


def _some(judged: Judged, rows: np.ndarray) -> Judged:
    """Some rows, bool (n,), of what was judged."""
    return Judged(
        {
            mode: {head: p[rows] for head, p in heads.items()}
            for mode, heads in judged.heads.items()
        },
        judged.labels[rows],
        None if judged.votes is None else judged.votes[rows],
    )


def class_shares(labels: np.ndarray, num: int) -> np.ndarray:
    """float64 (num,): how often each label occurs, at least as often as half a face."""
    counts = np.maximum(np.bincount(labels, minlength=num), 0.5)
    return np.asarray(counts / counts.sum())


def row_weights(labels: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """float64 (n,): weights of rows with which classes have these `shares`; the sum is 1."""
    weights = (shares / np.maximum(np.bincount(labels, minlength=len(shares)), 1))[labels]
    return np.asarray(weights / weights.sum())


def _probabilities(of: Judged, labels: Mapping[str, LabelSet]) -> tuple[np.ndarray, np.ndarray]:
    """What both heads say, float64 (n, K) each, of the labels of the first."""
    main, second = list(labels)[:2]
    heads = of.heads["fast"]
    other = pool(heads, {main: labels[main], second: labels[second]}, {second: 1.0})
    return heads[main].astype(np.float64), other.astype(np.float64)  # differences are small


def _part(
    probabilities: tuple[np.ndarray, np.ndarray], truth: np.ndarray, shares: np.ndarray
) -> _Part:
    """The rows whose truth is known, weighted so that classes occur as `shares` say."""
    rows = truth >= 0
    first, second = probabilities
    return first[rows], second[rows], truth[rows], row_weights(truth[rows], shares)


def _rule(
    prior: str,
    labels: Mapping[str, LabelSet],
    parts: Sequence[tuple[float, _Part]],
    own: Judged,
    shares: np.ndarray,
) -> AnswerRule:
    """The rule that fits `parts` best, calibrated on `own` faces with classes as `shares` say."""
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
    weights = row_weights(own.labels, shares)
    scores = {mode: logs(plain.answer(heads, labels)) for mode, heads in own.heads.items()}
    fast, best = (_temperature(own.labels, scores[mode], weights) for mode in TEMPERATURE)
    calibrated = dataclasses.replace(plain, temperature=fast, temperature_best=best)
    if prior != EVERYDAY:
        return calibrated
    certain = _certain_from(softmax(scores["fast"], calibrated.temperature), own.labels, weights)
    return dataclasses.replace(calibrated, certain_from=certain)


def _fit(parts: Sequence[tuple[float, _Part]]) -> tuple[float, np.ndarray]:
    """Share of the second head, and the logarithms of the factors, float64 (K,).

    They have the least negative log-likelihood on the parts, at the sharpness that suits them.
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
    """The temperature of the least weighted negative log-likelihood."""
    from scipy.optimize import minimize_scalar

    def cost(x: float) -> float:
        p = softmax(scores, float(np.exp(x)))
        return -float((weights * np.log(p[np.arange(len(truth)), truth] + 1e-9)).sum())

    low, high = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(cost, bounds=(low, high), method="bounded").x))


def _certain_from(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> float:
    """The lowest of 0.5, 0.55 ... 0.95 from which on so many answers are right."""
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    for level in np.arange(CERTAIN_FROM, 0.951, 0.05):
        sure = top >= level
        if (weights * right)[sure].sum() >= _RIGHT * weights[sure].sum():
            return round(float(level), 2)
    return 0.95
