"""Timelines of a video: the probabilities over time for each person, and an overview of all.

Frames are counted in time bins. When there are many, neighbours are merged, so memory does not grow
with the length of the video.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.labels import LabelSet
from mien.results import Frame
from mien.results.types import valence
from mien.video.summary import FrameDurations, is_person, mean_step

_MAX_BINS = 4096
_FIRST_BIN_S = 1 / 64


@dataclass(frozen=True)
class Run:
    """A period in which a person was seen in every analysed frame.

    Attributes:
        edges: float64 (n + 1,), edges of n bins in seconds.
        means: float64 (n, K), mean probabilities of the labels.
        uncertain: float64 (n,), share of uncertain predictions, 0 to 1.
        valence: float64 (n,), -1 to 1; NaN where it is undefined.
    """

    edges: np.ndarray
    means: np.ndarray
    uncertain: np.ndarray
    valence: np.ndarray


class Timelines:
    """Collects the frames of one video and draws a picture for each person (`Face.track`).

    Args:
        labels: The labels of the faces, for names and colours.
    """

    def __init__(self, labels: LabelSet) -> None:
        self._labels = labels
        self._bin_s = _FIRST_BIN_S
        self._begin_s: float | None = None
        self._last_s = 0.0  # time of the latest frame
        self._durations = FrameDurations()
        self._seen_s: dict[int, float] = {}  # person -> seconds, without the last frame
        self._total_s = 0.0  # the same for all frames
        self._source = ""
        self._looks: dict[int, int] = {}  # bin -> number of analysed frames
        # person -> bin -> sums of: the probability of each label, uncertain predictions, "perhaps
        # no face", and predictions
        self._people: dict[int, dict[int, np.ndarray]] = {}

    def add(self, frame: Frame) -> None:
        """Count a frame. An unreadable one shows nobody; one without a time is ignored."""
        if frame.time_s is None:
            return
        if self._begin_s is None:
            self._begin_s, self._last_s, self._source = frame.time_s, frame.time_s, frame.source
        self._last_s = max(self._last_s, frame.time_s)
        previous = self._durations.add(frame)
        if previous is not None:
            self._total_s += previous[1]
            for track in _people_in(previous[0]):
                self._seen_s[track] = self._seen_s.get(track, 0.0) + previous[1]
        # If the clock stepped back beyond the start, the first bin counts the frame.
        bin_index = max(0, math.floor((frame.time_s - self._begin_s) / self._bin_s))
        while bin_index >= _MAX_BINS:
            self._merge_bins()
            bin_index //= 2
        self._looks[bin_index] = self._looks.get(bin_index, 0) + 1
        for face in frame.faces:
            if face.track is None:
                continue
            bins = self._people.setdefault(face.track, {})
            if bin_index not in bins:
                bins[bin_index] = np.zeros(len(self._labels) + 3)
            doubts = float(face.uncertain), float(face.perhaps_no_face)
            bins[bin_index] += (*face.probabilities.values(), *doubts, 1.0)

    def write(self, folder: str | os.PathLike[str], *, max_persons: int = 20) -> list[Path]:
        """Write `person-0.png` and so on, and `overview.png` for all of them.

        Args:
            folder: Created if it does not exist.
            most: Largest number of persons to draw; those seen longest come first.

        Returns:
            The paths of the persons' files, by number, and of the overview; empty if nobody was
            seen.
        """
        from mien.video.timeline_drawing import draw_overview, draw_person

        looks = {
            track: int(sum(sums[-1] for sums in bins.values()))
            for track, bins in self._people.items()
        }
        persons = self.persons()
        longest = sorted(persons, key=lambda track: (-looks[track], track))[:max_persons]
        paths = []
        for track in sorted(longest):
            Path(folder).mkdir(parents=True, exist_ok=True)
            paths.append(Path(folder) / f"person-{track}.png")
            draw_person(self, track).save(paths[-1])
        if longest:
            paths.append(Path(folder) / "overview.png")
            draw_overview(self, sorted(longest), len(persons) - len(longest)).save(paths[-1])
        return paths

    def persons(self) -> list[int]:
        """The numbers of the tracks that are a person (`mien.video.summary.is_person`)."""
        num_frames = sum(self._looks.values())
        begin_s = self._begin_s or 0.0
        step_s = mean_step(begin_s, self._last_s, num_frames)
        tracks = []
        for track, bins in sorted(self._people.items()):
            no_face, seen = np.sum([sums[-2:] for sums in bins.values()], axis=0)
            if is_person(int(seen), int(no_face), step_s):
                tracks.append(track)
        return tracks

    @property
    def labels(self) -> LabelSet:
        return self._labels

    @property
    def source(self) -> str:
        return self._source

    @property
    def bin_s(self) -> float:
        return self._bin_s

    def span(self) -> tuple[float, float]:
        """Start of the video and end of its last frame, in seconds."""
        begin_s = self._begin_s or 0.0
        return begin_s, max(self._end_s(), begin_s + 1e-3)

    def seconds(self, track: int) -> tuple[float, float]:
        """Seconds for which a person was visible, and seconds of analysed video
        (`mien.video.summary.FrameDurations`).
        """
        last = self._durations.last()
        if last is None:
            return 0.0, 0.0
        last_s = last[1] if track in _people_in(last[0]) else 0.0
        return self._seen_s.get(track, 0.0) + last_s, self._total_s + last[1]

    def _merge_bins(self) -> None:
        self._bin_s *= 2
        looks: dict[int, int] = {}
        for bin_index, count in self._looks.items():
            looks[bin_index // 2] = looks.get(bin_index // 2, 0) + count
        self._looks = looks
        for track, bins in self._people.items():
            merged: dict[int, np.ndarray] = {}
            for bin_index, sums in bins.items():
                merged[bin_index // 2] = (
                    merged[bin_index // 2] + sums if bin_index // 2 in merged else sums
                )
            self._people[track] = merged

    def _end_s(self) -> float:
        """End of the last frame in seconds."""
        last = self._durations.last()
        return self._last_s + (last[1] if last else 0.0)

    def runs(self, track: int) -> list[Run]:
        """The periods in which a person was seen."""
        bin_indices = sorted(self._looks)
        begin_s = self._begin_s or 0.0
        edges = [begin_s] if not bin_indices else [begin_s + p * self._bin_s for p in bin_indices]
        edges.append(max(self._end_s(), edges[-1]))
        runs: list[Run] = []
        start = None
        bins = self._people[track]
        for i in range(len(bin_indices) + 1):
            is_visible = i < len(bin_indices) and bin_indices[i] in bins
            if is_visible and start is None:
                start = i
            if not is_visible and start is not None:
                sums = np.stack([bins[bin_index] for bin_index in bin_indices[start:i]])
                means = sums / sums[:, -1:]
                runs.append(
                    Run(
                        np.array(edges[start : i + 1]),
                        means[:, :-3],
                        means[:, -3],
                        np.array([self._valence(row) for row in means[:, :-3]]),
                    )
                )
                start = None
        return runs

    def _valence(self, probabilities: np.ndarray) -> float:
        value = valence(self._labels.names, [float(p) for p in probabilities])
        return math.nan if value is None else value


def _people_in(frame: Frame) -> set[int]:
    return {face.track for face in frame.faces if face.track is not None}
