"""Combine the probabilities of a network's heads into one prediction.

How often each expression occurs in a kind of picture (the class prior) decides close calls: half of
the faces in a newspaper are neutral, but only a seventh of those in a posed collection. Each
prediction is therefore made under a named prior, whose rule is stored in `bundle.json`:

    q = sum over heads of weight * probabilities      (for the labels of the main head)
    p = softmax((log q + log_factors) / temperature + log_shift)

`log_shift` is zero under the priors that the bundle names. The user's own prior reweights the
prediction under `balanced` by Bayes' rule (Saerens et al. 2002,
https://doi.org/10.1162/089976602753284446).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mien.errors import UsageError, meant
from mien.labels import LabelSet

# Mode (one view, or several: `mien.bundle.tta`) -> the field that holds its temperature.
TEMPERATURE = {"fast": "temperature", "best": "temperature_best"}
BALANCED = "balanced"
TRAINING = "training"  # the prior of a bundle that names none: the one of its training data
CERTAIN_FROM = 0.5
_EPSILON = 1e-9  # stands for a probability of 0 in logarithms

# What a caller may request: None for the bundle's default, a name, or weights by label.
Prior = str | Mapping[str, float] | None


@dataclass(frozen=True)
class AnswerRule:
    """The rule that turns the heads' probabilities into the prediction under one class prior.

    Attributes:
        prior: Its name, or the shares of the user's own prior, such as `happy=0.75,sad=0.25`.
        class_shares: Frequency of each label of the main head, K numbers that sum to 1; None if
            unknown.
        weights: Head -> its weight in the mixture, 0 to 1. If a head has more labels than the main
            one, only the shared labels count.
        log_factors: K numbers, added to the logarithm of the mixture.
        temperature: Divides that sum (Guo et al. 2017, https://arxiv.org/abs/1706.04599).
        temperature_best: The same for several views (`mien.bundle.tta`).
        certain_from: A prediction is certain if its top probability is at least this.
        log_shift: K numbers, added after the division by the temperature; -inf rules a label out.
    """

    prior: str
    class_shares: tuple[float, ...] | None
    weights: Mapping[str, float]
    log_factors: tuple[float, ...]
    temperature: float
    temperature_best: float
    certain_from: float = CERTAIN_FROM
    log_shift: tuple[float, ...] = ()

    def answer(
        self, heads: Mapping[str, np.ndarray], labels: Mapping[str, LabelSet], *, mode: str = "fast"
    ) -> np.ndarray:
        """The probabilities of the prediction.

        Args:
            heads: Head -> calibrated probabilities, float (N, number of its labels), in [0, 1].
            labels: Head -> its labels, the main head first.
            mode: `fast` or `best`, whichever the heads were computed in.

        Returns:
            float32 (N, K), in the order of the main head's labels; rows sum to 1.
        """
        mixture = pool(heads, labels, self.weights)
        temperature = getattr(self, TEMPERATURE[mode])
        if temperature == 1 and not any(self.log_factors) and not any(self.log_shift):
            return mixture
        scores = (logs(mixture) + np.array(self.log_factors)) / temperature
        if self.log_shift:
            scores = scores + np.array(self.log_shift)
        return softmax(scores)


def plain_rule(main: str, num_labels: int, shares: Sequence[float] | None = None) -> AnswerRule:
    """The rule for a bundle without one: the main head's output, under the prior of its data."""
    class_shares = None if shares is None else tuple(shares)
    return AnswerRule(TRAINING, class_shares, {main: 1.0}, (0.0,) * num_labels, 1.0, 1.0)


def rule_under(prior: Prior, rules: Mapping[str, AnswerRule], labels: LabelSet) -> AnswerRule:
    """The rule for a requested prior.

    Args:
        prior: None for the default (the first of `rules`), a name, or weights by label as a mapping
            or a text such as `happy=3,neutral=1`. Weights are scaled to sum to 1; labels without
            one get 0.
        rules: Name -> rule, the default first.
        labels: The labels of the main head.

    Raises:
        UsageError: if there is no such prior, or the weights do not fit these labels.
    """
    if prior is None:
        return next(iter(rules.values()))
    if isinstance(prior, str):
        if prior in rules:
            return rules[prior]
        if "=" in prior:
            prior = _weights(prior, _example(labels))
        elif prior == BALANCED:
            prior = dict.fromkeys(labels, 1.0)
            rule = _reweighted(rules, _shares(prior, labels), labels)
            return dataclasses.replace(rule, prior=BALANCED)
        else:
            raise UsageError(
                f"prior: got {prior!r}; expected {', '.join({**rules, BALANCED: None})}, or "
                "weights by label. Fix: "
                + meant(
                    prior,
                    (*rules, BALANCED),
                    f"choose one of these, or write weights such as {_example(labels)}",
                )
            )
    if not isinstance(prior, Mapping):
        raise UsageError(
            f"prior: got {prior!r:.80}; expected a name, or weights by label. Fix: pass one of "
            f"{', '.join({**rules, BALANCED: None})}, or weights such as {_example(labels)}"
        )
    return _reweighted(rules, _shares(prior, labels), labels)


def _example(labels: LabelSet) -> str:
    """Weights of labels that these are, such as `happy=3,neutral=5`."""
    usual = [name for name in ("happy", "neutral") if name in labels.names]
    names = usual if len(usual) == 2 else labels.names[:2]
    return ",".join(f"{name}={n}" for name, n in zip(names, (3, 5), strict=False))


def pool(
    heads: Mapping[str, np.ndarray], labels: Mapping[str, LabelSet], weights: Mapping[str, float]
) -> np.ndarray:
    """Weighted mean of the heads' probabilities for the main head's labels, float32 (N, K)."""
    main = next(iter(labels))
    mixture = np.zeros_like(heads[main])
    for head, head_labels in labels.items():
        if share := weights.get(head, 0.0):
            columns = heads[head][:, [head_labels.index(name) for name in labels[main]]]
            mixture += share * columns / np.maximum(columns.sum(axis=1, keepdims=True), _EPSILON)
    return mixture


def logs(probabilities: np.ndarray) -> np.ndarray:
    """Natural logarithms of probabilities, to calibrate them like logits; 0 counts as 1e-9."""
    return np.asarray(np.log(probabilities + _EPSILON))


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities, float32 (N, K) with rows that sum to 1, of float (N, K) logits."""
    scores = logits.astype(np.float64) / temperature
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _reweighted(
    rules: Mapping[str, AnswerRule], shares: tuple[float, ...], labels: LabelSet
) -> AnswerRule:
    """The rule for the user's own shares: `balanced` (or else the default), reweighted."""
    base = rules.get(BALANCED, next(iter(rules.values())))
    if base.class_shares is None:
        raise UsageError(
            "prior: got weights, but the bundle does not say how often each label occurred in its "
            "training data; expected no prior. Fix: export the bundle again with mien export --data"
        )
    shift = tuple(
        math.log(share / known) if share and known else -math.inf
        for share, known in zip(shares, base.class_shares, strict=True)
    )
    if not any(map(math.isfinite, shift)):
        known = [name for name, n in zip(labels, base.class_shares, strict=True) if n]
        raise UsageError(
            "prior: got weights only for labels that were not in the training data; expected a "
            f"weight for at least one that was. Fix: give a weight to {', '.join(known)}"
        )
    text = ",".join(
        f"{name}={share:.4g}" for name, share in zip(labels, shares, strict=True) if share
    )
    return dataclasses.replace(base, prior=text, class_shares=shares, log_shift=shift)


def _weights(text: str, example: str) -> dict[str, float]:
    weights = dict[str, float]()
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not name or name in weights or math.isnan(number):
            raise UsageError(
                f"prior: got {part.strip()[:80]!r}; expected LABEL=WEIGHT, each label once. Fix: "
                f"write weights such as {example}"
            )
        weights[name] = number
    return weights


def _shares(weights: Mapping[str, float], labels: LabelSet) -> tuple[float, ...]:
    """The weights in the order of the labels, scaled to sum to 1."""
    unknown = [str(name)[:40] for name in weights if name not in labels.names]
    if unknown:
        raise UsageError(
            f"prior: got a weight for {', '.join(unknown)}; expected labels of the network. Fix: "
            "use " + ", ".join(labels)
        )
    try:
        values = [float(weights.get(name, 0.0)) for name in labels]
    except (TypeError, ValueError):
        values = [math.nan]
    total = sum(values)
    if not (all(value >= 0 for value in values) and 0 < total < math.inf):
        raise UsageError(
            f"prior: got the weights {dict(weights)!r:.200}; expected numbers of at least 0, and "
            "one above 0, with a finite sum. Fix: give each label that can occur a weight, such as "
            + _example(labels)
        )
    return tuple(value / total for value in values)
