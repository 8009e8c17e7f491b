"""Which frames of a video are looked at small, and which are not."""

from __future__ import annotations

import numpy as np

from mien.results import Face, Quality
from mien.video.glances import FULL_SEARCH_S, Glances

IMAGE = np.zeros((720, 1280, 3), np.uint8)  # a face is large from 64 px


def face(side: float) -> Face:
    return Face((0, 0, side, side), 0.9, None, "a", {"a": 1, "b": 0}, 0, Quality(side, 1))


class Finder:
    """What it sees is told; which looks it was asked for is kept."""

    def __init__(self, *sides: float) -> None:
        self.whole = [face(side) for side in sides]
        self.small: list[Face] | None = list(self.whole)
        self.looks = ""

    def faces_in(self, image: np.ndarray) -> list[Face]:
        self.looks += "W"
        return self.whole

    def glance(self, image: np.ndarray) -> list[Face] | None:
        self.looks += "g"
        return self.small


def watched(finder: Finder, *times_s: float) -> str:
    glances = Glances(finder)
    for time_s in times_s:
        assert glances.faces(time_s, IMAGE) in (finder.whole, finder.small)
    return finder.looks


def test_large_faces_are_looked_at_whole_twice_a_second() -> None:
    assert FULL_SEARCH_S == 0.5
    looks = watched(Finder(100, 200), *(number / 25 for number in range(26)))
    assert looks == "W" + 12 * "g" + "W" + 12 * "g"


def test_small_faces_and_none_are_always_looked_for_whole() -> None:
    assert watched(Finder(200, 63), 0, 0.1, 0.2) == "WWW"
    assert watched(Finder(), 0, 0.1, 0.2) == "WWW"


def test_what_the_small_look_misses_is_looked_for_whole_at_once() -> None:
    finder = Finder(100, 200)
    finder.small = [finder.whole[0]]
    assert watched(finder, 0, 0.1, 0.2, 0.3, 0.5, 0.6) == "WgWWWWgW"
    shrinking = Finder(100)
    shrinking.small = [face(60)]
    assert watched(shrinking, 0, 0.1) == "WgW"
    same_look = Finder(100)
    same_look.small = None  # a picture that is small itself
    assert watched(same_look, 0, 0.1) == "WgW"


def test_a_cut_a_pause_and_time_that_steps_back_are_looked_at_whole() -> None:
    finder = Finder(100)
    glances = Glances(finder)
    glances.faces(0, IMAGE)
    glances.cut()
    glances.faces(0.1, IMAGE)
    assert finder.looks == "WW"
    assert watched(Finder(100), 0, 0.6, 0.5) == "WWW"


def test_a_finder_without_a_small_look_is_asked_whole() -> None:
    class Plain:
        looks = 0

        def faces_in(self, image: np.ndarray) -> list[Face]:
            self.looks += 1
            return [face(100)]

    finder = Plain()
    glances = Glances(finder)
    for number in range(3):
        assert len(glances.faces(number / 25, IMAGE)) == 1
    assert finder.looks == 3
