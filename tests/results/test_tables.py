"""Answers as a table of pandas: the columns of the csv, with types."""

import builtins
import io
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from some_frames import face, frame, random_face

from mien.errors import DataError, MissingExtraError, UsageError
from mien.labels import FER2013
from mien.results import Faces, Frames
from mien.results.columns import column_kinds
from mien.results.writers import open_writer

HEADS = {"votes": {"happy": 0.25, "contempt": 0.75}}
PRIOR = {"prior": "everyday"}
FRAMES = Frames(
    [
        frame(random_face(1, track=2), random_face(2, uncertain=True, reason="small"), **PRIOR),
        frame(source="empty.jpg", labels=FER2013.names, **PRIOR),
        frame(source="bad.jpg", error="a corrupt picture", width=0, height=0, **PRIOR),
    ]
)


def test_a_table_is_what_the_csv_holds() -> None:
    table = FRAMES.to_frame()
    held = io.StringIO()
    with open_writer(held, "csv", labels=FER2013.names) as writer:
        for one in FRAMES:
            writer.write(one)
    read = pd.read_csv(io.StringIO(held.getvalue()))
    assert list(table) == list(read) == list(column_kinds(FER2013.names))
    assert len(table) == len(read) == 4
    for name in table:
        left, right = table[name].astype(object), read[name].astype(object)
        assert list(left.isna()) == list(right.isna())
        for mine, theirs in zip(left.dropna(), right.dropna(), strict=True):
            assert mine == (pytest.approx(theirs) if isinstance(theirs, float) else theirs)


def test_types_know_missing_values() -> None:
    table = FRAMES.to_frame()
    kinds = {str(table[name].dtype) for name in table}
    assert kinds == {"string", "Int64", "float32", "float64", "boolean"}
    assert table["faces"].tolist()[:3] == [2, 2, 0] and table["faces"].isna().tolist()[3]
    certain = table[~table["uncertain"]]  # a missing one is left out
    assert len(certain) == 1 and table.groupby("source").size().to_dict()["empty.jpg"] == 1


def test_a_picture_without_a_face_has_all_columns() -> None:
    alone = frame(labels=FER2013.names, heads={"votes": ("happy", "contempt")}).to_frame()
    found = frame(face(heads=HEADS)).to_frame()
    assert list(alone) == list(found) and len(alone) == 1
    assert "p_votes_contempt" in alone and alone["p_happy"].isna().all()


def test_raw_probabilities_and_other_presets() -> None:
    followed = frame(face(raw=random_face(6).probabilities, heads=HEADS), time_s=0.5)
    assert followed.to_frame()["raw_happy"].notna().all()
    for preset in ("openface", "pyfeat"):
        assert list(followed.to_frame(preset)) == list(column_kinds(FER2013.names, preset))
    with pytest.raises(UsageError, match="got 'excel'"):
        followed.to_frame("excel")


def test_faces_alone_have_the_columns_of_a_face() -> None:
    table = Faces([face(heads=HEADS)]).to_frame()
    whole = frame(face(heads=HEADS)).to_frame()
    assert set(whole) - set(table) == {
        *("source", "frame", "time_s", "width", "height", "detector", "prior", "faces"),
        *("error", "note", "drawn"),
    }
    np.testing.assert_allclose(table["p_happy"], whole["p_happy"])
    empty = Faces(labels=FER2013.names, heads={"votes": ("happy", "contempt")}).to_frame()
    assert len(empty) == 0 and list(empty) == list(table)


def test_two_networks_make_no_table() -> None:
    other = frame(face(probabilities={"happy": 0.5, "wink": 0.5}))
    with pytest.raises(DataError, match="got a face with the labels happy, wink"):
        Frames([*FRAMES, other]).to_frame()


def test_without_pandas_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pandas")
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"pandas.*extra \[pandas\]"):
        FRAMES.to_frame()
