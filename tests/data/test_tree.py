"""The content of a folder, before any file is opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mien.data import folders
from mien.data.readers import load_dataset
from mien.data.tree import Tree, holds_pictures, walk
from mien.errors import DataError

DEEP = 1100  # levels, more than Python's limit of recursion


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_the_content_is_sorted_without_litter(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.png", "b/1.JPG", "a.txt", ".x/1.png", "__MACOSX/b/._1.png", "b/Thumbs.db")
    (tmp_path / "b" / "again").symlink_to(tmp_path)
    tree = walk(tmp_path)
    assert tree.pictures == [("b", "1.JPG"), ("b", "2.png")]
    assert tree.others == [("a.txt",)]
    assert tree.folders == [("b",), ("b", "again")]
    assert tree.loops == [("b", "again")]


def test_a_folder_of_litter_holds_no_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "__MACOSX/b/1.png", "b/._1.png")
    assert not holds_pictures(tmp_path)
    touch(tmp_path, "b/1.png")
    assert holds_pictures(tmp_path)


def test_a_thousand_levels_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faces").mkdir()
    monkeypatch.chdir(tmp_path / "faces")
    for _ in range(DEEP):
        os.mkdir("d")
        os.chdir("d")
    try:
        with pytest.raises(DataError, match="without a single picture"):
            load_dataset(tmp_path / "faces")
    finally:  # pytest's own removal is recursive
        for _ in range(DEEP):
            os.chdir("..")
            os.rmdir("d")


def test_a_folder_is_walked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "cats/1.png", "dogs/1.png", "notes.txt")
    walks: list[Path] = []

    def counted(folder: Path) -> Tree:
        walks.append(folder)
        return walk(folder)

    monkeypatch.setattr(folders, "walk", counted)
    listing = folders.list_pictures(tmp_path)
    assert listing.labels == ["cats", "dogs"] and walks == [tmp_path]
