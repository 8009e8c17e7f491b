"""Faces in Parquet, as Hugging Face and others pass them on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.data.dataset import SPLITS, UNLABELLED, Dataset
from mien.data.readers import load_dataset
from mien.errors import DataError
from mien.labels import FER2013

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
NAMES = {"training": "train", "validation": "validation", "test": "test"}


def png(image: np.ndarray) -> bytes:
    held = io.BytesIO()
    Image.fromarray(image[:, :, 0]).save(held, "PNG")
    return held.getvalue()


def table(part: Dataset, picture: Callable[[np.ndarray], Any], **columns: list[Any]) -> Any:
    held = {"image": [picture(one) for one in part.images], "label": part.labels.tolist()}
    return pa.table({**held, **columns})


def write(folder: Path, faces: Dataset, picture: Callable[[np.ndarray], Any]) -> Path:
    folder.mkdir(parents=True)
    for split in SPLITS:
        path = folder / f"{NAMES[split]}-00000-of-00001.parquet"
        pq.write_table(table(faces.part(split), picture), path)
    return folder


PICTURES: dict[str, Callable[[np.ndarray], Any]] = {
    "files": lambda one: {"bytes": png(one), "path": None},
    "bytes": png,
    "a flat list": lambda one: one.ravel().tolist(),
    "a nested list": lambda one: one[:, :, 0].tolist(),
    "text": lambda one: " ".join(map(str, one.ravel())),
    "text of a list": lambda one: str(one.ravel().tolist()),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures(tmp_path: Path, faces: Dataset, kind: str) -> None:
    folder = write(tmp_path / "hub" / "data", faces, PICTURES[kind])
    first = folder / "test-00000-of-00001.parquet"
    for source in (tmp_path / "hub", folder, first):
        dataset = load_dataset(source)
        assert dataset.counts().sum(axis=1).tolist() == [140, 35, 35]
        for split in SPLITS:
            np.testing.assert_array_equal(dataset.part(split).images, faces.part(split).images)
            np.testing.assert_array_equal(dataset.part(split).labels, faces.part(split).labels)
        assert any("read as FER2013's" in note for note in dataset.notes)


def test_one_file_with_names_split_and_person(tmp_path: Path, faces: Dataset) -> None:
    names = [FER2013[k].title() for k in faces.labels]
    held = table(
        faces,
        png,
        label=names,
        split=[NAMES[SPLITS[s]] for s in faces.splits],
        subject=[f"p{n % 9}" for n in range(len(faces))],
    )
    pq.write_table(held, tmp_path / "mine.parquet")
    dataset = load_dataset(tmp_path / "mine.parquet")
    np.testing.assert_array_equal(dataset.labels, faces.labels)
    np.testing.assert_array_equal(dataset.splits, faces.splits)
    assert dataset.groups is not None and set(dataset.groups) == {f"p{n}" for n in range(9)}


def test_names_in_the_metadata(tmp_path: Path, faces: Dataset) -> None:
    facts = {"info": {"features": {"label": {"names": list(FER2013.names[::-1])}}}}
    held = table(faces, png, label=(6 - faces.labels).tolist())
    held = held.replace_schema_metadata({"huggingface": json.dumps(facts)})
    pq.write_table(held, tmp_path / "mine.parquet")
    dataset = load_dataset(tmp_path / "mine.parquet")
    np.testing.assert_array_equal(dataset.labels, faces.labels)
    assert any("have no splits" in note for note in dataset.notes)


def test_bad_files(tmp_path: Path, faces: Dataset) -> None:
    pq.write_table(pa.table({"a": [1, 2], "label": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="the columns a, label"):
        load_dataset(tmp_path / "a.parquet")
    pq.write_table(table(faces, png), tmp_path / "b.parquet")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "b.parquet").read_bytes()[:9000])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        load_dataset(tmp_path / "b.parquet")
    bad = [[1, 2, 3], *[one.ravel().tolist() for one in faces.images[1:]]]
    pq.write_table(table(faces, png, image=bad), tmp_path / "c.parquet")
    with pytest.raises(DataError, match="neither the bytes"):
        load_dataset(tmp_path / "c.parquet")


def test_a_column_for_each_pixel_and_for_each_class(tmp_path: Path, faces: Dataset) -> None:
    part = faces.part("test")
    flat = part.images.reshape(len(part), -1)
    columns = {f"pixel{k}": flat[:, k] for k in range(2304)}
    one_hot = {name: (part.labels == k).astype(int) for k, name in enumerate(FER2013)}
    pq.write_table(pa.table({**columns, **one_hot}), tmp_path / "wide.parquet")
    dataset = load_dataset(tmp_path / "wide.parquet")
    np.testing.assert_array_equal(dataset.images, part.images)
    np.testing.assert_array_equal(dataset.labels, part.labels)


def test_fractions_have_one_scale_in_all_rows(tmp_path: Path, faces: Dataset) -> None:
    part = faces.part("test")
    pixels = [(image[:, :, 0] / 255).ravel().tolist() for image in part.images]
    labels = [FER2013[k] for k in part.labels]
    pq.write_table(pa.table({"pixels": pixels, "label": labels}), tmp_path / "f.parquet")
    dataset = load_dataset(tmp_path / "f.parquet")
    np.testing.assert_array_equal(dataset.images, part.images)
    pixels[4] = [200.0] * 2304
    pq.write_table(pa.table({"pixels": pixels, "label": labels}), tmp_path / "f.parquet")
    with pytest.raises(DataError, match="row 5: got pixels above 1 among rows of fractions"):
        load_dataset(tmp_path / "f.parquet")


def test_a_folder_for_each_split(tmp_path: Path, faces: Dataset) -> None:
    for split in ("training", "test"):
        folder = tmp_path / "plain" / NAMES[split]
        folder.mkdir(parents=True)
        pq.write_table(table(faces.part(split), png), folder / "0000.parquet")
    for source in (tmp_path, tmp_path / "plain"):
        assert load_dataset(source).counts().sum(axis=1).tolist() == [140, 0, 35]
    (tmp_path / "plain" / "test").rename(tmp_path / "plain" / "mood")
    with pytest.raises(DataError, match="several data sets: plain/mood, plain/train"):
        load_dataset(tmp_path)


def test_a_split_without_a_name_in_use_is_not_training(tmp_path: Path, faces: Dataset) -> None:
    part = faces.part("test")
    for odd in ("holdout", "", None):
        splits = ["train"] * 20 + [odd] * 15
        pq.write_table(table(part, png, split=splits), tmp_path / "f.parquet")
        with pytest.raises(DataError, match=rf"row 21: got the split {odd!r}; expected train"):
            load_dataset(tmp_path / "f.parquet")
        dataset = load_dataset(tmp_path / "f.parquet", on_error="skip")
        assert len(dataset) == 20 and len(dataset.left_out) == 15
        assert dataset.left_out[0].reason.startswith(f"got the split {odd!r}; expected train")
    pq.write_table(table(part, png, split=["a"] * 35), tmp_path / "f.parquet")
    dataset = load_dataset(tmp_path / "f.parquet")
    assert len(dataset) == 35
    assert "The column split of f.parquet names no splits and was not used." in dataset.notes
    pq.write_table(table(part, png, Is_Train=["1"] * 35), tmp_path / "f.parquet")
    notes = load_dataset(tmp_path / "f.parquet").notes
    assert any(note.startswith("In f.parquet, is_train did not count: a col") for note in notes)


def test_the_split_in_the_name_of_a_file_after_that_of_the_data(
    tmp_path: Path, faces: Dataset
) -> None:
    for split, name in NAMES.items():
        part = table(faces.part(split), png)
        pq.write_table(part, tmp_path / f"fer2013-{name}.parquet")
    assert load_dataset(tmp_path).counts().sum(axis=1).tolist() == [140, 35, 35]


def test_rows_without_a_picture_are_left_out_and_named_by_their_own_file(
    tmp_path: Path, faces: Dataset
) -> None:
    folder = write(tmp_path / "data", faces, png)
    part = faces.part("training")
    pictures = [None, *map(png, part.images[1:-1]), b"not a picture"]
    train = folder / "train-00000-of-00001.parquet"
    pq.write_table(pa.table({"image": pictures, "label": part.labels.tolist()}), train)
    with pytest.raises(DataError, match="row 1: got no picture"):
        load_dataset(folder)
    dataset = load_dataset(folder, on_error="skip")
    assert dataset.counts().sum(axis=1).tolist() == [138, 35, 35]
    assert [one.row for one in dataset.left_out] == [1, None]
    assert dataset.left_out[1].where.endswith(f"{train.name}:{len(part)}")


def test_no_label_of_numbers_and_of_classes(tmp_path: Path, faces: Dataset) -> None:
    labels = faces.labels.tolist()
    one_hot: list[list[float]] = np.eye(7)[faces.labels].tolist()
    for values, none in ((labels, -1), (one_hot, [0.0] * 7), (one_hot, [1.0] * 7)):
        held = {"image": list(map(png, faces.images)), "label": [none, *values[1:]]}
        pq.write_table(pa.table(held), tmp_path / "faces.parquet")
        dataset = load_dataset(tmp_path / "faces.parquet")
        assert dataset.labels.tolist() == [UNLABELLED, *labels[1:]]
        assert dataset.label_set == FER2013
        assert any("1 rows have no label" in note for note in dataset.notes)
