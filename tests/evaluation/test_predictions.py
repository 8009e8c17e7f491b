from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_bundle import write_toy

import mien
from mien.bundle import open_bundle
from mien.data.dataset import Dataset
from mien.data.synthetic import drawn_dataset
from mien.errors import BundleError, UsageError
from mien.evaluation import predictions
from mien.evaluation.evaluate import Predictions
from mien.labels import FERPLUS_VOTES, LabelSet


def network(name: str, first: float, *, votes: bool = True, **info: Any) -> Predictions:
    """Says `first` of the first of two labels, on one face of each split."""
    said = np.array([[first, 1 - first]], np.float32)
    eight = np.full((1, 8), 0.125, np.float32) * first * 8
    return Predictions(
        name,
        {"training": said, "test": said},
        info,
        lambda faces: said,
        {"test": eight} if votes else None,
    )


def test_the_mean_of_networks_is_that_of_their_probabilities() -> None:
    one = network("a --fast", 0.9, parameters=3, data={"fingerprint": "x"}, num_trained_on=5)
    other = network("b --fast", 0.5, parameters=4, data={"fingerprint": "x"}, num_trained_on=5)
    [mean] = predictions.means([{" --fast": one, " --best": one}, {" --fast": other}])
    assert mean.name == "mean of 2 --fast" and list(mean.probabilities) == ["training", "test"]
    np.testing.assert_allclose(mean.probabilities["test"], [[0.7, 0.3]], atol=1e-6)
    assert mean.votes is not None and mean.explain is not None
    assert mean.votes["test"][0, 0] == pytest.approx(0.7)
    np.testing.assert_allclose(
        mean.explain(np.zeros((1, 48, 48, 1), np.uint8)), [[0.7, 0.3]], atol=1e-6
    )
    assert mean.info == {"parameters": 7, "data": {"fingerprint": "x"}, "num_trained_on": 5}


def test_each_answer_of_a_bundle_is_explained_by_itself_in_one_view() -> None:
    data = drawn_dataset(7, 7, 7)
    told: list[str] = []
    kinds = predictions.of_bundle(data, open_bundle("shipped"), "net", told.append)
    assert len(told) == 1 and told[0].startswith("  net --fast: right on ")
    kind = ("", ", balanced", ", fer2013")
    assert list(kinds) == [f"{which} --{mode}" for mode in ("fast", "best") for which in kind]
    faces = data.part("validation").images
    for mode in ("fast", "best"):
        for which in ("", ", balanced", ", fer2013"):
            network = kinds[f"{which} --{mode}"]
            assert network.explain is not None and network.explained == f"net{which} --fast"
            one_view = kinds[f"{which} --fast"].probabilities["validation"]
            np.testing.assert_allclose(network.explain(faces), one_view, atol=1e-6)
    shown, alone = (
        kinds[f"{which} --fast"].probabilities["validation"] for which in ("", ", fer2013")
    )
    assert np.abs(shown - alone).max() > 1e-3


def test_a_bundle_of_somebody_else_with_two_heads_and_no_votes(
    faces: Dataset, tmp_path: Path
) -> None:
    bundle = write_toy(tmp_path / "toy", ("expression", "mood"), training={"data": None})
    voted = dataclasses.replace(faces, votes=np.ones((len(faces), len(FERPLUS_VOTES)), np.uint8))
    kinds = predictions.of_bundle(voted, bundle, "toy", print)
    assert list(kinds)[:2] == [" --fast", ", expression --fast"]
    assert all(
        network.votes is None and network.info["num_trained_on"] is None
        for network in kinds.values()
    )


def test_the_mean_says_only_what_all_its_networks_say() -> None:
    one = network("a", 0.9, parameters=3, data={"fingerprint": "x"})
    other = network("b", 0.5, votes=False, data={"fingerprint": "y"})
    del other.probabilities["training"]  # type: ignore[attr-defined]
    [mean] = predictions.means([{"": one}, {"": other}])
    assert list(mean.probabilities) == ["test"] and mean.votes is None
    assert mean.info == {
        "members": [
            {"name": name, "data": {"fingerprint": f}} for name, f in (("a", "x"), ("b", "y"))
        ]
    }
    assert predictions.means([{"": one}]) == []


def test_predictions_are_those_of_the_verb() -> None:
    data = drawn_dataset(7, 7, 7)
    kinds = predictions.of_bundle(data, open_bundle("shipped"), "mien", print)
    for mode in ("fast", "best"):
        found = mien.predictions(data, "shipped", mode=mode)
        assert [one.name for one in found] == [
            one.name for kind, one in kinds.items() if kind.endswith(mode)
        ]
        for one in found:
            expected = kinds[one.name.removeprefix("mien")].probabilities
            assert list(one.probabilities) == list(expected)
            for split, rows in one.probabilities.items():
                np.testing.assert_allclose(rows, expected[split], atol=1e-6)
    [named, *_] = mien.predictions(data, open_bundle("shipped"), name="net")
    assert named.name == "net --fast"


def test_predictions_that_cannot_be_had() -> None:
    data = drawn_dataset(7, 7, 7)
    with pytest.raises(UsageError, match="mode: got 'slow'"):
        mien.predictions(data, "shipped", mode="slow")
    with pytest.raises(UsageError, match=r"got no labelled rows.*'best'"):
        mien.predictions(data.part("training"), "shipped", mode="best")
    with pytest.raises(BundleError):
        mien.predictions(data, "nowhere")
    other = data.with_labels(LabelSet(data.label_set.names[::-1]))
    with pytest.raises(UsageError, match=r"Fix: .*with_labels"):
        mien.predictions(other, "shipped")


def test_networks_are_judged_as_the_verb_judges_them() -> None:
    """Labels that the data lacks or has besides, in another order, and no splits."""
    data = drawn_dataset(14, 7, 7).part("training")
    labels = LabelSet(("neutral", "wink", "happy", "sad"))
    names = np.array(labels.names)[data.labels % 4]
    strange = dataclasses.replace(
        data, label_set=labels, labels=np.array([labels.index(name) for name in names])
    )
    evaluation = mien.evaluate(strange, "shipped", num_bootstrap=0, num_maps=0)
    assert [network.name for network in evaluation.networks] == [
        *("mien --fast", "mien, balanced --fast", "mien, fer2013 --fast"),
    ]
    assert evaluation.truth["measured"] == ["test"]
    assert len(evaluation.dataset) == int(np.sum(names != "wink"))
    assert any("of wink" in note for note in evaluation.dataset.notes)
    [known, *_] = mien.predictions(evaluation.dataset, "shipped")
    np.testing.assert_array_equal(
        known.probabilities["test"], evaluation.networks[0].probabilities["test"]
    )
    again = mien.evaluate(evaluation.dataset, known, num_bootstrap=0, num_maps=0)
    assert again.truth["networks"][0]["splits"] == evaluation.truth["networks"][0]["splits"]
    twice = mien.evaluate(strange, ["shipped", open_bundle("shipped")], num_bootstrap=0, num_maps=0)
    assert [network.name for network in twice.networks][::3] == ["mien 1 --fast", "mien 2 --fast"]
    with pytest.raises(UsageError, match=r"got predictions beside runs or bundles.*Fix"):
        mien.evaluate(evaluation.dataset, [known, "shipped"])  # type: ignore[list-item]
