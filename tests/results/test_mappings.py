"""Mappings of answers: read-only, in order, and what other libraries make of them."""

import copy
import json
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mien.results.mappings import Probabilities

SOME = Probabilities(sad=0.125, happy=0.625, neutral=0.25)


def test_they_are_in_order_and_a_row() -> None:
    assert list(SOME) == ["sad", "happy", "neutral"]
    row = np.asarray(list(SOME.values()))
    np.testing.assert_array_equal(row, [0.125, 0.625, 0.25])
    assert np.asarray(SOME).dtype == np.float32
    np.testing.assert_array_equal(np.asarray(SOME), row)
    assert np.array([SOME, SOME], np.float64).shape == (2, 3)


@pytest.mark.parametrize(
    "change",
    [
        lambda some: some.__setitem__("sad", 1.0),
        lambda some: some.__delitem__("sad"),
        lambda some: some.update(sad=1.0),
        lambda some: some.setdefault("joy", 1.0),
        lambda some: some.pop("sad"),
        lambda some: some.popitem(),
        lambda some: some.clear(),
        lambda some: some.__ior__({"sad": 1.0}),
    ],
)
def test_nothing_changes_them(change: Any) -> None:
    one = Probabilities(SOME)
    with pytest.raises(
        TypeError, match=r"got a change to a read-only mapping; expected .* Fix: change a copy"
    ):
        change(one)
    assert one == SOME
    assert dict(SOME) | {"sad": 1.0} == {"sad": 1.0, "happy": 0.625, "neutral": 0.25}


def test_an_unknown_name_is_told_which_there_are() -> None:
    with pytest.raises(KeyError, match="got 'joy'; expected one of sad, happy, neutral"):
        SOME["joy"]
    assert SOME.get("joy") is None and "joy" not in SOME


def test_they_can_be_stored_and_compared() -> None:
    for again in (pickle.loads(pickle.dumps(SOME)), copy.deepcopy(SOME)):  # noqa: S301
        assert type(again) is Probabilities and again == SOME and list(again) == list(SOME)
        assert hash(again) == hash(SOME)
    assert json.loads(json.dumps(SOME)) == dict(SOME)
    assert pd.DataFrame([SOME, SOME]).columns.tolist() == ["sad", "happy", "neutral"]
    assert pd.Series(SOME)["happy"] == 0.625
