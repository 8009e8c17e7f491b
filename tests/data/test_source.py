"""What a run was trained on is kept beside it, and read again without being named."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from mien.data.convert import convert
from mien.data.dataset import Dataset
from mien.data.source import Source
from mien.errors import UsageError


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
