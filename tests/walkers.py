"""Drawn people who walk, cross and hide: boxes whose owners are known. Also for
benchmarks/tracking.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np


def crowd(
    seed: int, num: int = 4, seconds: float = 30, step_s: float = 0.04
) -> Iterator[tuple[float, list[int], np.ndarray]]:
    """Boxes that cross; hidden where a larger one covers 40 %, or for 0.2 to 1 s about every ten; 3
    % are missed.
    """
    rng = np.random.default_rng(seed)
    size = rng.uniform(60, 160, num)
    pace, bob, phase = (
        rng.uniform(0.05, 0.2, num),
        rng.uniform(0.1, 0.5, num),
        rng.uniform(0, 6.28, (2, num)),
    )
    hidden_until = np.full(num, -1.0)
    for time_s in np.arange(0, seconds, step_s):
        x = 640 + 450 * np.sin(6.28 * pace * time_s + phase[0])
        y = 360 + 60 * np.sin(6.28 * bob * time_s + phase[1])
        boxes = np.stack([x - size / 2, y - size * 0.6, x + size / 2, y + size * 0.6], 1)
        seen = np.ones(num, bool)
        for i, j in itertools.permutations(range(num), 2):
            shared = np.clip(
                np.minimum(boxes[i, 2:], boxes[j, 2:]) - np.maximum(boxes[i, :2], boxes[j, :2]),
                0,
                None,
            )
            seen[i] &= size[j] < size[i] or shared.prod() < 0.4 * 1.2 * size[i] ** 2
        hides = rng.random(num) < step_s / 10
        hidden_until = np.where(hides, time_s + rng.uniform(0.2, 0.9, num), hidden_until)
        seen &= (time_s >= hidden_until) & (rng.random(num) > 0.03)
        people = rng.permutation(np.flatnonzero(seen))
        yield (
            float(time_s),
            people.tolist(),
            (boxes + rng.normal(0, 0.03, (num, 4)) * size[:, None])[people],
        )
