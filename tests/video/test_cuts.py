"""Cuts in drawn films: found where the scene changes, and not where something only moves, flashes
or gets dark.
"""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import scenes

from mien.labels import LabelSet
from mien.results import Face, Quality
from mien.video.cuts import HEIGHT, WIDTH, with_cuts
from mien.video.recognize import watch

SEEDS = range(3)


def cuts(frames: np.ndarray, rate: float = 25) -> list[int]:
    def look(number: int) -> tuple[float, np.ndarray]:
        gray = cv2.cvtColor(frames[number], cv2.COLOR_RGB2GRAY)
        return number / rate, cv2.resize(gray, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)

    passed = list(with_cuts(range(len(frames)), look))
    assert [number for number, _ in passed] == list(range(len(frames)))
    return [number for number, is_cut in passed if is_cut]


@pytest.mark.parametrize("kind", ["still", "handheld", "pan", "whip", "large_face"])
def test_motion_is_no_cut(kind: str) -> None:
    for seed in SEEDS:
        assert cuts(scenes.film(kind, seed)[0]) == [], seed


@pytest.mark.parametrize("kind", ["flash", "strobe", "light_switch", "exposure"])
def test_light_is_no_cut(kind: str) -> None:
    found = [cuts(scenes.film(kind, seed)[0]) for seed in SEEDS]
    assert sum(map(len, found)) <= 1, found


@pytest.mark.parametrize("kind", ["cut", "cut_in_motion"])
def test_a_cut_is_found_at_its_frame(kind: str) -> None:
    films = [scenes.film(kind, seed) for seed in SEEDS]
    right = [cuts(frames) == [begins] for frames, begins in films]
    assert sum(right) >= 2, right


@pytest.mark.parametrize("kind", ["fade_black", "fade_white", "quick_fade"])
def test_a_fade_is_one_cut_where_the_next_scene_comes_up(kind: str) -> None:
    for seed in SEEDS:
        frames, begins = scenes.film(kind, seed)
        found = cuts(frames)
        assert begins is not None
        assert len(found) == 1 and begins - 8 <= found[0] <= begins + 8, (seed, found, begins)


def test_the_same_scene_after_a_fade_to_black_is_another_one_but_not_after_two_black_frames() -> (
    None
):
    frames = scenes.film("handheld", 0)[0]
    black = np.zeros_like(frames[:1])
    assert cuts(np.concatenate([frames[:30], black.repeat(8, 0), frames[30:]])) == [38]
    assert cuts(np.concatenate([frames[:30], black.repeat(2, 0), frames[30:]])) == []


def test_slides_one_a_second_are_all_cuts() -> None:
    slides = np.stack([scenes.film("still", seed)[0][0] for seed in range(6)])
    assert cuts(slides, rate=1) == [1, 2, 3, 4, 5]
    assert cuts(slides.repeat(3, 0), rate=3) == [3, 6, 9, 12, 15]


def test_frames_without_a_picture_are_passed_on_in_their_place() -> None:
    frames, begins = scenes.film("cut", 1)
    assert begins is not None
    small = [cv2.resize(f[..., 0], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for f in frames]
    broken = {begins - 1, begins, begins + 2, len(frames) - 1}
    passed = list(
        with_cuts(range(len(frames)), lambda n: None if n in broken else (n / 25, small[n]))
    )
    assert [number for number, _ in passed] == list(range(len(frames)))
    assert [number for number, is_cut in passed if is_cut] == [begins + 1]


class _Detector:
    name = "middle"


class _Middle:
    """Finds a face in the middle of every picture."""

    labels = LabelSet(("happy", "sad"))
    detector = _Detector()
    prior = "training"
    certain_from = 0.5

    def faces_in(self, image: np.ndarray) -> list[Face]:
        size = Quality(size_px=50, sharpness=1)
        return [Face((50, 30, 100, 90), 0.9, None, "happy", {"happy": 0.9, "sad": 0.1}, 0.5, size)]


def write_film(path: Path, frames: np.ndarray) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("every", [None, 0.2])
def test_a_cut_ends_every_track_also_between_frames_looked_at(
    tmp_path: Path, every: float | None
) -> None:
    frames, begins = scenes.film("cut", 0)
    assert begins is not None
    film = write_film(tmp_path / "film.mp4", frames)
    tracks = {
        frame.faces[0].track: frame.time_s or 0.0
        for frame in reversed(list(watch(film, _Middle(), every=every)))
    }
    assert set(tracks) == {0, 1}
    assert tracks[1] == pytest.approx(begins / 25, abs=0.21 if every else 0.001)
    whole = write_film(tmp_path / "whole.mp4", scenes.film("handheld", 0)[0])
    assert {frame.faces[0].track for frame in watch(whole, _Middle(), every=every)} == {0}


def dissolve(one: np.ndarray, other: np.ndarray, seconds: float) -> tuple[np.ndarray, int]:
    """Two still pictures, 1.5 s each with noise, one fading into the other; and where it ends."""
    long = round(25 * seconds)
    weights = [0.0] * 37 + list(np.linspace(0, 1, long + 2)[1:-1]) + [1.0] * 37
    frames = np.stack([one * (1 - weight) + other * weight for weight in weights])
    noise = np.random.default_rng(0).normal(0, 3, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8), 37 + long


@pytest.mark.parametrize("seconds", [0.4, 1.0, 2.0])
def test_a_cross_fade_is_one_cut_within_it(seconds: float) -> None:
    for seed in SEEDS:
        one, other = (scenes.film("still", 10 * seed + k, num=1)[0][0] for k in range(2))
        frames, ends = dissolve(one.astype(float), other.astype(float), seconds)
        found = cuts(frames)
        assert len(found) == 1 and 37 + (ends - 37) / 3 < found[0] <= ends + 3, (seed, found, ends)


def test_a_picture_that_turns_brighter_slowly_is_no_cross_fade() -> None:
    one = scenes.film("still", 1, num=1)[0][0].astype(float)
    assert cuts(dissolve(one * 0.4, one * 0.95, 1.0)[0]) == []
