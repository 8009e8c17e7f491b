"""Rows of pixels of other sides than FER2013's, and of colours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.data.dataset import Dataset
from mien.data.pictures import read_gray
from mien.data.pixels import shape_of
from mien.data.readers import load_dataset
from mien.data.synthetic import drawn_dataset
from mien.errors import DataError
from mien.vision.preprocess import gray, resized

USAGES = ("Training", "PublicTest", "PrivateTest")


@pytest.fixture(scope="module")
def faces() -> Dataset:
    return drawn_dataset(28, 7, 7, seed=3)


def coloured(faces: Dataset, side: int) -> np.ndarray:
    """uint8 (N, side, side, 3)."""
    tones = np.array([0.9, 0.7, 0.5])
    pictures = [resized(face[..., 0], side) for face in faces.images]
    return np.rint(np.array(pictures)[..., None] * tones).astype(np.uint8)


def write(path: Path, faces: Dataset, rows: np.ndarray, cell: Callable[[list[int]], str]) -> Path:
    lines = ["emotion,pixels,Usage"]
    for row, label, split in zip(rows, faces.labels, faces.splits, strict=True):
        lines.append(f"{label},{cell(row.ravel().tolist())},{USAGES[split]}")
    path.write_text("\n".join(lines) + "\n")
    return path


def spaced(values: list[int]) -> str:
    return " ".join(map(str, values))


def listed(values: list[int]) -> str:
    return f'"{values}"'


def fractions(values: list[int]) -> str:
    return " ".join(str(value / 255) for value in values)


def test_a_row_in_quotes_may_be_longer_than_a_field_of_csv(tmp_path: Path, faces: Dataset) -> None:
    rows = coloured(faces, 200)[..., 0]
    path = write(tmp_path / "large.csv", faces, rows, listed)
    assert len(path.read_bytes()) > 131_072 * len(faces)
    dataset = load_dataset(path, faces="whole")
    assert np.array_equal(dataset.images[..., 0], [resized(row, 48) for row in rows])


@pytest.mark.parametrize("cell", [spaced, listed, fractions])
@pytest.mark.parametrize("side", [32, 64, 100])
def test_other_squares_are_resized_as_pictures_are(
    tmp_path: Path, faces: Dataset, side: int, cell: Callable[[list[int]], str]
) -> None:
    rows = coloured(faces, side)[..., 0]
    # Whole: in pictures of 100 px faces would be detected, by whichever detector is at hand.
    dataset = load_dataset(write(tmp_path / "mine.csv", faces, rows, cell), faces="whole")
    assert len(dataset) == len(faces) and dataset.side == 48
    assert np.array_equal(dataset.images[..., 0], [read_gray(row).pixels for row in rows])
    assert np.array_equal(dataset.labels, faces.labels)
    assert np.array_equal(dataset.splits, faces.splits)
    told = f"Of 42 pictures 42 were resized to 48 x 48 (from {side} x {side}; by area averaging"
    assert told in " ".join(dataset.notes)


def test_larger_rows_keep_a_larger_side_that_is_asked_for(tmp_path: Path, faces: Dataset) -> None:
    rows = coloured(faces, 64)[..., 0]
    path = write(tmp_path / "mine.csv", faces, rows, spaced)
    assert np.array_equal(load_dataset(path, side=64).images[..., 0], rows)
    assert load_dataset(path, side=96).side == 64
    assert load_dataset(path, side=32).side == 32


@pytest.mark.parametrize("by_plane", [False, True])
@pytest.mark.parametrize("side", [48, 64])
def test_colours_become_gray_as_in_pictures(
    tmp_path: Path, faces: Dataset, side: int, by_plane: bool
) -> None:
    rgb = coloured(faces, side)
    rows = np.moveaxis(rgb, 3, 1) if by_plane else rgb
    wanted = [resized(gray(picture), 48) for picture in rgb]
    dataset = load_dataset(write(tmp_path / "mine.csv", faces, rows, spaced))
    assert np.array_equal(dataset.images[..., 0], wanted)
    told = " ".join(dataset.notes)
    assert f"Rows of {side * side * 3:,} numbers were read as {side} x {side} pixels of red" in told
    assert ("colour by colour" in told) == by_plane
    assert "Of 42 pictures 42 were converted from colour to gray (ITU-R BT.601)." in dataset.notes
    np.savez(tmp_path / "flat.npz", x=rows.reshape(len(rows), -1), y=faces.labels)
    arrays = load_dataset(tmp_path / "flat.npz")
    assert np.array_equal(arrays.images[..., 0], wanted)
    assert set(dataset.notes) - set(arrays.notes) <= {"The data has no picture of: disgust."}


def test_gray_pictures_of_three_channels(tmp_path: Path, faces: Dataset) -> None:
    """OpenCV reads a gray file so."""
    rows = np.repeat(faces.images, 3, axis=3)
    for one in (rows, np.moveaxis(rows, 3, 1)):
        dataset = load_dataset(write(tmp_path / "mine.csv", faces, one, spaced))
        assert np.array_equal(dataset.images, faces.images)


def test_a_column_for_each_pixel(tmp_path: Path, faces: Dataset) -> None:
    rows = coloured(faces, 64)[..., 0]
    path = write(tmp_path / "mine.csv", faces, rows, lambda p: ",".join(map(str, p)))
    text = path.read_text().replace("pixels", ",".join(f"pixel{k}" for k in range(4096)), 1)
    path.write_text(text)
    assert np.array_equal(load_dataset(path, side=64).images[..., 0], rows)


def test_rows_without_a_header(tmp_path: Path, faces: Dataset) -> None:
    rows = coloured(faces, 64)[..., 0]
    path = write(tmp_path / "mine.csv", faces, rows, spaced)
    path.write_text(path.read_text().partition("\n")[2])
    assert np.array_equal(load_dataset(path, side=64).images[..., 0], rows)


def test_parquet_rows(tmp_path: Path, faces: Dataset) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    rgb = coloured(faces, 64)
    frame = pandas.DataFrame({"label": faces.labels, "pixels": [p.ravel().tolist() for p in rgb]})
    frame.to_parquet(tmp_path / "mine.parquet")
    dataset = load_dataset(tmp_path / "mine.parquet", faces="whole")
    assert np.array_equal(dataset.images[..., 0], [resized(gray(one), 48) for one in rgb])


@pytest.mark.parametrize("place", [0, 5, 40])
def test_a_row_that_is_cut_off_at_a_square_is_refused(
    tmp_path: Path, faces: Dataset, place: int
) -> None:
    path = write(tmp_path / "mine.csv", faces, faces.images, spaced)
    lines = path.read_text().splitlines()
    emotion, pixels, usage = lines[1 + place].split(",")
    lines[1 + place] = ",".join((emotion, spaced([7] * 47 * 47), usage))
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError) as caught:
        load_dataset(path)
    assert (caught.value.row, caught.value.got) == (place + 2, "2,209 pixels")
    assert caught.value.expected == "2,304 pixels, 48 x 48, as in other rows"


def test_rows_that_are_no_square(tmp_path: Path, faces: Dataset) -> None:
    path = write(tmp_path / "mine.csv", faces, faces.images[:, :40], spaced)
    with pytest.raises(DataError, match="1,920 pixels; expected 2,304 pixels, 48 x 48, or of ano"):
        load_dataset(path)


def test_no_number_has_two_shapes() -> None:
    sizes = [n * n * channels for n in range(8, 513) for channels in (1, 3)]
    assert len(set(sizes)) == len(sizes)
    assert [shape_of(n) for n in (1, 49, 2303, 513 * 513)] == [None] * 4
