"""Faces and labels as numpy saves them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.data.dataset import SPLITS, UNLABELLED, Dataset
from mien.data.readers import load_dataset
from mien.errors import DataError
from mien.labels import FER2013


def whole(d: Dataset, path: Path, **changes: np.ndarray) -> Path:
    np.savez(path, **{"x": d.images, "y": d.labels, **changes})
    return path


def parted(d: Dataset, path: Path, pattern: str) -> Path:
    names = {"training": "train", "validation": "val", "test": "test"}
    held = {}
    for split in SPLITS:
        part = d.part(split)
        held[pattern.format(k="x", s=names[split])] = part.images
        held[pattern.format(k="y", s=names[split])] = part.labels
    np.savez_compressed(path, **held)
    return path


def side_by_side(d: Dataset, path: Path, faces: str, labels: str) -> Path:
    np.save(path.parent / faces, d.images.reshape(len(d), 48, 48))
    np.save(path.parent / labels, np.eye(7)[d.labels])
    return path.parent / faces


FORMS: dict[str, Callable[[Dataset, Path], Path]] = {
    "x, y": lambda d, p: whole(d, p),
    "x_train ...": lambda d, p: parted(d, p, "{k}_{s}"),
    "train_x ...": lambda d, p: parted(d, p, "{s}_{k}"),
    "flat": lambda d, p: whole(d, p, x=d.images.reshape(len(d), -1)),
    "fractions": lambda d, p: whole(d, p, x=d.images.astype(np.float32) / 255),
    "floats": lambda d, p: whole(d, p, x=d.images.astype(np.float64), y=d.labels.astype(float)),
    "channels first": lambda d, p: whole(d, p, x=np.moveaxis(d.images, 3, 1).astype(np.int32)),
    "three channels": lambda d, p: whole(d, p, x=np.repeat(d.images, 3, axis=3)),
    "one-hot": lambda d, p: whole(d, p, y=np.eye(7, dtype=bool)[d.labels]),
    "a column": lambda d, p: whole(d, p, y=d.labels[:, None].astype(np.uint8)),
    "names": lambda d, p: whole(d, p, y=np.array(FER2013.names)[d.labels]),
    "names as bytes": lambda d, p: whole(d, p, y=np.array(FER2013.names, "S")[d.labels]),
    "other names": lambda d, p: side_by_side(d, p, "fdataX.npy", "flabels.npy"),
    "images, labels": lambda d, p: side_by_side(d, p, "images.npy", "labels.npy"),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(tmp_path: Path, faces: Dataset, form: str) -> None:
    path = FORMS[form](faces, tmp_path / "faces.npz")
    for source in (path, tmp_path):
        dataset = load_dataset(source)
        assert dataset.label_set == FER2013
        np.testing.assert_array_equal(dataset.images, faces.images)
        np.testing.assert_array_equal(dataset.labels, faces.labels)
        parted = "..." in form
        assert dataset.counts().sum(axis=1).tolist() == ([140, 35, 35] if parted else [210, 0, 0])
        assert any("name no splits" in note for note in dataset.notes) is not parted


def test_names_of_numbers_lie_beside_them(tmp_path: Path, faces: Dataset) -> None:
    names = np.array(FER2013.names[::-1])
    path = whole(faces, tmp_path / "f.npz", y=6 - faces.labels, class_names=names)
    dataset = load_dataset(path)
    np.testing.assert_array_equal(dataset.labels, faces.labels)


def test_pictures_without_labels_and_of_another_size(tmp_path: Path, faces: Dataset) -> None:
    large = faces.images.repeat(2, axis=1).repeat(2, axis=2)
    np.savez(tmp_path / "f.npz", images=large[:9])
    dataset = load_dataset(tmp_path / "f.npz", faces="whole")
    assert dataset.labels.tolist() == [UNLABELLED] * 9
    np.testing.assert_array_equal(dataset.images, faces.images[:9])


def test_arrays_in_an_archive(tmp_path: Path, faces: Dataset) -> None:
    path = whole(faces, tmp_path / "faces.npz")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.write(path, "data/faces.npz")
    np.testing.assert_array_equal(load_dataset(tmp_path / "packed.zip").labels, faces.labels)


BAD: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "objects": ({"y": np.array([{}] * 210, object)}, "only unpickling could read"),
    "shape": ({"x": np.zeros((210, 47))}, r"the shape \(210, 47\)"),
    "negative": ({"x": np.full((210, 48, 48), -0.5)}, "values from -0.5"),
    "too large": ({"x": np.full((210, 48, 48), 300)}, "values from 0 to 300|values from 300"),
    "nan": ({"x": np.full((210, 48, 48), np.nan)}, "not numbers"),
    "fewer labels": ({"y": np.arange(7)}, "7 labels for 210 pictures"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays(tmp_path: Path, faces: Dataset, case: str) -> None:
    changes, got = BAD[case]
    path = whole(faces, tmp_path / "f.npz", **changes)
    with pytest.raises(DataError, match=got):
        load_dataset(path)


def test_names_that_say_nothing(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", a=np.zeros(3), b=np.zeros(3), c=np.zeros(3))
    with pytest.raises(DataError, match="arrays named a, b, c"):
        load_dataset(tmp_path / "f.npz")


def test_a_cut_off_file(tmp_path: Path, faces: Dataset) -> None:
    path = whole(faces, tmp_path / "f.npz")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"not a whole \.npz"):
        load_dataset(path)


def test_whose_picture_is_whose(tmp_path: Path, faces: Dataset) -> None:
    people = np.arange(len(faces)) % 9
    dataset = load_dataset(whole(faces, tmp_path / "f.npz", subjects=people))
    assert dataset.groups is not None and dataset.groups.tolist() == [str(one) for one in people]
    with pytest.raises(DataError, match="3 groups for 210 pictures"):
        load_dataset(whole(faces, tmp_path / "g.npz", groups=np.arange(3)))


def test_opacity_lies_on_gray_and_texts_of_objects_are_named(
    tmp_path: Path, faces: Dataset
) -> None:
    opaque = np.full((len(faces), 48, 48, 1), 255, np.uint8)
    rgba = np.concatenate([np.repeat(faces.images, 3, axis=3), opaque], axis=3)
    dataset = load_dataset(whole(faces, tmp_path / "f.npz", x=rgba))
    np.testing.assert_array_equal(dataset.images, faces.images)
    rgba[..., 3] = 0
    assert set(np.unique(load_dataset(whole(faces, tmp_path / "g.npz", x=rgba)).images)) == {128}
    names = np.array([FER2013[k] for k in faces.labels], object)
    with pytest.raises(DataError, match=r"h\.npz:y: .* Fix: save it as array\.astype\(str\)"):
        load_dataset(whole(faces, tmp_path / "h.npz", y=names))
    # What is neither pictures, labels nor groups need not be understood.
    dataset = load_dataset(whole(faces, tmp_path / "i.npz", filenames=names))
    assert len(dataset) == len(faces)


def test_a_file_for_each_split(tmp_path: Path, faces: Dataset) -> None:
    whole(faces.part("training"), tmp_path / "train.npz", class_names=np.array(FER2013.names))
    whole(faces.part("test"), tmp_path / "test.npz")
    dataset = load_dataset(tmp_path)
    assert dataset.counts().sum(axis=1).tolist() == [140, 0, 35]
    assert np.array_equal(dataset.part("test").labels, faces.part("test").labels)
    (tmp_path / "train.npz").rename(tmp_path / "mine.npz")
    with pytest.raises(DataError, match=r"several data sets: mine\.npz, test\.npz"):
        load_dataset(tmp_path)


def test_rows_without_a_label(tmp_path: Path, faces: Dataset) -> None:
    names = np.array(FER2013.names)
    one_hot = np.eye(7)[faces.labels]
    numbers = faces.labels.astype(float)
    zeros, tie, missing, minus = one_hot.copy(), one_hot.copy(), numbers.copy(), numbers.copy()
    zeros[0], tie[0], missing[0], minus[0] = 0, 1, np.nan, -1
    forms: list[dict[str, np.ndarray]] = [
        *({"y": labels} for labels in (zeros, tie, missing, minus)),
        *({"y": labels, "class_names": names} for labels in (zeros, missing, minus)),
    ]
    for form in forms:
        dataset = load_dataset(whole(faces, tmp_path / "faces.npz", **form))
        assert dataset.labels.tolist() == [UNLABELLED, *faces.labels[1:].tolist()]
        assert dataset.label_set == FER2013
        assert any("1 rows have no label" in note for note in dataset.notes)


def test_arrays_of_which_no_row_has_a_label(tmp_path: Path, faces: Dataset) -> None:
    dataset = load_dataset(whole(faces, tmp_path / "faces.npz", y=np.full(len(faces), -1)))
    assert set(dataset.labels.tolist()) == {UNLABELLED}
    np.savez(tmp_path / "other.npz", x=faces.images, emotion_labels=faces.labels)
    notes = load_dataset(tmp_path / "other.npz").notes
    assert any("not used: emotion_labels" in note for note in notes)
