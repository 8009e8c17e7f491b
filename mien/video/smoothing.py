"""Smooth the probabilities of each tracked face over time."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np

from mien.errors import UsageError


class Smoother:
    """Exponential smoothing of the probabilities of each tracked face, for any frame intervals.

    `p <- p + (1 - exp(-dt / time_constant_s)) (new - p)`, where dt is the time since this face was
    last seen: a first-order low-pass filter. It reaches 63 % of a change after one time constant
    and 95 % after three. It is causal, and smoothed probabilities still sum to 1.

    Args:
        time_constant_s: In seconds; 0 for no smoothing.

    Raises:
        UsageError: if it is negative or not a number.
    """

    def __init__(self, time_constant_s: float) -> None:
        is_number = isinstance(time_constant_s, Real) and math.isfinite(time_constant_s)
        if not (is_number and time_constant_s >= 0):
            raise UsageError(
                f"smoothing: got the time constant {time_constant_s!r}; expected seconds, 0 or "
                "more. Fix: pass 0 for no smoothing, or a time such as 0.3"
            )
        self._time_constant_s = time_constant_s
        self._last: dict[int, tuple[float, np.ndarray]] = {}

    def update(self, track: int, time_s: float, probabilities: np.ndarray) -> np.ndarray:
        """Smoothed probabilities of one face, float64 (K,), from those of the frame (K,)."""
        smoothed = np.asarray(probabilities, np.float64)
        if self._time_constant_s == 0:
            return smoothed
        if track in self._last:
            previous_s, previous = self._last[track]
            smoothed = previous - math.expm1(
                -max(0.0, time_s - previous_s) / self._time_constant_s
            ) * (smoothed - previous)
        # Older values weigh less than a millionth, so they can be forgotten.
        oldest_s = time_s - 14 * self._time_constant_s
        if len(self._last) > 64:
            self._last = {
                number: entry for number, entry in self._last.items() if entry[0] >= oldest_s
            }
        self._last[track] = (time_s, smoothed)
        return smoothed
