"""Numbers that stay with their faces."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from walkers import crowd

from mien.errors import UsageError
from mien.video.tracker import Tracker, assign


def box(x: float, y: float = 200, size: float = 80) -> list[float]:
    return [x - size / 2, y - size / 2, x + size / 2, y + size / 2]


def follow(looks: list[tuple[float, list[list[float]]]]) -> list[list[int]]:
    tracker = Tracker()
    return [
        tracker.update(time_s, np.array(boxes, np.float32).reshape(-1, 4))
        for time_s, boxes in looks
    ]


# Assignment.


def test_assignment_is_the_best_there_is() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        rows, columns = (int(n) for n in rng.integers(1, 6, 2))
        gains = (
            np.round(rng.random((rows, columns)) * 4)
            if rng.random() < 0.3
            else rng.random((rows, columns))
        )
        pairs = assign(gains)
        assert len(pairs) == min(rows, columns)
        assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
        wide = gains if rows <= columns else gains.T
        best = max(
            sum(wide[i, column] for i, column in enumerate(chosen))
            for chosen in itertools.permutations(range(wide.shape[1]), wide.shape[0])
        )
        assert math.isclose(sum(gains[pair] for pair in pairs), best)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_assign(shape: tuple[int, int]) -> None:
    assert assign(np.zeros(shape)) == []


# Tracking.


def test_numbers_follow_faces_not_their_order() -> None:
    found = follow(
        [(k / 30, [box(100 + 3 * k), box(500)][:: 1 if k % 2 else -1]) for k in range(20)]
    )
    assert found[0] == [0, 1]  # at first in the order found: here the still face comes first
    assert found[1:] == [[1, 0] if k % 2 else [0, 1] for k in range(1, 20)]


@pytest.mark.parametrize("step_s", [1 / 30, 0.2])
def test_a_second_out_of_sight_is_survived_and_more_is_not(step_s: float) -> None:
    before = [(k * step_s, [box(300)]) for k in range(10)]
    start = before[-1][0] + step_s  # the first look without the face
    for away_s, number in ((0.4, 0), (1.0, 0), (1.0 + step_s, 1)):
        away = [(start + k * step_s, []) for k in range(round(away_s / step_s))]
        found = follow([*before, *away, (start + len(away) * step_s, [box(302)])])
        assert found[-1] == [number], away_s


def test_a_number_is_never_given_twice() -> None:
    rng = np.random.default_rng(3)
    tracker, given, before = Tracker(), 0, set()
    for k in range(400):  # faces at random places that come and go; none is out of sight for a look
        boxes = np.array(
            [box(*rng.uniform(0, 4000, 2)) for _ in range(rng.integers(0, 4))]
        ).reshape(-1, 4)
        numbers = tracker.update(k * 2.0, boxes)
        new = sorted(set(numbers) - before)
        assert new == list(range(given, given + len(new)))
        given, before = given + len(new), set(numbers)
    assert given > 300


def test_a_moving_face_is_found_where_it_went() -> None:
    """It walks 300 pixels a second and is hidden for 0.8 s, in which a box of another stands where
    it was last.
    """
    looks = [(k / 25, [box(100 + 12 * k, 200), box(900)]) for k in range(25)]
    looks += [(k / 25, [box(900)]) for k in range(25, 45)]
    looks += [(45 / 25, [box(100 + 12 * 45, 200), box(900)])]
    assert follow(looks)[-1] == [0, 1]


def test_far_away_is_somebody_else() -> None:
    assert follow([(0, [box(100)]), (0.04, [box(600)])]) == [[0], [1]]
    assert follow([(0, [box(100, size=40)]), (0.04, [box(100, size=160)])]) == [[0], [1]]


def test_seldom_looks_keep_a_face_that_stays() -> None:
    assert (
        follow([(5.0 * k, [box(300 + 20 * (-1) ** k), box(800)]) for k in range(6)]) == [[0, 1]] * 6
    )


def test_a_clock_that_steps_back_breaks_nothing() -> None:
    assert follow([(100.0, [box(300)]), (100.04, [box(300)]), (0.0, [box(301)]), (0.04, [])]) == [
        [0],
        [0],
        [0],
        [],
    ]
    assert follow([(9.0, [box(300)]), (9.04, []), (0.0, []), (0.5, [box(300)])])[-1] == [0]


def test_crossings_and_occlusions() -> None:
    """Four drawn people for 30 s at 25 looks a second, seeded: at most 2 % of the returns get
    another's number.
    """
    returns = mistaken = renewed = 0
    for seed in range(3):
        tracker, owner, last = Tracker(), {}, {}
        for time_s, people, boxes in crowd(seed):
            numbers = tracker.update(time_s, boxes)
            for person, number in zip(people, numbers, strict=True):
                if person in last and time_s - last[person][1] <= 1.0:
                    returns += time_s - last[person][1] > 0.1
                    mistaken += owner.get(number, person) != person
                    renewed += number not in owner
                owner[number] = person
                last[person] = (number, time_s)
    assert returns > 80
    assert mistaken <= 0.02 * returns
    assert renewed <= 0.05 * returns


@pytest.mark.parametrize("boxes", [np.zeros(4), np.zeros((1, 5)), np.full((1, 4), np.nan)])
def test_no_boxes(boxes: np.ndarray) -> None:
    with pytest.raises(UsageError, match="tracker: got boxes"):
        Tracker().update(0.0, boxes)
