"""One list of picture formats for training and for use; both follow links to folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, features

from mien.cli.sources import collect
from mien.data.readers import load_dataset
from mien.errors import DataError
from mien.vision.formats import PICTURE_SUFFIXES, is_picture_name

LABELS = ("happy", "sad")


def folder(root: Path, suffix: str) -> Path:
    for label in LABELS:
        (root / label).mkdir(parents=True)
        Image.new("RGB", (48, 48), 90).save(root / label / f"1{suffix}")
    return root


@pytest.mark.parametrize(
    "suffix", [".JPG", ".jpe", ".webp", ".tif", ".bmp", ".gif", ".ppm", ".avif"]
)
def test_what_predict_takes_training_takes(tmp_path: Path, suffix: str) -> None:
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    root = folder(tmp_path / "faces", suffix)
    assert len(load_dataset(root)) == 2
    assert len(collect([str(root)], say=lambda text: None)) == 2


def test_a_format_without_its_decoder_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path / "faces", ".png")
    (root / "sad" / "2.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    assert len(collect([str(root)], say=lambda text: None)) == 3
    with pytest.raises(DataError) as caught:
        load_dataset(root)
    assert caught.value.where.endswith("2.heic")
    assert len(load_dataset(root, on_error="skip").left_out) == 1


def test_names() -> None:
    assert len(PICTURE_SUFFIXES) > 15 and all(one == one.lower() for one in PICTURE_SUFFIXES)
    assert is_picture_name("a/b.HEIC") and not is_picture_name("a/b.txt")


def test_links_are_followed_once(tmp_path: Path) -> None:
    root = folder(tmp_path / "faces", ".png")
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "link").symlink_to(root)
    said: list[str] = []
    assert len(collect([str(tmp_path / "album")], say=said.append)) == 2 and said == []
    (root / "sad" / "back").symlink_to(tmp_path / "album")
    assert len(collect([str(tmp_path / "album")], say=said.append)) == 2
    assert len(said) == 1 and "already searched" in said[0]
