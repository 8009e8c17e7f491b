"""`mien predict --engine ray` before any Ray begins: sources, options, the estimate."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mien.cli.app import app
from mien.cli.cluster import work_of
from mien.data.synthetic import draw_faces
from mien.errors import MissingExtraError, UsageError
from mien.labels import FER2013
from mien.video.writer import VideoCopy

pytest.importorskip("pyarrow")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three pictures in two folders, a video and a text."""
    faces = draw_faces(np.arange(3) % len(FER2013), seed=3)
    for face, place in zip(faces, ("a/one.png", "a/two.png", "b/one.png"), strict=True):
        path = tmp_path / "album" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face[..., 0]).save(path)
    copy = VideoCopy(tmp_path / "album" / "film.mp4")
    for number in range(20):
        copy.write(number / 10, np.repeat(faces[0], 3, axis=2))
    copy.close()
    (tmp_path / "album" / "notes.txt").write_text("no picture")
    return tmp_path / "album"


def run(*words: object, toy: Path) -> Any:
    command = ["predict", *map(str, words), "--bundle", str(toy), "--detector", "none"]
    return CliRunner().invoke(app, command, catch_exceptions=False)


def test_a_dry_run_says_what_it_would_take(album: Path, toy: Path) -> None:
    words = ("--engine", "ray", "--dry-run", "--workers", "4", "--threads", "2")
    done = run(album, *words, "--core-hour", "0.5", "--json", toy=toy)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["num_pictures"], found["num_videos"], found["num_measured"]) == (3, 1, 4)
    assert found["num_cores"] == 8
    seconds = 3 * found["picture_s"] + found["video_s"]
    assert found["core_hours"] == pytest.approx(seconds / 3600)
    assert found["hours"] == pytest.approx(found["core_hours"] / 8)
    assert found["price"] == pytest.approx(found["core_hours"] / 2)
    assert found["price_per_million"] == pytest.approx(found["price"] * 1e6 / 4)
    assert found["picture_s"] > 0
    assert found["video_s"] > 0
    said = run(album, *words, toy=toy)
    assert "3 pictures, 1 video" in said.stdout
    assert "8 cores" in said.stdout
    assert not list(album.glob("_*"))


def test_folders_lists_and_addresses_name_the_same_files(album: Path, tmp_path: Path) -> None:
    said: list[str] = []
    by_folder = work_of([str(album)], said.append)
    assert len(by_folder.below) == 4
    assert by_folder.videos == {str(album / "film.mp4")}
    assert "notes.txt" not in str(by_folder.below)
    assert len(said) == 1
    by_address = work_of([album.as_uri()], said.append)
    assert by_address == by_folder
    names = tmp_path / "files.txt"
    names.write_text("\n".join([*by_folder.below, "", str(album / "gone.png")]) + "\n")
    by_list = work_of([str(names)], said.append)
    assert list(by_list.below) == [*by_folder.below, str(album / "gone.png")]
    assert by_list.videos == by_folder.videos


@pytest.mark.parametrize(
    "words",
    [
        ("--address", "auto"),
        ("--workers", "2"),
        ("--threads", "2"),
        ("--time-limit", "5s"),
        ("--dry-run",),
        ("--core-hour", "1"),
    ],
)
def test_options_of_the_engine_alone_are_refused(
    album: Path, toy: Path, words: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match=f"{words[0]}: got it without --engine ray"):
        run(album, *words, toy=toy)


def test_what_cannot_be_meant_is_refused(album: Path, toy: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got no --out; expected a folder"):
        run(album, "--engine", "ray", toy=toy)
    with pytest.raises(UsageError, match="stdin"):
        work_of(["-"], [].append)
    table = tmp_path / "faces.csv"
    table.write_text("emotion,pixels,Usage\n")
    with pytest.raises(UsageError, match=r"the table .*faces\.csv"):
        work_of([str(table)], [].append)


def test_without_ray_the_extra_is_named(
    album: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(MissingExtraError, match=r"\[ray\]"):
        run(album, "--engine", "ray", "--out", tmp_path / "out", toy=toy)
    from mien.ray import predict

    with pytest.raises(MissingExtraError, match=r"\[ray\]"):
        predict(None)  # type: ignore[arg-type]
