"""Folders of pictures: layout, names, splits, and what each bad thing in them leads to."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.dataset import SPLITS, Dataset
from mien.data.layout import list_folder
from mien.data.pictures import read_gray
from mien.data.readers import load_dataset
from mien.data.tree import walk
from mien.errors import DataError
from mien.labels import FER2013

SEVEN = (
    "angry",
    "disgust",
    "fear",
    "happy",
    "neutral",
    "sad",
    "surprise",
)  # alphabetical, as folders are


def save(path: Path, value: int = 0, size: tuple[int, int] = (48, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)
    return path


def make(
    root: Path, splits: tuple[str, ...] = ("train", "test"), labels: tuple[str, ...] = SEVEN
) -> Path:
    """Two pictures for each split and label, whose gray is their place in the listing."""
    value = 0
    for split in sorted(splits):
        for label in sorted(labels):
            for name in ("a.png", "b.png"):
                save(root / split / label / name, value)
                value += 1
    return root


def splits_of(dataset: Dataset) -> list[str]:
    return [SPLITS[split] for split in dataset.splits]


def test_labels_are_matched_by_name_not_by_position(tmp_path: Path) -> None:
    dataset = load_dataset(make(tmp_path / "faces"))
    assert len(dataset) == 28 and dataset.label_set == FER2013
    assert [dataset.label_set[label] for label in dataset.labels] == [
        name for name in SEVEN for _ in "ab"
    ] * 2
    assert splits_of(dataset) == ["test"] * 14 + ["training"] * 14
    assert dataset.images[:, 0, 0, 0].tolist() == list(range(28)) and dataset.rows.tolist() == list(
        range(28)
    )
    assert dataset.notes == ()
    listing = list_folder(tmp_path / "faces", walk(tmp_path / "faces"))
    assert listing.pictures[3] == tmp_path / "faces" / "test" / "disgust" / "b.png"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Training", "training"),
        ("VAL", "validation"),
        ("valid", "validation"),
        ("Validation", "validation"),
        ("dev", "validation"),
        ("PublicTest", "validation"),
        ("testing", "test"),
        ("PrivateTest", "test"),
    ],
)
def test_split_names(tmp_path: Path, name: str, split: str) -> None:
    dataset = load_dataset(make(tmp_path / "faces", (name,)))
    assert splits_of(dataset) == [split] * 14


def test_synonyms_and_other_labels(tmp_path: Path) -> None:
    dataset = load_dataset(make(tmp_path / "a", labels=("Happiness", "Anger", "FEARFUL")))
    assert dataset.label_set == FER2013
    assert [dataset.label_set[label] for label in dataset.labels[::2]] == [
        "angry",
        "fear",
        "happy",
    ] * 2
    assert "The data has no picture of: disgust, sad, surprise, neutral." in dataset.notes
    dataset = load_dataset(
        make(tmp_path / "b", labels=("wink", "contempt", "Bored", "neutral", "anger"))
    )
    assert dataset.label_set.names == ("angry", "neutral", "contempt", "bored", "wink")
    with pytest.raises(DataError, match="the single label 'cat'"):
        load_dataset(make(tmp_path / "c", labels=("cat",)))


def test_a_folder_without_splits_is_training(tmp_path: Path) -> None:
    for label in SEVEN:
        save(tmp_path / "faces" / label / "1.png")
    dataset = load_dataset(tmp_path / "faces")
    assert splits_of(dataset) == ["training"] * 7
    assert any("no splits" in note for note in dataset.notes)


def test_wrapping_folders_and_litter_are_passed_over(tmp_path: Path) -> None:
    root = make(tmp_path / "download" / "images" / "images")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (root / "train" / "happy" / name).write_bytes(b"x")
    (root / "train" / ".ipynb_checkpoints").mkdir()
    (root / "README.md").write_text("notes")
    dataset = load_dataset(tmp_path / "download")
    assert len(dataset) == 28
    assert dataset.notes == ("1 file(s) beside the label folders were not read.",)


def test_a_merged_test_folder_is_parted_by_fer2013s_file_names(tmp_path: Path) -> None:
    for label in SEVEN:
        save(tmp_path / "train" / label / "Training_1.jpg")
        save(tmp_path / "test" / label / "PublicTest_2.jpg")
        save(tmp_path / "test" / label / "PrivateTest_3.jpg")
        save(tmp_path / "test" / label / "PrivateTest_4.jpg")
    dataset = load_dataset(tmp_path)
    assert [int(np.sum(dataset.splits == index)) for index in range(3)] == [7, 7, 14]
    assert any("7 PublicTest (validation), 14 PrivateTest (test)" in note for note in dataset.notes)
    # Where the folders part them, the folders decide.
    for label in SEVEN:
        save(tmp_path / "validation" / label / "PrivateTest_9.jpg")
    assert [int(np.sum(load_dataset(tmp_path).splits == index)) for index in range(3)] == [7, 7, 21]


# Pictures


def test_colour_size_and_shape_are_converted_and_said(tmp_path: Path) -> None:
    make(tmp_path, ("train",))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (96, 144, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "train" / "happy" / "c.png")
    save(tmp_path / "train" / "happy" / "d.bmp", 70, (20, 20))
    dataset = load_dataset(tmp_path)
    assert len(dataset) == 16
    gray = pixels.astype(float) @ [0.299, 0.587, 0.114]
    expected = gray.reshape(48, 2, 48, 3).mean(axis=(1, 3))
    assert np.abs(dataset.images[8, :, :, 0] - expected).max() <= 1.01
    assert np.unique(dataset.images[9]).tolist() == [70]
    assert dataset.notes == (
        "Of 16 pictures 1 were converted from colour to gray (ITU-R BT.601).",
        "Of 16 pictures 2 were resized to 48 x 48 (from 20 x 20 to 144 x 96; by area averaging to "
        "shrink, bilinearly to enlarge).",
        "Of 16 pictures 1 were not square and were resized whole, which changed their proportions.",
    )
    again = load_dataset(tmp_path)
    assert again.fingerprint == dataset.fingerprint


def test_of_an_mpo_the_first_picture_is_read(tmp_path: Path) -> None:
    make(tmp_path, ("train",))
    shades = [Image.new("L", (48, 48), shade) for shade in (70, 140)]
    name = tmp_path / "train" / "happy" / "stereo.mpo"
    shades[0].save(name, save_all=True, append_images=shades[1:])
    dataset = load_dataset(tmp_path)
    assert len(dataset) == 15
    assert 70 in {int(np.median(image)) for image in dataset.images}
    assert "Of 15 pictures 1 had several frames, of which the first was read." in dataset.notes


def test_sixteen_bits_alpha_palette_and_orientation(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65_535, 48 * 48).reshape(48, 48).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    deep = read_gray(tmp_path / "deep.png")
    assert deep.steps == ["16-bit"]
    assert np.abs(deep.pixels - ramp / 257).max() <= 0.51

    clear = Image.new("RGBA", (48, 48), (255, 0, 0, 0))
    clear.paste((200, 200, 200, 255), (0, 0, 48, 24))
    clear.save(tmp_path / "clear.png")
    gray = read_gray(tmp_path / "clear.png")
    assert gray.steps == ["alpha"] and gray.pixels[0, 0] == 200 and gray.pixels[47, 47] == 128

    palette = Image.new("RGB", (48, 48), (255, 0, 0)).quantize(4)
    palette.save(tmp_path / "palette.gif")
    assert np.unique(read_gray(tmp_path / "palette.gif").pixels).tolist() == [76]

    turned = Image.new("L", (48, 48), 0)
    turned.paste(255, (0, 0, 48, 16))  # bright on top
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise for display
    turned.save(tmp_path / "turned.png", exif=exif)
    upright = read_gray(tmp_path / "turned.png")
    assert upright.steps == ["turned"]
    assert upright.pixels[24, 40] == 255 and upright.pixels[4, 4] == 0

    frames = [Image.new("L", (48, 48), value) for value in (10, 200)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    moving = read_gray(tmp_path / "moving.gif")
    assert "frames" in moving.steps and moving.pixels[0, 0] == 10


def test_one_side_may_shrink_while_the_other_grows(tmp_path: Path) -> None:
    picture = read_gray(save(tmp_path / "wide.png", 90, (200, 10)))
    assert picture.pixels.shape == (48, 48) and np.unique(picture.pixels).tolist() == [90]
    assert picture.steps == ["resized", "stretched"]


def huge_png(side: int) -> bytes:
    """A PNG that claims side x side pixels and holds none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def cut_png() -> bytes:
    import io

    held = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)).save(
        held, "PNG"
    )
    return held.getvalue()[:-1000]


BAD_FILES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "zero bytes": ("z.png", lambda: b"", "an empty file of 0 bytes"),
    "no picture inside": ("z.jpg", lambda: b"hello, world" * 9, "a file that is not a picture"),
    "cut off": ("z.png", cut_png, "a corrupt picture"),
    "20,000 x 20,000": ("z.png", lambda: huge_png(20_000), "a picture of 400 megapixels"),
    "10,000 x 10,000": ("z.png", lambda: huge_png(10_000), "a picture of 100 megapixels"),
    "8,000 x 8,000": ("z.png", lambda: huge_png(8_000), "a picture of 64 megapixels"),
    "a text file": ("z.txt", lambda: b"notes", "a file that is not a picture (.txt)"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_named_or_left_out(tmp_path: Path, case: str) -> None:
    name, content, got = BAD_FILES[case]
    make(tmp_path, ("train",))
    bad = tmp_path / "train" / "happy" / name
    bad.write_bytes(content())
    with pytest.raises(DataError) as caught:
        load_dataset(tmp_path)
    assert caught.value.where == str(bad) and got in caught.value.got
    dataset = load_dataset(tmp_path, on_error="skip")
    assert len(dataset) == 14
    assert dataset.images[:, 0, 0, 0].tolist() == list(range(14))
    assert [item.where for item in dataset.left_out] == [str(bad)]
    assert got in dataset.left_out[0].reason


BAD_LAYOUTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty label": (
        lambda root: (root / "test" / "Contempt").mkdir(),
        "a label folder without pictures",
    ),
    "unknown split": (
        lambda root: save(root / "holdout" / "happy" / "1.png"),
        "the unknown split folder 'holdout'",
    ),
    "loose picture": (
        lambda root: save(root / "train" / "1.png"),
        "a picture outside any label folder",
    ),
    "text below a label": (
        lambda root: (
            (root / "train" / "sad" / "S01").mkdir(),
            (root / "train" / "sad" / "S01" / "1.txt").write_text("x"),
        ),
        "a file that is not a picture (.txt)",
    ),
    "link to above": (
        lambda root: (root / "train" / "sad" / "again").symlink_to(root / "train"),
        "a link to a folder that contains it",
    ),
}


@pytest.mark.parametrize("case", BAD_LAYOUTS)
def test_a_bad_layout_is_named_or_left_out(tmp_path: Path, case: str) -> None:
    spoil, got = BAD_LAYOUTS[case]
    spoil(make(tmp_path / "faces"))
    with pytest.raises(DataError) as caught:
        load_dataset(tmp_path / "faces")
    assert got in caught.value.got
    dataset = load_dataset(tmp_path / "faces", on_error="skip")
    assert len(dataset) == 28 and len(dataset.left_out) == 1 and got in dataset.left_out[0].reason


def test_a_split_without_a_class(tmp_path: Path) -> None:
    make(tmp_path)
    for path in (tmp_path / "train" / "disgust").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="a label folder without pictures"):
        load_dataset(tmp_path)
    (tmp_path / "train" / "disgust").rmdir()
    with pytest.raises(DataError, match="the training split has no picture of: disgust"):
        load_dataset(tmp_path)
    assert (
        "The training split has no picture of: disgust."
        in load_dataset(tmp_path, on_error="skip").notes
    )


def test_a_folder_of_what_has_no_label_is_told(tmp_path: Path) -> None:
    for label in ("happy", "sad", "Unlabeled"):
        save(tmp_path / label / "1.png")
    notes = load_dataset(tmp_path).notes
    assert any("unlabeled counts as a label; --labels unlabeled= leaves" in note for note in notes)


def test_folders_that_hold_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="without subfolders"):
        load_dataset(tmp_path / "a")
    (tmp_path / "b" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="label folders without a single picture.*copy is complete"):
        load_dataset(tmp_path / "b")
    (tmp_path / "b" / "train" / "happy").mkdir()
    (tmp_path / "b" / "train" / "happy" / "1.AVI").write_bytes(b"RIFF")
    with pytest.raises(DataError, match="with videos but without .* save frames of each video"):
        load_dataset(tmp_path / "b")
    save(tmp_path / "c" / "fold1" / "happy" / "1.png")
    save(tmp_path / "c" / "fold2" / "happy" / "1.png")
    with pytest.raises(DataError, match="not known splits: fold1, fold2"):
        load_dataset(tmp_path / "c")
    (tmp_path / "d" / "train" / "happy").mkdir(parents=True)
    (tmp_path / "d" / "train" / "happy" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match="no readable picture"):
        load_dataset(tmp_path / "d", on_error="skip")


def test_a_label_that_is_not_utf8_has_a_name_to_print(tmp_path: Path) -> None:
    odd = os.fsdecode(b"m\xfcde")
    try:
        make(tmp_path / "faces", labels=("happy", odd))
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    dataset = load_dataset(tmp_path / "faces")
    assert len(dataset) == 8 and dataset.label_set.names == ("happy", "m\\udcfcde")
    assert np.bincount(dataset.labels).tolist() == [4, 4]
