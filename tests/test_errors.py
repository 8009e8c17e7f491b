"""A word that there is not is answered with the nearest that there is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mien.bundle import open_bundle
from mien.bundle.classifier import Classifier
from mien.data.label_names import names_for
from mien.errors import UsageError, meant
from mien.evaluation.weighted import parse_weights
from mien.training.recipes import settings

WORDS: dict[str, tuple[Callable[[], object], str]] = {
    "labels": (lambda: names_for("rafbd"), "rafdb"),
    "weights": (lambda: parse_weights("naturl"), "natural"),
    "prior": (lambda: Classifier(open_bundle("shipped")).rule("everday"), "everyday"),
    "field": (lambda: settings(["max_epoch=2"]), "max_epochs"),
}


@pytest.mark.parametrize("kind", WORDS)
def test_near_misses(kind: str) -> None:
    ask, word = WORDS[kind]
    with pytest.raises(UsageError, match=rf"Fix: write {word}, if that was meant$"):
        ask()


def test_a_word_like_none_has_the_general_fix() -> None:
    assert meant("xyzzy", ("natural", "balanced"), "write pairs") == "write pairs"
