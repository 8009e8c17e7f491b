from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mien import answers
from mien.evaluation.evaluate import Predictions


def network(name: str, first: float, *, crowd: bool = True, **info: Any) -> Predictions:
    """Says `first` of the first of two labels, on one face of each split."""
    said = np.array([[first, 1 - first]], np.float32)
    eight = np.full((1, 8), 0.125, np.float32) * first * 8
    return Predictions(
        name, {"training": said, "test": said}, info, lambda faces: said, {"test": eight} if crowd else None
    )


def test_the_mean_of_networks_is_that_of_their_probabilities() -> None:
    one = network("a --fast", 0.9, parameters=3, data={"fingerprint": "x"}, num_trained_on=5)
    other = network("b --fast", 0.5, parameters=4, data={"fingerprint": "x"}, num_trained_on=5)
    [mean] = answers.means([{" --fast": one, " --best": one}, {" --fast": other}])
    assert mean.name == "mean of 2 --fast" and list(mean.probabilities) == ["training", "test"]
    np.testing.assert_allclose(mean.probabilities["test"], [[0.7, 0.3]], atol=1e-6)
    assert mean.crowd is not None and mean.explain is not None
    assert mean.crowd["test"][0, 0] == pytest.approx(0.7)
    np.testing.assert_allclose(mean.explain(np.zeros((1, 48, 48, 1), np.uint8)), [[0.7, 0.3]], atol=1e-6)
    assert mean.info == {"parameters": 7, "data": {"fingerprint": "x"}, "num_trained_on": 5}


def test_the_mean_says_only_what_all_its_networks_say() -> None:
    one = network("a", 0.9, parameters=3, data={"fingerprint": "x"})
    other = network("b", 0.5, crowd=False, data={"fingerprint": "y"})
    del other.probabilities["training"]  # type: ignore[attr-defined]
    [mean] = answers.means([{"": one}, {"": other}])
    assert list(mean.probabilities) == ["test"] and mean.crowd is None and mean.info == {}
    assert answers.means([{"": one}]) == []
