"""Smoothing of probabilities in time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mien.errors import UsageError
from mien.video.smoothing import Smoother
from mien.video.tracker import Tracker


def test_a_step_shows_by_the_stated_share_whatever_the_rate() -> None:
    low, high = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    for rate in (5, 10, 50):
        smoother = Smoother(0.4)
        smoother.update(0, 0.0, low)
        for k in range(1, round(0.4 * rate) + 1):
            shown = smoother.update(0, k / rate, high)
        assert shown[1] == pytest.approx(1 - math.exp(-1))
        assert shown.sum() == pytest.approx(1)


def test_irregular_steps_agree_with_one_long_step() -> None:
    low, high = np.array([0.8, 0.2]), np.array([0.3, 0.7])
    one, many = Smoother(0.3), Smoother(0.3)
    one.update(7, 0.0, low)
    many.update(7, 0.0, low)
    for time_s in (0.01, 0.2, 0.21):
        many.update(7, time_s, high)
    np.testing.assert_allclose(one.update(7, 0.5, high), many.update(7, 0.5, high))


def test_people_do_not_mix_and_the_first_answer_counts_fully() -> None:
    smoother = Smoother(1.0)
    smoother.update(0, 0.0, np.array([1.0, 0.0]))
    assert smoother.update(1, 0.01, np.array([0.0, 1.0])).tolist() == [0.0, 1.0]


def test_no_smoothing_and_long_absence() -> None:
    raw = np.array([0.25, 0.75])
    assert Smoother(0).update(0, 0.0, raw) is raw or (Smoother(0).update(0, 0.0, raw) == raw).all()
    smoother = Smoother(0.3)
    smoother.update(0, 0.0, raw[::-1])
    np.testing.assert_allclose(smoother.update(0, 60.0, raw), raw)


def test_smoothing_forgets_those_who_left() -> None:
    smoother = Smoother(0.1)
    for track in range(5000):
        smoother.update(track, track * 0.5, np.array([0.5, 0.5]))
    assert len(smoother._last) <= 65


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_what_is_no_time(value: float) -> None:
    with pytest.raises(UsageError, match="smoothing"):
        Smoother(value)
    with pytest.raises(UsageError, match="memory_s"):
        Tracker(value)
