"""Moving pictures: told by their first bytes, and read frame by frame with their times."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from mien.errors import DataError
from mien.vision.animation import animation_frames, is_animated
from mien.vision.image import load_image

LIGHTS = (20, 90, 160, 230)


def moving(path: Path, duration_ms: int | list[int] = 200, num: int = 4) -> Path:
    """Each frame brighter than the last, with a square that moves."""
    frames = []
    for number in range(num):
        pixels = np.full((40, 60, 3), LIGHTS[number % 4], np.uint8)
        pixels[10:20, 10 + 5 * number : 20 + 5 * number] = 255 - LIGHTS[number % 4]
        frames.append(Image.fromarray(pixels))
    more = {"lossless": True} if path.suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=duration_ms, **more)
    return path


NAMES = ["a.gif", "a.webp", "a.png", *(["a.avif"] if features.check("avif") else [])]


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_comes_at_its_time(tmp_path: Path, name: str) -> None:
    path = moving(tmp_path / name, [200, 100, 300, 200])
    assert is_animated(path)
    read = list(animation_frames(str(path)))
    assert [time_s for time_s, _ in read] == pytest.approx([0, 0.2, 0.3, 0.6], abs=0.011)
    for (_, pixels), light in zip(read, LIGHTS, strict=True):
        assert pixels.shape == (40, 60, 3) and pixels.dtype == np.uint8
        assert abs(int(pixels[35, 5, 0]) - light) < 8


@pytest.mark.parametrize("name", [*NAMES, "a.jpg"])
def test_a_still_picture_does_not_move(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / name)
    assert not is_animated(tmp_path / name)
    assert not is_animated(tmp_path / ("no" + name)) and not is_animated("x" * 5000 + ".gif")


def test_frames_of_no_length_last_a_tenth_of_a_second(tmp_path: Path) -> None:
    times = [time_s for time_s, _ in animation_frames(str(moving(tmp_path / "a.gif", 0)))]
    assert times == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_file_that_is_cut_off_ends_with_an_error(tmp_path: Path) -> None:
    path = moving(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:-200])
    seen = 0
    with pytest.raises(DataError, match="corrupt"):
        for _ in animation_frames(str(path)):
            seen += 1
    assert seen >= 1


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert not is_animated(tmp_path / "pipe.png")


def test_a_bomb_is_left_to_the_reader_of_pictures(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.gif"
    bomb.write_bytes(b"GIF89a\1\0\1\0\0\0\0\x21\xfe" + b"\1x" * 400_000 + b"\0;")
    assert not is_animated(bomb)
    with pytest.raises(DataError, match="too many blocks"):
        load_image(bomb)
