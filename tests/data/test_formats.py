"""What a path holds: told by content, in one place."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.convert import convert
from mien.data.dataset import Dataset
from mien.data.formats import format_of
from mien.data.readers import load_dataset
from mien.errors import DataError


def test_a_wrapped_csv_is_found(tmp_path: Path, faces: Dataset) -> None:
    (tmp_path / "download" / "fer2013").mkdir(parents=True)
    convert(faces, tmp_path / "download" / "fer2013" / "fer2013.csv")
    (tmp_path / "download" / "fer2013" / "README").write_text("hello")
    np.testing.assert_array_equal(load_dataset(tmp_path / "download").labels, faces.labels)


def test_a_csv_of_any_name_alone_in_its_folder(tmp_path: Path, faces: Dataset) -> None:
    convert(faces, tmp_path / "mine" / "my_faces.csv")
    assert format_of(tmp_path / "mine").kind == "csv"


def test_tables_beside_pictures_are_passed_over(tmp_path: Path, faces: Dataset) -> None:
    convert(faces, tmp_path / "faces")
    (tmp_path / "faces" / "train.csv").write_text("file,label\na.png,1\n")
    (tmp_path / "faces" / "test.csv").write_text("file,label\na.png,1\n")
    np.save(tmp_path / "faces" / "embeddings.npy", np.zeros(3))
    assert format_of(tmp_path / "faces").kind == "pictures"
    assert len(load_dataset(tmp_path / "faces")) == 210


def png() -> bytes:
    held = io.BytesIO()
    Image.new("L", (48, 48)).save(held, "PNG")
    return held.getvalue()


def workbook() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return held.getvalue()


FOREIGN = {
    "f.h5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
    "f.pkl": (pickle.dumps([1, 2], protocol=4), "a pickle"),
    "old.pkl": (b"\x80\x02}q\x00." + bytes(99), "a pickle, which could run any program"),
    "f.feather": (b"ARROW1" + bytes(99), "a Feather or Arrow file"),
    "f.xls": (b"\xd0\xcf\x11\xe0" + bytes(99), "an old Excel workbook"),
    "f.json": (b'{"emotion": {"0": 3}}', "JSON"),
    "f.jsonl": (b'\n {"emotion": 3, "pixels": "1 2"}\n', "JSON"),
    "list.json": (b'[{"emotion": 3}]', "JSON"),
    "f.mat": (b"MATLAB 5.0 MAT-file" + bytes(99), "a MATLAB file"),
    "f.xlsx": (workbook(), "an Excel workbook"),
    "f.png": (png(), "a single picture"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_read_has_a_name(tmp_path: Path, name: str) -> None:
    data, got = FOREIGN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=got):
        load_dataset(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_devices_and_links_to_themselves_end_with_their_name(tmp_path: Path) -> None:
    for label in ("happy", "sad"):
        (tmp_path / "faces" / label).mkdir(parents=True)
        Image.new("L", (48, 48), 90).save(tmp_path / "faces" / label / "1.png")
    odd = tmp_path / "faces" / "happy" / "odd.png"

    def names_it(got: str) -> None:
        with pytest.raises(DataError, match=got) as caught:
            load_dataset(tmp_path / "faces")
        assert caught.value.where == str(odd)
        assert len(load_dataset(tmp_path / "faces", on_error="skip")) == 2
        odd.unlink()

    os.mkfifo(odd)
    names_it("an empty file")
    odd.symlink_to(odd.name)
    names_it("cannot be read")
    odd.symlink_to("absent.png")
    names_it("no such file")
    odd.symlink_to("/dev/zero")
    names_it("a device")
    odd.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    names_it("a pointer of Git LFS.*git lfs pull")
    for name in ("labels.csv", "classes.txt", "data.yaml"):
        os.mkfifo(tmp_path / "faces" / name)
    (tmp_path / "faces" / "absent.csv").symlink_to("nowhere")
    assert len(load_dataset(tmp_path / "faces")) == 2
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="a pipe or device"):
        load_dataset(tmp_path / "pipe.csv")


def test_a_pointer_and_arrays_without_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(DataError, match="a pointer of Git LFS.*git lfs pull"):
        load_dataset(tmp_path / "a.csv")
    np.savez(tmp_path / "a.npz", x=np.zeros((0, 48, 48), np.uint8), y=np.zeros(0, int))
    with pytest.raises(DataError, match="got no picture; expected at least one"):
        load_dataset(tmp_path / "a.npz")


def test_a_zip_of_other_csv_under_the_name_of_a_pair(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "train.csv.zip", "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "x")
    with pytest.raises(DataError):
        load_dataset(tmp_path)


def test_a_list_of_names_beside_the_csv_is_not_read(tmp_path: Path, faces: Dataset) -> None:
    convert(faces, tmp_path / "fer2013.csv")
    lines = (tmp_path / "fer2013.csv").read_text().splitlines()
    (tmp_path / "fer2013.csv").unlink()
    (tmp_path / "train.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    (tmp_path / "test.csv").write_text("id,file\n1,a.png\n")
    for given in (tmp_path, tmp_path / "train.csv"):
        dataset = load_dataset(given)
        assert len(dataset) == len(faces)
        assert any(note.startswith("test.csv lies beside the data") for note in dataset.notes)
    with pytest.raises(DataError, match=r"test\.csv"):
        load_dataset(tmp_path / "test.csv")
