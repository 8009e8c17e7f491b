"""Rows of tables that are answered: `mien predict test.csv`."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from mien.cli.app import app
from mien.data.convert import convert
from mien.data.dataset import Dataset
from mien.data.table_rows import is_table, rows_to_predict
from tests.toy_bundle import write_toy


def pixels(image: np.ndarray) -> str:
    return " ".join(map(str, image.ravel()))


def unlabelled(path: Path, faces: Dataset, num: int) -> Path:
    path.write_text("\n".join(["pixels", *map(pixels, faces.images[:num])]) + "\n")
    return path


def test_rows_without_labels_are_answered(tmp_path: Path, faces: Dataset) -> None:
    lines = ["emotion,pixels"]
    lines += [f"{'' if n % 2 else faces.labels[n]},{pixels(faces.images[n])}" for n in range(6)]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    found, notes, left_out = rows_to_predict([str(tmp_path / "mine.csv")])
    assert list(found) == [f"{tmp_path / 'mine.csv'}:{line}" for line in (3, 5, 7)]
    np.testing.assert_array_equal(list(found.values())[1], faces.images[3, :, :, 0])
    assert "3 of 6 rows have no label" in notes[0] and left_out == []


def test_test_csv_leaves_train_csv_alone(tmp_path: Path, faces: Dataset) -> None:
    convert(faces, tmp_path / "train.csv")
    path = unlabelled(tmp_path / "test.csv", faces, 4)
    found, notes, _ = rows_to_predict([str(path)])
    assert len(found) == 4 and notes == []


def test_where_all_have_labels_all_are_answered(tmp_path: Path, faces: Dataset) -> None:
    convert(faces.take(np.arange(5)), tmp_path / "mine.csv")
    np.savez(tmp_path / "mine.npz", x=faces.images[:3])
    found, notes, _ = rows_to_predict([str(tmp_path / "mine.csv"), str(tmp_path / "mine.npz")])
    assert len(found) == 8 and "all 5 rows have labels" in notes[0] and len(notes) == 1


def test_what_is_a_table(tmp_path: Path) -> None:
    for name in ("a.CSV", "b.csv.gz", "c.parquet", "d.npz"):
        (tmp_path / name).touch()
        assert is_table(str(tmp_path / name))
    (tmp_path / "e.jpg").touch()
    assert not is_table(str(tmp_path / "e.jpg"))
    assert not is_table(str(tmp_path / "gone.csv"))


def test_the_verb(tmp_path: Path, faces: Dataset) -> None:
    path = unlabelled(tmp_path / "test.csv", faces, 3)
    write_toy(tmp_path / "toy")
    out = tmp_path / "submission.csv"
    bundle = ["--bundle", str(tmp_path / "toy"), "--out", str(out)]
    done = CliRunner().invoke(app, ["predict", str(path), *bundle])
    assert done.exit_code == 0, done.output
    with open(out, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == [f"{path}:{line}" for line in (2, 3, 4)]
    assert all(row["label"] and row["faces"] == "1" for row in rows)

    path.write_text(path.read_text() + "1 2 3\n")
    done = CliRunner().invoke(app, ["predict", str(path), *bundle, "--overwrite"])
    assert done.exit_code == 8 and "row 5: got 3 pixels" in done.output
    done = CliRunner().invoke(app, ["predict", str(path), "photo.jpg", *bundle])
    assert "expected only tables" in str(done.exception)
