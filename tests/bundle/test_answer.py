"""What is shown under a class prior: named ones, one of one's own, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from mien.bundle import open_bundle
from mien.bundle.answer import AnswerRule, plain_rule, rule_under
from mien.bundle.classifier import Classifier
from mien.data.synthetic import draw_faces
from mien.errors import UsageError
from mien.labels import LabelSet

LABELS = LabelSet(("happy", "sad", "neutral"))
HEADS = {
    "main": np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], np.float32),
    "votes": np.array([[0.2, 0.1, 0.6, 0.1], [0.3, 0.3, 0.3, 0.1]], np.float32),
}
OF = {"main": LABELS, "votes": LabelSet(("happy", "sad", "neutral", "contempt"))}
EVERYDAY = AnswerRule(
    "everyday", (0.4, 0.1, 0.5), {"main": 0.2, "votes": 0.8}, (0.0, -1.0, 0.5), 0.8, 0.9, 0.7
)
BALANCED = AnswerRule("balanced", (1 / 3,) * 3, {"main": 1.0}, (0.0, 0.2, 0.0), 1.0, 1.0)
RULES = {"everyday": EVERYDAY, "balanced": BALANCED}


def test_the_arithmetic() -> None:
    votes = HEADS["votes"][:, :3] / 0.9
    pooled = 0.2 * HEADS["main"] + 0.8 * votes
    for mode, temperature in (("fast", 0.8), ("best", 0.9)):
        powers = (pooled * np.exp([0, -1, 0.5])) ** (1 / temperature)
        expected = powers / powers.sum(axis=1, keepdims=True)
        shown = EVERYDAY.answer(HEADS, OF, mode=mode)
        assert shown.dtype == np.float32
        np.testing.assert_allclose(shown, expected, atol=1e-6)


def test_a_plain_rule_is_the_main_head() -> None:
    shown = plain_rule("main", 3).answer(HEADS, OF)
    np.testing.assert_allclose(shown, HEADS["main"], atol=1e-7)


def test_named_priors_and_the_default() -> None:
    assert rule_under(None, RULES, LABELS) is EVERYDAY
    assert rule_under("balanced", RULES, LABELS) is BALANCED
    with pytest.raises(UsageError, match="got 'posed'; expected everyday, balanced, or weights"):
        rule_under("posed", RULES, LABELS)


@pytest.mark.parametrize("given", [3, ["happy"], "anger", "tense=many"])
def test_the_error_for_another_prior_shows_weights_of_the_networks_own_labels(
    given: object,
) -> None:
    labels = LabelSet(("calm", "glad", "tense"))
    with pytest.raises(UsageError, match=r"^prior: got .*; expected .* calm=3,glad=5$"):
        rule_under(given, RULES, labels)  # type: ignore[arg-type]


@pytest.mark.parametrize("own", [{"happy": 3, "sad": 1, "neutral": 0}, "happy=3, sad = 1"])
def test_a_prior_of_ones_own_reweights_the_balanced_answer(own: object) -> None:
    rule = rule_under(own, RULES, LABELS)  # type: ignore[arg-type]
    assert rule.prior == "happy=0.75,sad=0.25" and rule.class_shares == (0.75, 0.25, 0.0)
    powers = BALANCED.answer(HEADS, OF) * np.array([0.75, 0.25, 0])
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(rule.answer(HEADS, OF), expected, atol=1e-6)


def test_equal_weights_are_the_balanced_answer() -> None:
    rule = rule_under(dict.fromkeys(LABELS, 7), RULES, LABELS)
    np.testing.assert_allclose(rule.answer(HEADS, OF), BALANCED.answer(HEADS, OF), atol=1e-6)


def test_a_prior_of_labels_that_were_never_learned_is_refused() -> None:
    rules = {"training": plain_rule("main", 3, (0.6, 0.4, 0.0))}
    last = LABELS.names[2]
    with pytest.raises(
        UsageError,
        match="weights only for labels that were not in the training data.*Fix: give a weight to",
    ):
        rule_under({last: 1}, rules, LABELS)
    shown = rule_under(dict.fromkeys(LABELS, 1), rules, LABELS).answer(HEADS, OF)
    assert np.isfinite(shown).all() and shown[:, 2].max() == 0


def test_balanced_is_had_of_what_is_known_of_the_training_data() -> None:
    rules = {"training": plain_rule("main", 3, (0.5, 0.3, 0.2))}
    rule = rule_under("balanced", rules, LABELS)
    assert rule.prior == "balanced"
    np.testing.assert_allclose(rule.answer(HEADS, OF)[0], [1 / 3] * 3, atol=1e-6)
    with pytest.raises(UsageError, match="does not say how often each label occurred"):
        rule_under("balanced", {"training": plain_rule("main", 3)}, LABELS)


@pytest.mark.parametrize(
    "own",
    [
        "happy=3,joy=1",
        "happy",
        "happy=much",
        "happy=1,happy=2",
        "=3",
        "happy=-1,sad=2",
        "happy=inf",
        "happy=1e308,neutral=1e308",
        "happy=0",
        "",
        {},
        {"happy": "much"},
        {"happy": float("nan")},
        {"joy": 1},
    ],
)
def test_weights_that_are_none_are_refused(own: object) -> None:
    with pytest.raises(UsageError, match=r"^prior: got .*; expected .* Fix: "):
        rule_under(own, RULES, LABELS)  # type: ignore[arg-type]


def test_the_network_in_the_package_answers_under_both() -> None:
    with Classifier(open_bundle("shipped")) as classify:
        heads = classify(draw_faces(np.arange(7), seed=3))
        assert list(classify.bundle.rules) == ["everyday", "balanced"]
        shown = {prior: classify.answer(heads, rule=classify.rule(prior)) for prior in RULES}
        assert np.abs(shown["everyday"] - shown["balanced"]).max() > 0.05
        for p in shown.values():
            np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
        neutral = classify.bundle.heads[0].labels.index("neutral")
        assert shown["everyday"][:, neutral].mean() > shown["balanced"][:, neutral].mean()
