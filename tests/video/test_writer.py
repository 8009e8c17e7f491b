"""Videos out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from mien.errors import DataError, UsageError
from mien.video.frames import read_frames
from mien.video.writer import VideoCopy


def read(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        assert not container.streams.audio
        return [
            (frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)
        ]


def plain(tone: int, width: int = 96, height: int = 64) -> np.ndarray:
    return np.full((height, width, 3), tone, np.uint8)


TIMES = [0.0, 1 / 30, 0.1, 1.0, 1.0 + 1001 / 30000, 7.25]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_times_and_pictures_come_back(tmp_path: Path, name: str) -> None:
    copy = VideoCopy(tmp_path / name)
    for number, time_s in enumerate(TIMES):
        copy.write(time_s, plain(40 * number))
    copy.close()
    copy.close()
    back = read(tmp_path / name)
    assert [time_s for time_s, _ in back] == pytest.approx(TIMES, abs=0.001)
    assert [image.mean() for _, image in back] == pytest.approx([40 * n for n in range(6)], abs=4)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_late_start_odd_sizes_and_changed_sizes(tmp_path: Path) -> None:
    copy = VideoCopy(tmp_path / "a.mp4")
    copy.write(2.5, plain(200, 97, 63))
    copy.write(3.0, plain(200, 40, 80))
    copy.close()
    back = read(tmp_path / "a.mp4")
    assert [time_s for time_s, _ in back] == pytest.approx([2.5, 3.0], abs=0.001)
    assert {image.shape for _, image in back} == {(64, 98, 3)}


def test_times_that_step_back_are_written_one_after_the_other(tmp_path: Path) -> None:
    copy = VideoCopy(tmp_path / "a.mkv")
    for time_s in (1.0, 1.0, 0.0, 1.5):
        copy.write(time_s, plain(9))
    copy.close()
    times = [time_s for time_s, _ in read(tmp_path / "a.mkv")]
    assert len(times) == 4 and times == sorted(times) and times[3] == pytest.approx(1.5, abs=0.001)


def test_nothing_written_leaves_nothing(tmp_path: Path) -> None:
    VideoCopy(tmp_path / "a.mp4").close()
    nothing = VideoCopy(None)
    nothing.write(0.0, plain(0))
    nothing.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_program_wrote_can_be_played(tmp_path: Path) -> None:
    code = """
import os, sys, numpy as np
from mien.video.writer import VideoCopy
copy = VideoCopy(sys.argv[1])
rng = np.random.default_rng(0)
for k in range(300):
    copy.write(k / 25, rng.integers(0, 255, (64, 96, 3), np.uint8))
os._exit(9)
"""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.mp4")], env=env, capture_output=True
    )
    assert done.returncode == 9, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.part.mp4"]
    whole = [shot for shot in read_frames(tmp_path / "a.part.mp4") if not shot.error]
    assert len(whole) >= 120


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"got .gif; expected one of .mp4"):
        VideoCopy(tmp_path / "a.gif")
    with pytest.raises(DataError, match="cannot be written"):
        VideoCopy(tmp_path / "absent" / "a.mp4").write(0.0, plain(0))
