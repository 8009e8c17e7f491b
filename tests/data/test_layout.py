"""Folders as they lie on people's disks: which level is split, label or person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.dataset import SPLITS
from mien.data.layout import label_of, list_folder, split_folders
from mien.data.readers import load_dataset
from mien.data.split import with_validation
from mien.data.tree import walk
from mien.errors import DataError

LABELS = ("angry", "happy", "sad")


def save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    value = int.from_bytes(str(path).encode()[-9:], "little") % 251
    Image.fromarray(np.full((48, 48), value, np.uint8)).save(path)


def tree(root: Path, *patterns: str, labels: tuple[str, ...] = LABELS) -> Path:
    """Two pictures in each folder that a pattern makes; L stands for each label, P for each
    person.
    """
    for pattern in patterns:
        for label in labels:
            for person in ("S01", "S02", "S03", "S04") if "P" in pattern else ("",):
                for name in ("a.png", "b.png"):
                    save(root / pattern.replace("L", label).replace("P", person) / name)
    return root


# patterns: pictures in training, validation and test, and whether persons are known
LAYOUTS: dict[str, tuple[tuple[str, ...], tuple[int, int, int], bool]] = {
    "label": (("L",), (6, 0, 0), False),
    "split/label": (("train/L", "test/L"), (6, 0, 6), False),
    "sets": (("train_set/L", "val_set/L"), (6, 6, 0), False),
    "data": (("train_data/L", "test_data/L"), (6, 0, 6), False),
    "camels": (("TrainingSet/L", "TestSet/L"), (6, 0, 6), False),
    "FER+'s own": (("FER2013Train/L", "FER2013Valid/L", "FER2013Test/L"), (6, 6, 6), False),
    "names with blanks": (("train images/L", "private test/L"), (6, 0, 6), False),
    "numbered": (("1_train/L", "2_test/L"), (6, 0, 6), False),
    "eval validates": (("train/L", "eval/L"), (6, 6, 0), False),
    "eval tests": (("train/L", "val/L", "eval/L"), (6, 6, 6), False),
    "wrapped": (("archive (3)/DATASET/train/L", "archive (3)/DATASET/test/L"), (6, 0, 6), False),
    "split in split": (("train/train/L", "test/test/L"), (6, 0, 6), False),
    "wrapped below": (("train/images/L", "val/L"), (6, 6, 0), False),
    "persons below": (("L/P",), (24, 0, 0), True),
    "persons above": (("P/L",), (24, 0, 0), True),
    "persons in splits": (("train/L/P", "test/P/L"), (24, 0, 24), True),
    "one more folder": (("L/images",), (6, 0, 0), False),
    "a test split alone": (("test/L",), (0, 0, 6), False),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path: Path, name: str) -> None:
    patterns, counts, persons = LAYOUTS[name]
    dataset = load_dataset(tree(tmp_path / "data", *patterns))
    assert [dataset.label_set[k] for k in np.unique(dataset.labels)] == ["angry", "happy", "sad"]
    assert tuple(dataset.counts().sum(axis=1)) == counts
    if persons:
        assert dataset.groups is not None
        assert set(dataset.groups) == {"S01", "S02", "S03", "S04"}
        assert any("name 4 groups (S01, S02, S03, ...)" in note for note in dataset.notes)
    else:
        assert dataset.groups is None


def test_labels_of_ones_own_below_wrappers(tmp_path: Path) -> None:
    data = tree(
        tmp_path / "d",
        *("train/train_class/L", "test/test_class/L"),
        labels=("class001", "class002", "class003"),
    )
    dataset = load_dataset(data)
    assert dataset.label_set.names == ("class001", "class002", "class003")
    assert tuple(dataset.counts().sum(axis=1)) == (6, 0, 6)


def test_expressions_with_something_beside_them(tmp_path: Path) -> None:
    names = ("0_Angry", "01 - happiness", "SadFaces", "surprise images", "5.Neutral")
    for split in ("train", "test"):
        for name in names:
            save(tmp_path / "d" / split / name / "1.png")
    dataset = load_dataset(tmp_path / "d")
    assert {dataset.label_set[k] for k in dataset.labels} == {
        *("angry", "happy", "sad", "surprise", "neutral")
    }
    assert label_of("happy_angry") == "happy_angry" and label_of("not happy") == "not_happy"


def test_rafdb_as_kaggle_has_it(tmp_path: Path) -> None:
    data = tree(tmp_path / "raf", "DATASET/train/L", "DATASET/test/L", labels=tuple("1234567"))
    for split in ("train", "test"):
        pictures = sorted((data / "DATASET" / split).rglob("*.png"))
        lines = ["image,label"]
        for n, path in enumerate(pictures):
            to = path.rename(path.with_name(f"{split}_{n:05d}_aligned.png"))
            lines.append(f"{to.name},{to.parent.name}")
        (data / f"{split}_labels.csv").write_text("\r\n".join(lines))
    dataset = load_dataset(data)
    assert dataset.label_set.names == tuple("1234567") and len(dataset) == 28
    assert "2 file(s) beside the label folders were not read." in dataset.notes


def test_a_folder_without_pictures_is_no_split(tmp_path: Path) -> None:
    data = tree(tmp_path / "d", "train/L", "val/L")
    (data / "annotations").mkdir()
    (data / "annotations" / "1.npy").write_bytes(b"x")
    assert len(load_dataset(data)) == 12


def test_a_test_folder_without_labels_is_left_out_and_said(tmp_path: Path) -> None:
    root = tree(tmp_path / "faces", "train/L")
    num = len(load_dataset(root))
    for number in range(3):
        save(root / "test" / f"{number}.png")
    dataset = load_dataset(root)
    assert len(dataset) == num and not dataset.mask("test").any()
    assert (
        "test holds 3 pictures without labels, which were left out: mien predict recognises them."
        in dataset.notes
    )
    save(root / "train" / "loose.png")
    with pytest.raises(DataError, match="got a picture outside any label folder"):
        load_dataset(root)


def test_validation_by_persons_from_folders(tmp_path: Path) -> None:
    dataset = with_validation(load_dataset(tree(tmp_path / "d", "L/P")), 0.25)
    assert dataset.groups is not None
    validates = dataset.mask("validation")
    assert not set(dataset.groups[validates]) & set(dataset.groups[~validates])
    assert validates.sum() == 6


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    elsewhere = tree(tmp_path / "elsewhere", "L")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to(elsewhere)
    (tmp_path / "data" / "test").mkdir()
    for label in LABELS:
        (tmp_path / "data" / "test" / label).symlink_to(elsewhere / label)
    assert tuple(load_dataset(tmp_path / "data").counts().sum(axis=1)) == (6, 0, 6)


def test_splits_told_by_names_and_folders_do_not_contradict(tmp_path: Path) -> None:
    for label in LABELS:
        for name in ("Training_1.jpg", "PublicTest_2.jpg", "PrivateTest_3.jpg"):
            save(tmp_path / "d" / label / name)
    notes = load_dataset(tmp_path / "d").notes
    assert any("3 PrivateTest (test)" in note for note in notes)
    assert not any("no splits" in note for note in notes)


def test_split_names() -> None:
    assert split_folders(["train", "Test", "notes"]) == {"train": "training", "Test": "test"}
    assert split_folders(["happy", "sad"]) == {}
    assert split_folders(["train_happy", "test_happy"]) == {}
    assert split_folders(["my train", "other"]) == {}  # words count where all folders have them
    assert SPLITS == ("training", "validation", "test")


def test_misspelt_splits_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not known splits: tets, trian"):
        load_dataset(tree(tmp_path / "d", "trian/L", "tets/L"))


def groups_of(tmp_path: Path, paths: list[str]) -> list[str]:
    for number, path in enumerate(paths):
        save(tmp_path / path / f"{number}.png")
    return sorted(set(list_folder(tmp_path, walk(tmp_path)).groups))


@pytest.mark.parametrize(
    ("levels", "groups"),
    [
        ("{e}/S{n}/{k:03d}", ["S0", "S1", "S2", "S3"]),  # sequences of persons
        ("subject{n}/session{k}/{e}", ["subject0", "subject1", "subject2", "subject3"]),
        ("female/P{n}/{e}", ["P0", "P1", "P2", "P3"]),
        ("{e}/anna{n}/{k:03d}", ["anna0", "anna1", "anna2", "anna3"]),
        ("{e}/{s}/S{n}", ["S0", "S1", "S2", "S3"]),
        ("{e}/{s}", ["high", "low"]),
    ],
)
def test_a_person_is_whole_whatever_lies_below(
    tmp_path: Path, levels: str, groups: list[str]
) -> None:
    paths = [
        levels.format(e=e, n=n, k=k, s=("high", "low")[k])
        for e in ("happy", "sad")
        for n in range(4)
        for k in range(2)
    ]
    assert groups_of(tmp_path, list(dict.fromkeys(paths))) == groups


def test_two_persons_are_no_misspelt_splits(tmp_path: Path) -> None:
    paths = [f"P{n}/{e}" for n in (1, 2) for e in ("happy", "sad")]
    assert groups_of(tmp_path, paths) == ["P1", "P2"]


def test_persons_are_no_labels(tmp_path: Path) -> None:
    """As CK+ and KDEF come: their labels are elsewhere."""
    for person in ("S005", "S010"):
        save(tmp_path / person / "001" / "a.png")
    with pytest.raises(DataError, match="folders that name persons, not labels: S005, S010"):
        load_dataset(tmp_path)


def test_persons_that_splits_cut_are_told(tmp_path: Path) -> None:
    for split, persons in (("train", "123"), ("test", "345")):
        for person in persons:
            for label in ("happy", "sad"):
                save(tmp_path / split / label / f"S{person}" / "a.png")
    note = "Of 5 groups 1 (S3) have pictures in training and in test (1): figures on these splits"
    assert any(one.startswith(note) for one in load_dataset(tmp_path).notes)
