"""Occlusion maps by class: they find what a made-up network looks at, and say where there is
nothing to find.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.constants import FACE_SIDE
from mien.data.dataset import Dataset
from mien.errors import UsageError
from mien.evaluation import sentences
from mien.evaluation.evaluate import Evaluation, Predictions, evaluate
from mien.evaluation.report import write_report
from mien.labels import LabelSet
from mien.vision.explain import STRIDE, occlusion_map

Classify = Callable[[np.ndarray], np.ndarray]


def looks_at(top: int, left: int) -> Classify:
    """Bright there: `bright`. Dark there: `dark`. It never answers `other`."""

    def classify(faces: np.ndarray) -> np.ndarray:
        light = faces[:, top : top + 10, left : left + 12, 0].mean(axis=(1, 2)) / 255
        return np.stack([0.9 * light, 0.9 * (1 - light), np.full(len(faces), 0.1)], axis=1).astype(
            np.float32
        )

    return classify


mouth = looks_at(35, 18)


def marked(top: int = 35, left: int = 18, n: int = 12) -> Dataset:
    """Validation faces in three classes: a bright place on gray, a dark place on gray, and just
    gray.
    """
    labels = np.arange(n) % 3
    images = (
        np.full((n, FACE_SIDE, FACE_SIDE, 1), 110, np.uint8)
        + np.arange(n, dtype=np.uint8)[:, None, None, None]
    )
    images[labels == 0, top : top + 10, left : left + 12] = 250
    images[labels == 1, top : top + 10, left : left + 12] = 5
    splits = np.ones(n, np.uint8)
    return Dataset(
        images, labels, splits, np.arange(n) + 2, LabelSet(("bright", "dark", "other")), "by hand"
    )


def judged(data: Dataset, classify: Classify = mouth, **options: Any) -> Evaluation:
    network = Predictions("net", {"validation": classify(data.images)}, {}, classify)
    return evaluate(data, [network], num_bootstrap=0, **options)


@pytest.mark.parametrize(
    ("top", "left", "named"),
    [(35, 18, "lower middle"), (3, 2, "upper left"), (19, 34, "middle right"), (19, 18, "centre")],
)
def test_the_sentence_names_the_place_that_the_network_looks_at(
    top: int, left: int, named: str
) -> None:
    truth = judged(marked(top, left), looks_at(top, left)).to_dict()
    assert json.loads(json.dumps(truth, allow_nan=False)) == truth
    for label in ("bright", "dark"):
        said = truth["words"]["maps"]["classes"][label]
        assert (
            f"{label}: over 3 faces, a blurred patch costs most in the {named} of the picture"
            in said
        )
        assert said.endswith("3 of the 3 faces by themselves are strongest there.")


def test_the_numbers_that_are_kept_are_the_maps() -> None:
    data = marked()
    found = judged(data, num_maps=2).to_dict()["maps"]
    assert (found["network"], found["split"], found["questions"]) == ("net", "validation", 361)
    for k, of in enumerate(found["classes"][:2]):
        assert (of["right"], of["n"], len(of["indices"]), len(of["examples"])) == (4, 2, 2, 2)
        assert set(data.labels[of["indices"]]) == {k}
        heats = [occlusion_map(mouth, data.images[i], k) for i in of["indices"]]
        for grid, heat in [(of["mean"]["grid"], np.mean(heats, axis=0))] + [
            (example["grid"], heat) for example, heat in zip(of["examples"], heats, strict=True)
        ]:
            # A number for each STRIDE x STRIDE pixels loses nothing but digits.
            np.testing.assert_allclose(np.kron(grid, np.ones((STRIDE, STRIDE))), heat, atol=6e-5)
        assert of["mean"]["peak"] == np.max(of["mean"]["grid"]) > 0.05
        assert of["examples"][0]["probability"] == pytest.approx(
            mouth(data.images[of["indices"][:1]])[0, k]
        )


def test_faces_are_drawn_by_seed_and_never_more_than_there_are() -> None:
    data = marked(n=60)
    drawn = [
        judged(data, seed=seed).to_dict()["maps"]["classes"][0]["indices"] for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    few = judged(marked(), num_maps=50).to_dict()["maps"]["classes"][0]
    assert few["n"] == few["right"] == len(few["strongest"]) == 4 and len(few["examples"]) == 2


def test_a_class_without_right_faces_has_words_and_no_picture(tmp_path: Path) -> None:
    evaluation = judged(marked())
    other = evaluation.to_dict()["maps"]["classes"][2]
    assert (other["right"], other["n"], other["mean"], other["ninths"], other["examples"]) == (
        0,
        0,
        None,
        None,
        [],
    )
    page = write_report(evaluation, tmp_path).read_text("utf-8")
    section = page[page.index('<details id="maps">') :].partition("</details>")[0]
    cards = re.findall(r"<li>.*?</li>", section, re.DOTALL)
    assert [card.count("<img") for card in cards] == [5, 5, 0]
    said = "other: no face with this label was recognised on validation, so nothing is mapped."
    assert said in cards[2] and said in (tmp_path / "report.md").read_text("utf-8")
    assert "not why a face has an expression" in section and 'href="#maps"' in page
    assert (tmp_path / "pictures" / "1-net-maps.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_recognised_is_said_for_every_class(tmp_path: Path) -> None:
    data = marked()
    wrong = data.take(data.labels == 2)
    page = write_report(judged(wrong), tmp_path).read_text("utf-8")
    assert page.count("so nothing is mapped.") == 3
    assert not (tmp_path / "pictures" / "1-net-maps.png").exists()


def test_switched_off_there_is_no_section_and_no_question(tmp_path: Path) -> None:
    def never(faces: np.ndarray) -> np.ndarray:
        raise AssertionError("the network was asked")

    data = marked()
    answers = {"validation": mouth(data.images)}
    for name, explain, num in (("off", never, 0), ("mute", None, 3)):
        evaluation = evaluate(
            data, [Predictions("net", answers, {}, explain)], num_bootstrap=0, num_maps=num
        )
        truth = evaluation.to_dict()
        assert truth["maps"] is None and truth["words"]["maps"] is None
        page = write_report(evaluation, tmp_path / name).read_text("utf-8")
        assert (
            'id="maps"' not in page and "#maps" not in page and "Which places it uses" not in page
        )
        assert "Which places it uses" not in (tmp_path / name / "report.md").read_text("utf-8")
        assert not list((tmp_path / name).glob("pictures/*maps*"))


def test_only_the_best_network_is_mapped(tmp_path: Path) -> None:
    def never(faces: np.ndarray) -> np.ndarray:
        raise AssertionError("the worse network was asked")

    data = marked()
    worse = Predictions("worse", {"validation": mouth(data.images)[:, [2, 0, 1]]}, {}, never)
    best = Predictions("best", {"validation": mouth(data.images)}, {}, mouth)
    evaluation = evaluate(data, [worse, best], num_bootstrap=0)
    assert evaluation.to_dict()["maps"]["network"] == evaluation.best == "best"
    page = write_report(evaluation, tmp_path).read_text("utf-8")
    assert page.count('id="maps"') == 1 and page.index('id="maps"') > page.index('id="network-2"')
    assert [p.name for p in (tmp_path / "pictures").glob("*maps*")] == ["2-best-maps.png"]


@pytest.mark.parametrize("answers", [np.zeros((362, 2)), np.full((362, 3), np.nan)])
def test_answers_that_are_no_probabilities_are_refused(answers: np.ndarray) -> None:
    data = marked()
    network = Predictions("net", {"validation": mouth(data.images)}, {}, lambda faces: answers)
    with pytest.raises(
        UsageError,
        match=r"explain: got float64 .* expected finite probabilities of shape \(362, 3\)",
    ):
        evaluate(data, [network], num_bootstrap=0)


@pytest.mark.parametrize(
    ("ninths", "n", "said"),
    [
        ([0.009] * 9, 3, "no place matters by itself"),
        ([0.05] * 9, 3, "no place stands out: in 9 ninths of the picture"),
        (
            [0, 0, 0, 0, 0.095, 0, 0, 0.1, -0.2],
            2,
            "most in the centre and lower middle of the picture, 10.0 points",
        ),
        (
            [0, 0, 0, 0, 0.089, 0, 0, 0.1, 0],
            2,
            "average; 1 of the 2 faces by themselves is strongest there.",
        ),
        (
            [0, 0, 0.3, 0, 0, 0, 0, 0, 0],
            2,
            "average; none of the 2 faces by themselves are strongest there.",
        ),
        (
            [0, 0, 0.3, 0, 0, 0, 0, 0, 0],
            1,
            "a: over 1 face, a blurred patch costs most in the upper right of the",
        ),
    ],
)
def test_words_follow_their_thresholds(ninths: list[float], n: int, said: str) -> None:
    told = sentences.place(
        {"label": "a", "n": n, "ninths": ninths, "strongest": [4, 7][:n]}, "validation"
    )
    assert said in told and told.endswith(".")
    assert ("by themselves" in told) == (n > 1 and "costs most" in told)
