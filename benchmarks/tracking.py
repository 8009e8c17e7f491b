"""How often the tracker changes a person's number, beside the same tracker that compares boxes by
their overlap.

    python benchmarks/tracking.py [--seeds 5]

Four drawn people walk to and fro across 1280 x 720, cross and hide each other (tests/walkers.py),
for 20 s at 30 looks a second and for 60 s at 5. A return is somebody who is seen again after more
than 0.15 s and at most one second: at 5 looks a second every sighting is one. Counted are returns
with another number than before, and those with a number that was somebody else's. For the overlap
(intersection over union, as in SORT) both boxes are grown to each side by so many standard
deviations of the prediction; the best of its settings counts, which are tried on the same walks.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import harness
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from walkers import crowd

from mien.video import tracker as tracking

GROWN = (0.0, 0.3, 0.6, 1.0)  # standard deviations
LEAST = (0.05, 0.2)  # overlap from which a box may be the predicted one


def by_overlap(grown: float) -> Callable[[Sequence[Any], np.ndarray], np.ndarray]:
    def closeness(tracks: Sequence[Any], boxes: np.ndarray) -> np.ndarray:
        gains = np.zeros((len(tracks), len(boxes)))
        for row, one in enumerate(tracks):
            size = one.size.mean()
            more = grown * size * min(float(one.spread[0, 0]), tracking._MAX_VARIANCE) ** 0.5
            low, high = one.centre - one.size / 2 - more, one.centre + one.size / 2 + more
            # The found boxes grow by as much, or growing would only ever lower the overlap.
            shared = np.minimum(boxes[:, 2:] + more, high) - np.maximum(boxes[:, :2] - more, low)
            area = np.clip(shared, 0, None).prod(axis=1)
            gains[row] = area / (
                (boxes[:, 2:] - boxes[:, :2] + 2 * more).prod(axis=1) + (high - low).prod() - area
            )
        return gains

    return closeness


def mistakes(seeds: Sequence[int], seconds: float, step_s: float) -> tuple[int, int, int]:
    """Returns, those with another number than before, and of these those with somebody else's."""
    returns = changed = mistaken = 0
    for seed in seeds:
        tracker, owner, last = tracking.Tracker(), dict[int, int](), dict[int, tuple[int, float]]()
        for time_s, people, boxes in crowd(seed, seconds=seconds, step_s=step_s):
            for person, number in zip(people, tracker.update(time_s, boxes), strict=True):
                if person in last and 0.15 < time_s - last[person][1] <= 1.0 + 1e-9:
                    returns += 1
                    if number != last[person][0]:
                        changed += 1
                        mistaken += owner.get(number, person) != person
                owner[number], last[person] = person, (number, time_s)
    return returns, changed, mistaken


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    seeds = range(100, 100 + options.seeds)  # not those of the test
    own = tracking._closeness, tracking._MIN_CLOSENESS
    for rate, seconds in ((30, 20.0), (5, 60.0)):
        tracking._closeness, tracking._MIN_CLOSENESS = own
        returns, changed, mistaken = mistakes(seeds, seconds, 1 / rate)
        print(
            f"{rate:2d} looks a second, Gaussian: returns {returns}, changed {changed}, somebody "
            f"else's {mistaken}"
        )
        tried = []
        for grown, least in itertools.product(GROWN, LEAST):
            tracking._closeness, tracking._MIN_CLOSENESS = by_overlap(grown), least
            returns, changed, mistaken = mistakes(seeds, seconds, 1 / rate)
            tried.append((changed, mistaken, returns, grown, least))
        changed, mistaken, returns, grown, least = min(tried)
        print(
            f"{rate:2d} looks a second, overlap : returns {returns}, changed {changed}, somebody "
            f"else's {mistaken} (best of {len(tried)}: grown by {grown}, least {least})",
            flush=True,
        )


if __name__ == "__main__":
    main()
