from __future__ import annotations

import pytest

from mien.errors import DataError
from mien.labels import FER2013, FERPLUS_VOTES, LabelSet, canonical


def test_fer2013_has_the_order_of_its_emotion_column() -> None:
    assert FER2013.names == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert set(FER2013.names) < set(FERPLUS_VOTES)


@pytest.mark.parametrize(
    ("name", "means"),
    [("Happiness", "happy"), (" anger ", "angry"), ("suprise", "surprise"), ("NEUTRAL", "neutral")],
)
def test_names_are_matched_by_name(name: str, means: str) -> None:
    assert canonical(name) == means
    assert FER2013[FER2013.index(name)] == means
    assert name in FER2013


def test_unknown_names_are_refused() -> None:
    assert "bored" not in FER2013
    with pytest.raises(DataError, match="got the label 'bored'; expected one of angry, disgust"):
        FER2013.index("bored")


@pytest.mark.parametrize("names", [(), ("happy",), ("happy", "happy")])
def test_a_label_set_has_two_or_more_distinct_names(names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="two or more different names"):
        LabelSet(names)


def test_each_label_has_its_own_colour() -> None:
    assert len({FER2013.colour(k) for k in range(len(FER2013))}) == 7
    assert LabelSet(("calm", "bored")).colour(1).startswith("#")
