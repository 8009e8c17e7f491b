"""What a run was trained on is kept beside it, and read again without being named."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from PIL import Image

from mien.data.convert import convert
from mien.data.dataset import Dataset
from mien.data.source import Source
from mien.errors import DataError, UsageError


def run(folder: Path, source: Source, found: str = "") -> Path:
    folder.mkdir()
    source.save(folder, found)
    return folder


def test_a_run_knows_its_data(
    tmp_path: Path, faces: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(faces, tmp_path / "own")
    (tmp_path / "who.csv").write_text("file,person\n")
    monkeypatch.chdir(tmp_path)
    trained = Source("own", faces="whole", side=64, labels="rafdb", groups=Path("who.csv"))
    one = run(tmp_path / "one", trained)
    monkeypatch.chdir("/")
    again = Source(None).or_of_runs([one])
    assert again == dataclasses.replace(
        trained, path=os.fspath(tmp_path / "own"), groups=tmp_path / "who.csv"
    )
    changed = Source(None, on_error="skip", side=96).or_of_runs([one])
    assert (changed.path, changed.on_error, changed.side) == (again.path, "skip", 96)
    assert Source("named.csv").or_of_runs([one]).path == "named.csv"


def test_data_that_was_found_is_kept_by_its_place(tmp_path: Path, faces: Dataset) -> None:
    path = convert(faces, tmp_path / "fer2013.csv")
    one = run(tmp_path / "one", Source(None), str(path))
    assert Source(None).or_of_runs([one]).path == str(path)
    drawn = run(tmp_path / "drawn", Source(None), "drawn faces, seed 0")
    assert Source(None).or_of_runs([drawn]).path is None


def test_runs_of_different_data(tmp_path: Path, faces: Dataset) -> None:
    first, second = convert(faces, tmp_path / "a.csv"), convert(faces, tmp_path / "b.csv")
    one = run(tmp_path / "one", Source(first))
    two, three = run(tmp_path / "two", Source(second)), run(tmp_path / "three", Source(first))
    with pytest.raises(UsageError, match="trained on different data"):
        Source(None).or_of_runs([one, two])
    assert Source(None).or_of_runs([one, three]).path == str(first)


def test_data_that_is_gone_is_not_named(tmp_path: Path, faces: Dataset) -> None:
    path = convert(faces, tmp_path / "a.csv")
    one = run(tmp_path / "one", Source(path))
    path.unlink()
    assert Source(None).or_of_runs([one]).path is None
    assert Source(None).or_of_runs([tmp_path / "no-run"]).path is None


def photographs(root: Path, **labels: str) -> Path:
    """Two pictures for each label of each split, whose labels are separated by spaces."""
    for k, (split, names) in enumerate(labels.items()):
        for j, name in enumerate(names.split()):
            for n in range(2):
                path = root / split / name / f"{n}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (48, 48), 50 * k + 10 * j + n).save(path)
    return root


def test_labels_are_left_out_before_the_classes_are_checked(tmp_path: Path) -> None:
    root = photographs(tmp_path, train="happy sad none", val="happy sad")
    with pytest.raises(DataError, match="the validation split has no picture of: none") as caught:
        Source(root).load()
    assert "leave the label out with --labels none=, or" in caught.value.fix
    dataset = Source(root, labels="none=").load()
    assert "none" not in dataset.label_set.names and len(dataset) == 8
    assert not dataset.images.flags.writeable


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_labels_are_merged_before_the_classes_are_checked(tmp_path: Path, on_error: str) -> None:
    root = photographs(tmp_path, train="joyful sad", test="cheerful sad")
    dataset = Source(root, labels="joyful=happy,cheerful=happy", on_error=on_error).load()
    assert {dataset.label_set[k] for k in dataset.labels} == {"happy", "sad"}
    assert dataset.counts().sum(axis=1).tolist() == [4, 0, 4] and not dataset.left_out
