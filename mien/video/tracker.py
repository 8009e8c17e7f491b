"""Track faces from frame to frame.

A track is a box whose centre is predicted by a Kalman filter (Kalman 1960) and whose width and
height are averaged. The centre's velocity decays slowly (an Ornstein-Uhlenbeck process), so
somebody who disappears behind another person is expected where the movement led, but not beyond the
picture. All settings are in seconds and face sizes, so they serve 60 frames a second and one frame
every 0.2 s, 30-pixel faces and 600-pixel faces. The design follows SORT (Bewley et al. 2016,
https://arxiv.org/abs/1602.00763), but a detected face is compared with a track by two Gaussians:
one of their distance, as wide as the prediction is uncertain, and one of the ratio of their sizes.
On drawn boxes this confuses half as many people as the overlap of boxes (IoU), even if the boxes
are enlarged by the same uncertainty (docs/videos.md). The Hungarian method finds the assignment
with the largest sum, first for tracks seen in the last frame, then for those out of sight.

Tracking does not recognise persons, it only continues boxes. So a cut to another scene ends all
tracks (`Tracker.cut`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mien.errors import UsageError

MEMORY_S = 1.0  # a face keeps its number while out of sight for at most this long
# Distances are in face sizes (mean of width and height). tests/video/test_tracker.py counts the
# mistakes that these values make on drawn boxes.
_BOX_NOISE = 0.05  # standard deviation of the detector's boxes
_SPEED = 5.0  # standard deviation of speeds, per second
_SPEED_MEMORY_S = 1.0  # time constant of the speed's decay
_NEAR = 0.3  # a box this far from its prediction fits well, however certain the prediction
_MAX_VARIANCE = 1.5  # of a prediction: even after a long step, the face is expected nearby
_MAX_DISTANCE = 2.0
_SIZE_RATIO = 0.3  # standard deviation of the logarithm of the sizes' ratio
_MIN_CLOSENESS = 0.3
_SIZE_MEMORY_S = 0.15  # time constant of averaging width and height


@dataclass
class _Track:
    number: int
    centre: np.ndarray  # (2,) pixels
    speed: np.ndarray  # (2,) pixels per second
    size: np.ndarray  # (2,) pixels: width, height
    covariance: np.ndarray  # (2, 2) of position and speed, the same for x and y, in face sizes
    seen_s: float
    missed_s: float | None = None  # time of the first frame in which it was not found

    def move(self, step_s: float) -> None:
        """Predict the position after `step_s` seconds, and its uncertainty."""
        decay = math.exp(-step_s / _SPEED_MEMORY_S)
        reach = _SPEED_MEMORY_S * (1 - decay)
        self.centre = self.centre + reach * self.speed
        self.speed = decay * self.speed
        step = np.array(((1, reach), (0, decay)))
        drift = _SPEED_MEMORY_S**2 * (2 * step_s / _SPEED_MEMORY_S - 3 + 4 * decay - decay * decay)
        cross = _SPEED_MEMORY_S * (1 - decay) ** 2
        noise = _SPEED**2 * np.array(((drift, cross), (cross, 1 - decay * decay)))
        self.covariance = step @ self.covariance @ step.T + noise

    def correct(self, box: np.ndarray, time_s: float) -> None:
        """Correct the prediction with the detected box."""
        gain = self.covariance[:, 0] / (self.covariance[0, 0] + _BOX_NOISE**2)
        innovation = (box[:2] + box[2:]) / 2 - self.centre
        self.centre = self.centre + gain[0] * innovation
        self.speed = self.speed + gain[1] * innovation
        self.covariance = self.covariance - np.outer(gain, self.covariance[0])
        share = 1 - math.exp(-(time_s - self.seen_s) / _SIZE_MEMORY_S)
        self.size = self.size + share * (box[2:] - box[:2] - self.size)
        self.seen_s, self.missed_s = time_s, None


class Tracker:
    """Numbers the faces of a video, from 0; no number is used twice.

    Args:
        memory_s: For how many seconds a face may be out of sight and keep its number, from the
            first frame without it to the frame that shows it again.

    Raises:
        UsageError: if `memory_s` is negative or not a number.
    """

    def __init__(self, memory_s: float = MEMORY_S) -> None:
        if not (math.isfinite(memory_s) and memory_s >= 0):
            raise UsageError(
                f"tracker: got memory_s {memory_s}; expected seconds, 0 or more. Fix: pass a time "
                f"such as {MEMORY_S}"
            )
        self._memory_s = memory_s
        self._tracks: list[_Track] = []
        self._next = 0
        self._time_s: float | None = None

    def update(self, time_s: float, boxes: np.ndarray) -> list[int]:
        """The track numbers of the faces detected in one frame, in the order of the boxes.

        Args:
            time_s: Its time in seconds. If it is before the last one, because the clock of a stream
                was set back, no time has passed.
            boxes: float (F, 4), `[x0, y0, x1, y1]` in pixels; F may be 0.

        Raises:
            UsageError: if the boxes have another shape or are not finite.
        """
        boxes = np.asarray(boxes, np.float64)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
            raise UsageError(
                f"tracker: got boxes {boxes.shape}; expected finite (F, 4). Fix: pass x0, y0, x1, "
                "y1 of each face"
            )
        step_s = 0.0 if self._time_s is None else max(0.0, time_s - self._time_s)
        if self._time_s is not None and time_s < self._time_s:
            for track in self._tracks:  # all clocks go back together
                track.seen_s += time_s - self._time_s
                track.missed_s = (
                    None if track.missed_s is None else track.missed_s + time_s - self._time_s
                )
        self._time_s = time_s
        self._tracks = [
            track
            for track in self._tracks
            if track.missed_s is None or time_s - track.missed_s <= self._memory_s + 1e-6
        ]
        for track in self._tracks:
            track.move(step_s)

        numbers = [-1] * len(boxes)
        for tracks in (
            [track for track in self._tracks if track.missed_s is None],
            [track for track in self._tracks if track.missed_s is not None],
        ):
            unmatched = [index for index, number in enumerate(numbers) if number < 0]
            closeness = _closeness(tracks, boxes[unmatched])
            for row, column in assign(closeness):
                if closeness[row, column] >= _MIN_CLOSENESS:
                    tracks[row].correct(boxes[unmatched[column]], time_s)
                    numbers[unmatched[column]] = tracks[row].number
        for track in self._tracks:
            if track.seen_s != time_s and track.missed_s is None and track.number not in numbers:
                track.missed_s = time_s
        for index, box in enumerate(boxes):
            if numbers[index] < 0:
                numbers[index] = self._begin(box, time_s)
        return numbers

    def cut(self) -> None:
        """End all tracks: a new scene begins."""
        self._tracks = []

    def _begin(self, box: np.ndarray, time_s: float) -> int:
        covariance = np.diag((_BOX_NOISE**2, _SPEED**2))
        centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        self._tracks.append(_Track(self._next, centre, np.zeros(2), size, covariance, time_s))
        self._next += 1
        return self._next - 1


def _closeness(tracks: Sequence[_Track], boxes: np.ndarray) -> np.ndarray:
    """How well each box fits each prediction, float64 (T, F) from 0 to 1 (same place and size)."""
    if not tracks or not len(boxes):
        return np.zeros((len(tracks), len(boxes)))
    size = np.stack([track.size for track in tracks]).mean(1)[:, None]
    centre = np.stack([track.centre for track in tracks])
    box_size = np.maximum((boxes[:, 2:] - boxes[:, :2]).mean(1), 1e-6)[None]
    box_centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    variance = np.minimum(
        np.array([track.covariance[0, 0] for track in tracks]) + _NEAR**2, _MAX_VARIANCE
    )[:, None]
    distance = np.sqrt(((box_centre[None] - centre[:, None]) ** 2).sum(2)) / size
    ratio = np.log(box_size / size)
    return np.where(
        distance > _MAX_DISTANCE,
        0,
        np.exp(-(distance**2) / variance / 2 - (ratio / _SIZE_RATIO) ** 2 / 2),
    )


def assign(gains: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column) with the largest sum of gains, using every row or every column.

    The Hungarian method (Kuhn 1955) with shortest augmenting paths (Jonker and Volgenant 1987).

    >>> assign(np.array([[3.0, 2.0], [3.0, 0.0]]))
    [(0, 1), (1, 0)]
    """
    num_rows, num_columns = gains.shape
    if num_rows > num_columns:
        return sorted((row, column) for column, row in assign(gains.T))
    costs = -np.asarray(gains, np.float64)
    row_price, column_price = np.zeros(num_rows), np.zeros(num_columns)
    owner = np.full(num_columns, -1)
    for start in range(num_rows):
        # Dijkstra over reduced costs from the new row to the nearest free column.
        best = np.full(num_columns, np.inf)
        predecessor = np.full(num_columns, -1)
        visited = np.zeros(num_columns, bool)
        row, column, length = start, -1, 0.0
        while True:
            reach = length + costs[row] - row_price[row] - column_price
            nearer = ~visited & (reach < best)
            best[nearer], predecessor[nearer] = reach[nearer], column
            column = int(np.argmin(np.where(visited, np.inf, best)))
            length = float(best[column])
            visited[column] = True
            if owner[column] < 0:
                break
            row = int(owner[column])
        row_price[start] += length
        visited_owned = visited & (owner >= 0)
        row_price[owner[visited_owned]] += length - best[visited_owned]
        column_price[visited] -= length - best[visited]
        while column >= 0:  # reassign the columns along the path
            previous = int(predecessor[column])
            owner[column] = start if previous < 0 else owner[previous]
            column = previous
    return sorted((int(row), column) for column, row in enumerate(owner) if row >= 0)
