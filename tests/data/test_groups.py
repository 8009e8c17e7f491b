"""Tables of whose picture is whose, as people write them."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.dataset import Dataset
from mien.data.groups import with_groups
from mien.data.readers import load_dataset
from mien.errors import DataError, UsageError

LABELS = ("angry", "happy", "sad")


def folder(root: Path) -> Path:
    for k, label in enumerate(LABELS):
        for name in ("Ann_1.png", "Bob_2.png"):
            (root / label).mkdir(parents=True, exist_ok=True)
            Image.new("L", (48, 48), 40 * k + len(name)).save(root / label / name)
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> Dataset:
    return load_dataset(folder(tmp_path / "faces"))


ROWS = [f"{label}/{name}_{n}.png" for label in LABELS for name, n in (("Ann", 1), ("Bob", 2))]
TABLES: dict[str, bytes] = {
    "file,person": "\n".join(
        ["file,label,person", *(f"{row},x,{row.split('/')[1][:3]}" for row in ROWS)]
    ).encode(),
    "folders in front": "\r\n".join(
        ["person;path", *(f"{row.split('/')[1][:3]};data/faces/{row}" for row in ROWS)]
    ).encode("utf-8-sig"),
    "backslashes": "\n".join(
        [
            "Image\tSubject ID",
            *(f"{row}\t{row.split('/')[1][:3]}".replace("/", "\\") for row in ROWS),
        ]
    ).encode("utf-16"),
    "upper case": "\n".join(
        ['"FILENAME","Identity"', *(f'"{row.upper()}","{row.split("/")[1][:3]}"' for row in ROWS)]
    ).encode(),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables(tmp_path: Path, pictures: Dataset, kind: str) -> None:
    (tmp_path / "who.csv").write_bytes(TABLES[kind])
    dataset = with_groups(pictures, tmp_path / "who.csv")
    assert dataset.groups is not None
    assert dataset.groups.tolist() == ["Ann", "Bob"] * 3
    assert "2 groups were read" in dataset.notes[-1]


def test_names_alone_are_enough_where_they_are_unambiguous(
    tmp_path: Path, pictures: Dataset
) -> None:
    (tmp_path / "who.csv").write_text("name,group\nAnn_1.png,a\nBob_2.png,b\n")
    dataset = with_groups(pictures, tmp_path / "who.csv")
    assert dataset.groups is not None
    assert dataset.groups.tolist() == ["a", "b"] * 3


def test_pictures_that_are_not_in_the_table_are_told(tmp_path: Path, pictures: Dataset) -> None:
    (tmp_path / "who.csv").write_text("file,person\nangry/Ann_1.png,Ann\n")
    dataset = with_groups(pictures, tmp_path / "who.csv")
    assert dataset.groups is not None
    assert dataset.groups.tolist() == ["Ann", "", "", "", "", ""]
    assert "5 pictures are not in it" in dataset.notes[-1]


def test_pictures_that_are_not_in_the_table_keep_their_group(
    tmp_path: Path, pictures: Dataset
) -> None:
    known = dataclasses.replace(
        pictures, groups=np.array(["Ann", "Bob", "Ann", "Bob", "Ann", ""], object)
    )
    (tmp_path / "who.csv").write_text("file,person\nangry/Ann_1.png,Eve\n")
    dataset = with_groups(known, tmp_path / "who.csv")
    assert dataset.groups is not None
    assert dataset.groups.tolist() == ["Eve", "Bob", "Ann", "Bob", "Ann", ""]
    assert "1 groups were read" in dataset.notes[-1]
    assert "5 pictures are not in it: 4 keep the group they had" in dataset.notes[-1]


def test_a_table_inside_of_the_data_is_found(tmp_path: Path) -> None:
    faces = folder(tmp_path / "faces")
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.writestr("who.csv", TABLES["file,person"])
        for path in sorted(faces.rglob("*.png")):
            archive.write(path, Path("faces") / path.relative_to(faces))
    (faces / "who.csv").write_bytes(TABLES["file,person"])
    for source in (faces, tmp_path / "faces.zip"):
        dataset = with_groups(load_dataset(source), "who.csv")
        assert dataset.groups is not None
        assert dataset.groups.tolist() == ["Ann", "Bob"] * 3
        for name in ("angry", ".", "who[.csv"):  # a folder, and no names of files
            with pytest.raises(DataError, match="no such file"):
                with_groups(load_dataset(source), name)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("file,mood\na,b\n", "the columns 'file', 'mood'"),
        ("person,mood\na,b\n", "the columns 'person', 'mood'"),
        ("", "an empty table"),
        ("file,person\n", "a table without rows"),
        ("file,person\nother.png,Ann\n", "no path of a picture"),
        ("file,person\na,b,c\n", "3 fields"),
    ],
)
def test_bad_tables(tmp_path: Path, pictures: Dataset, text: str, got: str) -> None:
    (tmp_path / "who.csv").write_text(text)
    with pytest.raises(DataError, match=got):
        with_groups(pictures, tmp_path / "who.csv")


def test_data_without_files(tmp_path: Path, faces: Dataset) -> None:
    with pytest.raises(UsageError, match="no picture files"):
        with_groups(faces, tmp_path / "who.csv")
    with pytest.raises(DataError, match="no such file"):
        with_groups(load_dataset(folder(tmp_path / "faces")), tmp_path / "who.csv")
