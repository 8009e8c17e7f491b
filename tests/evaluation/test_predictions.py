from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_bundle import write_toy

from mien.bundle import open_bundle
from mien.data.dataset import Dataset
from mien.data.synthetic import drawn_dataset
from mien.evaluation import predictions
from mien.evaluation.evaluate import Predictions
from mien.labels import FERPLUS_VOTES


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
