"""Head pose: known turns of a mean face come back, others nearly."""

from __future__ import annotations

import numpy as np
import pytest

from mien.errors import UsageError
from mien.vision.head_pose import MEAN_FACE, angles, head_pose, turned

TURNS = [(0, 0, 0), (30, 0, 0), (-30, 10, 5), (0, 20, 0), (0, -20, 0), (0, 0, 30), (50, 15, -100)]


def seen(turn: np.ndarray, shape: np.ndarray = MEAN_FACE, far: float = 16) -> np.ndarray:
    """Landmarks of a face turned so, 200 pixels between the eyes."""
    points = shape @ turn.T
    return 500 + 200 * points[:, :2] * far / (far + points[:, 2:])


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_mean_face(turn: tuple[float, float, float]) -> None:
    assert angles(turned(*turn)) == pytest.approx(turn, abs=1e-6)
    assert head_pose(seen(turned(*turn))) == pytest.approx(turn, abs=1)


def test_signs_as_the_picture_shows_them() -> None:
    nose = {
        name: seen(turned(*turn))[2] for name, turn in (("right", (30, 0, 0)), ("up", (0, 20, 0)))
    }
    straight = seen(np.eye(3))
    assert nose["right"][0] > straight[2, 0] and nose["up"][1] < straight[2, 1]
    tilted = seen(turned(0, 0, 20))
    assert tilted[1, 1] > tilted[0, 1]  # clockwise: the right end of the eyes' line is lower
    mirrored = seen(turned(25, 5, 10)) * (-1, 1)
    found = head_pose(mirrored[[1, 0, 2, 4, 3]])
    assert found == pytest.approx((-25, 5, -10), abs=1)


def test_other_faces_and_noise_stay_within_what_the_docs_say() -> None:
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(200):
        turn = rng.uniform((-50, -25, -30), (50, 25, 30))
        shape = MEAN_FACE * (1 + rng.normal(0, 0.05, (1, 3))) + rng.normal(0, 0.025, (5, 3))
        found = head_pose(seen(turned(*turn), shape) + rng.normal(0, 4, (5, 2)))
        assert found is not None
        errors.append(np.abs(np.array(found) - turn))
    assert np.mean(errors, axis=0) == pytest.approx((3.2, 2.8, 1.5), abs=0.7)


def test_where_the_face_is_and_how_large_makes_no_difference() -> None:
    points = seen(turned(20, -10, 5))
    assert head_pose(points / 9 + (3000, 12)) == pytest.approx(head_pose(points), abs=1e-4)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.arange(10.0).reshape(5, 2)])
def test_points_that_are_no_face_have_no_pose(points: np.ndarray) -> None:
    assert head_pose(points) is None
    with pytest.raises(UsageError, match="expected"):
        head_pose(points[:4])
