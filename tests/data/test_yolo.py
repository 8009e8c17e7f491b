"""Data sets with a file of boxes for each picture, and annotations that are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.dataset import SPLITS, Dataset
from mien.data.readers import load_dataset
from mien.errors import DataError
from mien.labels import FERPLUS

NAMES = ("Anger", "Contempt", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
LISTS = {
    "one line": f"nc: 8\nnames: {list(NAMES)}\nroboflow: {{a: []}}\n",
    "plain words": f"names: [{', '.join(NAMES)}]  # in this order\ntrain: x\n",
    "mapping": "names: {" + ", ".join(f"{k}: {name}" for k, name in enumerate(NAMES)) + "}",
    "a line each": "names:\n" + "".join(f"- '{name}'\n" for name in NAMES) + "nc: 8\n",
    "numbered": "# classes\nnames:\n  # first\n"
    + "".join(f"  {k}: {name}  # {k}\n" for k, name in enumerate(NAMES))
    + "path: ../x\n",
}


def save(root: Path, split: str, n: int, boxes: str, *, split_first: bool = True) -> None:
    """Picture n, whose gray is n, and its boxes."""
    for kind, name in (("images", f"{n:03d}.png"), ("labels", f"{n:03d}.txt")):
        folder = root / split / kind if split_first else root / kind / split
        folder.mkdir(parents=True, exist_ok=True)
        if kind == "images":
            Image.new("L", (48, 48), n).save(folder / name)
        else:
            (folder / name).write_text(boxes)


def make(root: Path, *, split_first: bool = True) -> Path:
    """Picture n is of class n % 8."""
    for n in range(24):
        split = ("train", "valid", "test")[n // 8]
        save(root, split, n, f"{n % 8} 0.5 0.5 0.9 0.9\n", split_first=split_first)
    (root / "data.yaml").write_text(LISTS["one line"])
    return root


def label(dataset: Dataset, gray: int) -> str:
    (row,) = np.flatnonzero(dataset.images[:, 0, 0, 0] == gray)
    return dataset.label_set[int(dataset.labels[row])]


@pytest.mark.parametrize("split_first", [True, False])
@pytest.mark.parametrize("names", LISTS)
def test_classes_splits_and_names(tmp_path: Path, names: str, split_first: bool) -> None:
    root = make(tmp_path / "set", split_first=split_first)
    (root / "data.yaml").write_text(LISTS[names])
    (root / "README.txt").write_text("Affect in faces")
    dataset = load_dataset(root)
    assert len(dataset) == 24 and set(dataset.label_set) == set(FERPLUS)
    assert [label(dataset, n) for n in (0, 1, 12, 23)] == ["angry", "contempt", "happy", "surprise"]
    assert [int(np.sum(dataset.splits == k)) for k in range(len(SPLITS))] == [8, 8, 8]
    assert dataset.notes[0] == (
        "The labels of 24 pictures were read from their files of boxes (YOLO), and their names "
        "from data.yaml; of several boxes the largest counts."
    )


def test_the_largest_box_counts_and_pictures_without_one_are_told(tmp_path: Path) -> None:
    root = make(tmp_path / "set")
    save(root, "train", 100, "3 .5 .5 .1 .1\n\n6 .5 .5 .8 .8\n2 .5 .5 .3 .3\n")
    save(root, "train", 101, "5 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9\n7 0.5 0.5 0.1 0.1")  # an outline
    save(root, "train", 102, "")
    Image.new("L", (48, 48), 103).save(root / "train" / "images" / "103.png")
    dataset = load_dataset(root)
    assert len(dataset) == 26
    assert (label(dataset, 100), label(dataset, 101)) == ("sad", "neutral")
    told = "2 pictures without a box were left out, such as train/images/102.png."
    assert told in dataset.notes


def test_without_names_the_numbers_stay(tmp_path: Path) -> None:
    root = make(tmp_path / "set")
    (root / "data.yaml").unlink()
    dataset = load_dataset(root)
    assert list(dataset.label_set) == list("01234567")
    assert "--labels" in " ".join(dataset.notes)
    (root / "classes.txt").write_text("\n".join(NAMES))
    assert label(load_dataset(root), 4) == "happy"


@pytest.mark.parametrize(
    "line", ["8 .5 .5 .9 .9", "1 .5 .5 .9", "happy .5 .5 .9 .9", "0.5 1 1 1 1"]
)
def test_a_bad_line_is_named_or_left_out(tmp_path: Path, line: str) -> None:
    root = make(tmp_path / "set")
    save(root, "train", 100, f"1 .5 .5 .2 .2\n{line}\n")
    with pytest.raises(DataError, match=r"a class and a box.*of the classes 0 to 7") as caught:
        load_dataset(root)
    assert (caught.value.row, caught.value.got) == (2, repr(line))
    assert caught.value.where.endswith("100.txt")
    left_out = load_dataset(root, on_error="skip").left_out
    assert [(one.where.endswith("100.txt"), one.row) for one in left_out] == [(True, 2)]


def test_texts_beside_pictures_are_no_boxes(tmp_path: Path) -> None:
    for n in range(4):
        Image.new("L", (48, 48), n).save(tmp_path / f"{n}.png")
        (tmp_path / f"{n}.txt").write_text("a photograph of a cat")
    with pytest.raises(DataError, match="pictures without labels: no folders, table or names"):
        load_dataset(tmp_path)


def test_coco_and_voc_are_refused_by_name(tmp_path: Path) -> None:
    for kind in ("coco", "voc"):
        for n in range(4):
            (tmp_path / kind / "train").mkdir(parents=True, exist_ok=True)
            Image.new("L", (48, 48), n).save(tmp_path / kind / "train" / f"{n}.jpg")
    facts = json.dumps({"images": [], "annotations": [], "categories": []})
    (tmp_path / "coco" / "train" / "_annotations.coco.json").write_text(facts)
    xml = "<annotation><object><name>happy</name></object></annotation>"
    (tmp_path / "voc" / "train" / "2.xml").write_text(xml)
    for kind, name in (("coco", "COCO"), ("voc", "Pascal VOC")):
        with pytest.raises(DataError, match=f"annotations of {name}, which mien does not read.*YO"):
            load_dataset(tmp_path / kind)
