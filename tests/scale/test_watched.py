"""A file that hangs or kills costs one row; the others are answered as on one machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_bundle import write_toy

import mien
from mien.data.synthetic import draw_faces
from mien.errors import RunError
from mien.labels import FER2013
from mien.ray.setup import Item, Setup, setup_like
from mien.ray.watched import Watched
from mien.recognizer import Recognizer

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recognizer]:
    path = tmp_path_factory.mktemp("bundle") / "toy.zip"
    write_toy(path)
    with mien.load(path, detector="none") as made:
        yield made


@pytest.fixture(scope="module")
def setup(recognizer: Recognizer) -> Setup:
    return setup_like(recognizer)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pictures")
    faces = draw_faces(np.arange(5) % len(FER2013), seed=3)
    for number, face in enumerate(faces):
        Image.fromarray(face[..., 0]).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    return sorted(str(path) for path in folder.iterdir())


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[str]:
    """A file that can be opened, and never ends: a pipe that somebody holds and nobody fills."""
    path = tmp_path / "endless.png"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR)
    yield str(path)
    os.close(held)


def items(*sources: str) -> list[Item]:
    return [Item(source, "") for source in sources]


def test_answers_are_those_of_one_machine(
    recognizer: Recognizer, setup: Setup, pictures: list[str]
) -> None:
    watched = Watched(setup)
    tables, tally = watched.answer(items(*pictures))
    watched.close()
    assert [table.num_rows for table in tables] == [1] * 6
    assert (tally.num_sources, tally.num_frames, tally.num_faces, tally.num_failed) == (6, 6, 5, 1)
    for picture, table in zip(pictures, tables, strict=True):
        here = setup.arrow_columns().table_of(recognizer.frames([picture]))
        assert table.equals(here), picture


@pytest.mark.parametrize("num_threads", [1, 2])
def test_an_endless_file_costs_its_row_and_its_time(
    setup: Setup, pictures: list[str], endless: str, num_threads: int
) -> None:
    watched = Watched(replace(setup, time_limit_s=5.0, num_threads=num_threads))
    tables, tally = watched.answer(items(pictures[0], endless, *pictures[1:5]))
    watched.close()
    sources = [table["source"].to_pylist() for table in tables]
    assert sources == [[one] for one in (pictures[0], endless, *pictures[1:5])]
    errors = [table["error"][0].as_py() for table in tables]
    assert [error is None for error in errors] == [True, False, True, True, True, True]
    assert "no answer within 5 s" in errors[1]
    assert tally.num_failed == 1


def test_a_file_at_which_the_process_dies_costs_its_row(
    setup: Setup, pictures: list[str], endless: str
) -> None:
    watched = Watched(setup)
    is_over = threading.Event()

    def kill_whoever_reads_it() -> None:
        while not is_over.wait(0.05):
            process = watched._process
            if process is None:
                continue
            try:
                opened = [os.readlink(one) for one in Path(f"/proc/{process.pid}/fd").iterdir()]
            except OSError:
                continue
            if endless in opened:
                process.kill()

    killer = threading.Thread(target=kill_whoever_reads_it)
    killer.start()
    tables, tally = watched.answer(items(pictures[0], endless, pictures[1]))
    is_over.set()
    killer.join()
    watched.close()
    errors = [table["error"][0].as_py() for table in tables]
    assert [error is None for error in errors] == [True, False, True]
    assert "SIGKILL" in errors[1]
    assert (tally.num_sources, tally.num_failed) == (3, 1)


def test_a_process_that_cannot_begin_is_an_error(setup: Setup) -> None:
    watched = Watched(replace(setup, detector="yunet", weights=b"no network"))
    with pytest.raises(RunError, match="a worker: got .*YuNet"):
        watched.answer(items("a.png"))


def test_bytes_are_answered_under_their_name(setup: Setup, pictures: list[str]) -> None:
    watched = Watched(setup)
    data = Path(pictures[0]).read_bytes()
    given = [
        Item("s3://bucket/a.png", "", data=data),
        Item("s3://bucket/b.png", "", data=data[:60]),
    ]
    tables, _ = watched.answer(given)
    watched.close()
    assert [table["source"][0].as_py() for table in tables] == [one.source for one in given]
    assert tables[0]["error"][0].as_py() is None
    assert tables[1]["error"][0].as_py().startswith("s3://bucket/b.png: ")
