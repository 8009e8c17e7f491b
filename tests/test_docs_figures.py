"""The docs give the figures of the network in the package, as its bundle.json has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mien.bundle import open_bundle
from mien.labels import FER2013

ROOT = Path(__file__).parents[1]
BUNDLE = open_bundle("shipped")
MEASURED: dict[str, Any] = BUNDLE.facts["answer"]["measured"]  # by prior, mode and data
ONE: dict[str, Any] = BUNDLE.facts["metrics"]["validation"]  # one view; PublicTest
MANY, VOTES = ONE["best"], ONE["heads"]["votes"]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def right(prior: str, data: str, mode: str = "fast") -> str:
    return percent(MEASURED[prior][mode][data]["accuracy"])


def in_both_modes(prior: str, data: str) -> str:
    return f"{right(prior, data)} | {right(prior, data, 'best')} |"


def certain(prior: str, data: str) -> str:
    of = MEASURED[prior]["fast"][data]
    return f"{percent(of['certain'])} | {percent(of['certain_right'])} |"


def interval(value: dict[str, float]) -> str:
    return f"{percent(value['value'])} ({100 * value['low']:.1f} to {100 * value['high']:.1f})"


def recall(prior: str, data: str, label: str) -> str:
    return f"{100 * MEASURED[prior]['fast'][data]['recall'][label]:.0f} %"


TEXTS = {
    "README.md": [
        f"prior `everyday` | 2,205 | {right('everyday', 'photographs')} |",
        f"prior `balanced` | 3,589 | {right('balanced', 'faces')} |",
        f"labels | 3,589 | {interval(ONE['accuracy'])} |",
        f"protocol | 3,199 | {interval(VOTES['accuracy'])} |",
    ],
    "docs/results.md": [
        f"digest {BUNDLE.digest[:8]},",
        f"film, prior `everyday` | 2,205 | {in_both_modes('everyday', 'photographs')}",
        f"the same, prior `balanced` | 2,205 | {in_both_modes('balanced', 'photographs')}",
        f"PublicTest, prior `balanced` | 3,589 | {in_both_modes('balanced', 'faces')}",
        f"the same, prior `everyday` | 3,589 | {in_both_modes('everyday', 'faces')}",
        f"labels | 3,589 | {interval(ONE['accuracy'])} | {interval(MANY['accuracy'])} |",
        "error of that head | 3,589 | "
        + "".join(f"{one['macro_f1']['value']:.3f} / {one['ece']:.3f} | " for one in (ONE, MANY)),
        "for the votes | 3,199 | "
        + f"{interval(VOTES['accuracy'])} | {interval(MANY['heads']['votes']['accuracy'])} |",
    ],
    "docs/photos.md": [
        f"others happy | {right('everyday', 'photographs')} | {right('everyday', 'faces')} |",
        f"as often | {right('balanced', 'photographs')} | {right('balanced', 'faces')} |",
        "answers on photographs "
        f"{percent(MEASURED['everyday']['fast']['photographs']['certain_right'])} are right",
    ],
    "docs/limits.md": [
        f"{right('everyday', 'photographs')} against {right('balanced', 'photographs')} of "
        f"photographs, {right('balanced', 'faces')} against {right('everyday', 'faces')} of",
        f"found in {recall('balanced', 'faces', 'fear')} of the faces",
        f"in {recall('everyday', 'faces', 'fear')} under `everyday`",
        f"found in {recall('everyday', 'photographs', 'angry')} (n = 37) and "
        f"{recall('everyday', 'photographs', 'sad')} (n = 22)",
        f"neutral and happy in {recall('everyday', 'photographs', 'neutral')} and "
        f"{recall('everyday', 'photographs', 'happy')}",
        f"natural mix | {certain('everyday', 'photographs')}",
        f"`everyday` | PublicTest, n = 3,589 | {certain('everyday', 'faces')}",
        f"`balanced` | PublicTest, n = 3,589 | {certain('balanced', 'faces')}",
        f"| as it is | {right('balanced', 'faces')[:4]} (",
    ],
    "docs/model-card.md": [
        f"Right on {right('everyday', 'photographs')} of photographs",
        f"on {right('balanced', 'faces')} of PublicTest under `balanced`",
        f"majority on {interval(VOTES['accuracy'])} of 3,199 faces",
        f"labels is {ONE['ece']:.3f} on PublicTest",
        *(
            f"| {label} | {recall('everyday', 'photographs', label)} | {num:,} | "
            f"{recall('balanced', 'faces', label)} |"
            for label, num in zip(FER2013, (37, 2, 3, 890, 22, 43, 1208), strict=True)
        ),
    ],
}


@pytest.mark.parametrize("page", TEXTS)
def test_figures_are_those_of_the_network(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert [wanted for wanted in TEXTS[page] if wanted.strip() not in text] == []
