"""Labels under other names: presets, pairs, and labels that are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.convert import convert
from mien.data.dataset import Dataset
from mien.data.label_names import PRESETS, label_positions, names_for, rename_labels
from mien.data.readers import load_dataset
from mien.errors import DataError, UsageError
from mien.labels import FER2013, FERPLUS


def folders(root: Path, labels: list[str]) -> Path:
    for k, label in enumerate(labels):
        for name in "ab":
            (root / label).mkdir(parents=True, exist_ok=True)
            Image.new("L", (48, 48), 20 * k + ord(name) % 7).save(root / label / f"{name}.png")
    return root


def test_rafdb(tmp_path: Path) -> None:
    data = load_dataset(folders(tmp_path / "raf", [str(n) for n in range(1, 8)]))
    assert data.label_set.names == ("1", "2", "3", "4", "5", "6", "7")
    dataset = rename_labels(data, "rafdb")
    assert dataset.label_set == FER2013
    assert [dataset.label_set[k] for k in dataset.labels[::2]] == [
        *("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
    ]
    assert "1 = surprise" in dataset.notes[-1]


def test_labels_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    data = load_dataset(folders(tmp_path, ["10", "0", "-1", "2", "b", "1"]))
    assert data.label_set.names == ("-1", "0", "1", "2", "10", "b")


def test_affectnet_and_what_has_no_name(tmp_path: Path) -> None:
    data = load_dataset(folders(tmp_path / "affect", [str(n) for n in range(10)]))
    dataset = rename_labels(data, "AffectNet")
    assert dataset.label_set == FERPLUS and len(dataset) == 16
    assert "4 pictures of labels without a name were left out." in dataset.notes


@pytest.mark.parametrize("label", ["01", "1.0", "1"])
def test_numbers_are_one_label_however_written(tmp_path: Path, label: str) -> None:
    data = load_dataset(folders(tmp_path / "x", [label, "2"]))
    dataset = rename_labels(data, "1=joy, 2 = Sadness")
    assert {dataset.label_set[k] for k in dataset.labels} == {"happy", "sad"}


def test_several_labels_become_one(tmp_path: Path) -> None:
    data = load_dataset(folders(tmp_path / "x", ["bored", "tired", "keen"]))
    dataset = rename_labels(data, {"bored": "calm", "tired": "calm"})
    assert dataset.label_set.names == ("calm", "keen")
    assert dataset.counts()[0].tolist() == [4, 2]


def test_order_of_numbers(tmp_path: Path) -> None:
    data = load_dataset(folders(tmp_path / "x", ["10", "9", "1"]))
    assert data.label_set.names == ("1", "9", "10")


def test_presets_are_complete() -> None:
    assert len(PRESETS) == 6
    for preset in PRESETS.values():
        named = {name for name in preset.values() if name}
        assert set(FER2013) <= named and named <= set(FERPLUS)
    assert names_for("rafdb")["4"] == "happy"


@pytest.mark.parametrize("given", ["1", "=happy", "", "rafbd"])
def test_bad_names(given: str) -> None:
    with pytest.raises(UsageError, match="expected one of rafdb"):
        names_for(given)


def test_names_of_other_labels(tmp_path: Path) -> None:
    data = load_dataset(folders(tmp_path / "x", ["happy", "sad"]))
    with pytest.raises(UsageError, match="got names for 1"):
        rename_labels(data, "1=happy")
    with pytest.raises(DataError, match="the single label 'calm'"):
        rename_labels(load_dataset(folders(tmp_path / "y", ["a", "b"])), "a=calm,b=calm")


def test_numbers_that_were_read_as_fer2013s(tmp_path: Path, faces: Dataset) -> None:
    convert(faces, tmp_path / "faces.csv")
    data = load_dataset(tmp_path / "faces.csv")
    assert data.numeric_labels
    dataset = rename_labels(data, "affectnet")
    fear, disgust = FER2013.index("fear"), FER2013.index("disgust")
    assert {dataset.label_set[k] for k in dataset.labels[faces.labels == fear]} == {"sad"}
    assert {dataset.label_set[k] for k in dataset.labels[faces.labels == disgust]} == {"happy"}
    again = rename_labels(load_dataset(tmp_path / "faces.csv"), "fer2013")
    assert (again.labels == faces.labels).all()
    named = rename_labels(data, "happy=calm")
    assert "calm" in named.label_set.names


@pytest.mark.parametrize(
    ("values", "names", "labels", "numbers"),
    [
        ([0, 6, 3], FER2013.names, [0, 6, 3], True),
        ([0.0, float("nan"), "3"], FER2013.names, [0, -1, 3], True),
        ([1, 7], ("1", "7"), [0, 1], False),
        (["Happiness", b"sad", None], FER2013.names, [3, 4, -1], False),
        ([True, False], ("false", "true"), [1, 0], False),
        ([np.int64(2), np.float32(2.0)], FER2013.names, [2, 2], True),
        (["calm", "Calm ", "tense"], ("calm", "tense"), [0, 0, 1], False),
        ([None, ""], FER2013.names, [-1, -1], False),
    ],
)
def test_numbered(
    values: list[object], names: tuple[str, ...], labels: list[int], numbers: bool
) -> None:
    found, label_set, are_numbers = label_positions(values, "here")
    assert (label_set.names, found.tolist(), are_numbers) == (names, labels, numbers)


@pytest.mark.parametrize(
    ("preset", "labels", "fix"),
    [
        ("affectnet", [f"class{n:03d}" for n in range(1, 9)], "1=neutral,2=happy,3=sad"),
        ("affectnet", [f"class{n:03d}" for n in range(1, 8)], "1=neutral,2=happy,3=sad"),
        ("fer2013", [str(n) for n in range(1, 8)], "1=angry,2=disgust,3=fear"),
        ("rafdb", [str(n) for n in range(7)], "0=surprise,1=fear,2=disgust"),
    ],
)
def test_a_preset_that_counts_otherwise_is_refused(
    tmp_path: Path, preset: str, labels: list[str], fix: str
) -> None:
    """The folders class001 to class008 are AffectNet's 0 to 7."""
    data = load_dataset(folders(tmp_path / "x", labels))
    with pytest.raises(UsageError, match=f"whose numbers begin at .*--labels {fix}"):
        rename_labels(data, preset)


def test_presets_that_count_alike(tmp_path: Path) -> None:
    ck = load_dataset(folders(tmp_path / "ck", [str(n) for n in range(1, 8)]))
    assert rename_labels(ck, "CK+").label_set.names[-1] == "contempt"  # CK+ labels nothing neutral
    for name in ("RAF-DB", "raf_db", "RafDB"):
        assert names_for(name) == PRESETS["rafdb"]
    assert names_for("FER+") == PRESETS["ferplus"]
