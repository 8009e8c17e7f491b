"""Faces and frames: what they hold, what they refuse, and the way to JSON and back."""

import dataclasses
import json
import pickle
from typing import Any

import numpy as np
import pytest
from some_frames import POINTS, PROBABILITIES, face, frame

from mien.errors import DataError
from mien.results import Frame, Quality


def test_the_way_to_json_and_back_is_exact() -> None:
    raw = np.asarray(PROBABILITIES, np.float32)
    full = face(
        track=4,
        raw=tuple(raw),
        uncertain=True,
        reason="small",
        heads={"votes": {"happy": 0.25, "contempt": 0.75}},
    )
    frames = (
        frame(full, face(landmarks=None, quality=Quality(9, 1)), index=7, time_s=1 / 3),
        frame(),
        frame(source="b.png", error="a corrupt picture", width=0, height=0),
    )
    for one in frames:
        again = Frame.from_dict(json.loads(json.dumps(one.to_dict(), allow_nan=False)))
        assert again == one
        assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301
        assert isinstance(hash(one), int)


def test_numbers_of_numpy_become_plain() -> None:
    probabilities = np.asarray(PROBABILITIES, np.float32)
    one = face(
        box=np.array([1, 2, 3, 4], np.float32),
        score=np.float32(0.5),
        probabilities=probabilities,
        track=np.int64(3),
    )
    assert type(one.score) is float and type(one.track) is int
    assert {type(value) for value in (*one.box, *one.probabilities.values())} == {float}
    assert np.array_equal(np.asarray(one.probabilities, np.float32), probabilities)
    assert one["happy"] == list(one.probabilities.values())[3]
    with pytest.raises(KeyError):
        one["joyous"]


@pytest.mark.parametrize(
    ("changes", "got"),
    [
        ({"box": (1, 2, 3)}, "the box"),
        ({"box": (5, 2, 3, 4)}, "the box"),
        ({"box": (1, 2, float("nan"), 4)}, "box nan"),
        ({"score": 1.5}, "score 1.5"),
        ({"score": None}, "score None"),
        ({"entropy": -0.1}, "entropy"),
        ({"landmarks": POINTS[:4]}, "4 landmarks"),
        ({"label": "joyous"}, "the label 'joyous'"),
        ({"probabilities": PROBABILITIES[:4]}, "probabilities"),
        ({"probabilities": [0.5, 0.5]}, "probabilities as list"),
        ({"probabilities": (0.5, *PROBABILITIES[1:])}, "probabilities"),
        ({"probabilities": (-0.5, 0.5, *PROBABILITIES[2:])}, "probabilities"),
        ({"raw": (1.0,)}, "raw for angry"),
        ({"heads": {"votes": {"happy": 0.2}}}, "heads"),
    ],
)
def test_values_that_cannot_be_so_are_refused(changes: dict[str, Any], got: str) -> None:
    with pytest.raises(DataError) as caught:
        face(**changes)
    assert got in caught.value.got


def test_frames_that_cannot_be_so_are_refused() -> None:
    with pytest.raises(DataError, match="faces and an error"):
        frame(face(), error="no")
    for changes in ({"index": -1}, {"width": -1}, {"time_s": float("inf")}):
        with pytest.raises(DataError):
            frame(**changes)


def test_json_of_another_kind_is_refused() -> None:
    good = frame(face()).to_dict()
    for spoil in (
        lambda values: values.pop("index"),
        lambda values: values.update(faces=3),
        lambda values: values["faces"][0].pop("probabilities"),
        lambda values: values["faces"][0].update(quality={"sise": 3}),
        lambda values: values["faces"][0].update(landmarks=[[1, 2, 3]]),
    ):
        values = json.loads(json.dumps(good))
        spoil(values)
        with pytest.raises(DataError):
            Frame.from_dict(values)


def test_reprs_are_short() -> None:
    one = face()
    assert repr(one).startswith(f"Face({one.label!r} ") and "box=(" in repr(one)
    assert len(repr(one)) < 120 and one.top == (one.label, one[one.label])
    doubtful = dataclasses.replace(one, uncertain=True, reason="face turned away")
    assert "uncertain: face turned away" in repr(doubtful)
    frame = Frame("a.mp4", 3, 0.12, 64, 48, "yunet", (one,))
    assert repr(frame) == f"Frame('a.mp4' at 0.120 s, 64x48, [{one!r}])"
    with pytest.raises(KeyError, match="joy.*expected one of"):
        one["joy"]
