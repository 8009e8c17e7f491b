"""Draw timelines of a video: for each person the probabilities over time, and one of all persons.

Frames are counted in bins of time. If there are many bins, neighbours are merged, so memory does
not grow with the length of the video.
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
from mien.video.summary import Lasting, is_person, mean_step

_MOST_BINS = 4096
_FIRST_BIN_S = 1 / 64


@dataclass(frozen=True)
class Run:
    """A period in which a person was seen at every look.

    Attributes:
        edges: float64 (n + 1,), seconds: n bins.
        means: float64 (n, K), probabilities of the labels.
        uncertain: float64 (n,), share of uncertain answers.
        valence: float64 (n,); NaN where it is unknown.
    """

    edges: np.ndarray
    means: np.ndarray
    uncertain: np.ndarray
    valence: np.ndarray


class Timelines:
    """Collects the frames of one video and draws a picture for each person (`Face.track`).

    Args:
        labels: Those of the faces' probabilities, for names and colours.
    """

    def __init__(self, labels: LabelSet) -> None:
        self._labels = labels
        self._bin_s = _FIRST_BIN_S
        self._begin_s: float | None = None
        self._last_s = 0.0  # the latest look
        self._lasting = Lasting()
        self._seen_s: dict[int, float] = {}  # person -> seconds, without the last frame
        self._all_s = 0.0  # the same for all frames
        self._source = ""
        self._looks: dict[int, int] = {}  # bin -> number of frames looked at
        # person -> bin -> sums: a probability for each label, uncertain answers, perhaps no faces,
        # answers
        self._people: dict[int, dict[int, np.ndarray]] = {}

    def add(self, frame: Frame) -> None:
        """Count a frame; an unreadable one shows nobody, and one without a time is ignored."""
        if frame.time_s is None:
            return
        if self._begin_s is None:
            self._begin_s, self._last_s, self._source = frame.time_s, frame.time_s, frame.source
        self._last_s = max(self._last_s, frame.time_s)
        before = self._lasting.add(frame)
        if before is not None:
            self._all_s += before[1]
            for track in _people_in(before[0]):
                self._seen_s[track] = self._seen_s.get(track, 0.0) + before[1]
        # A clock that steps back far would need bins before the first; the first one counts it.
        place = max(0, math.floor((frame.time_s - self._begin_s) / self._bin_s))
        while place >= _MOST_BINS:
            self._join()
            place //= 2
        self._looks[place] = self._looks.get(place, 0) + 1
        for face in frame.faces:
            if face.track is None:
                continue
            counted = self._people.setdefault(face.track, {})
            if place not in counted:
                counted[place] = np.zeros(len(self._labels) + 3)
            doubts = float(face.uncertain), float(face.perhaps_no_face)
            counted[place] += (*face.probabilities.values(), *doubts, 1.0)

    def write(self, folder: str | os.PathLike[str], *, most: int = 20) -> list[Path]:
        """Write `person-0.png` and so on, and `overview.png` with all of them.

        Args:
            folder: Created if it does not exist.
            most: Draw at most so many persons, those seen longest.

        Returns:
            The files of the persons, in the order of their numbers, and the overview; empty if
            nobody was seen.
        """
        from mien.video.timeline_drawing import draw_overview, draw_person

        looks = {
            track: int(sum(sums[-1] for sums in bins.values()))
            for track, bins in self._people.items()
        }
        persons = self.persons()
        longest = sorted(persons, key=lambda track: (-looks[track], track))[:most]
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
        """The tracks that are a person (`mien.video.summary.is_person`)."""
        num_looks = sum(self._looks.values())
        begin_s = self._begin_s or 0.0
        step_s = mean_step(begin_s, self._last_s, num_looks)
        found = []
        for track, bins in sorted(self._people.items()):
            no_face, seen = np.sum([sums[-2:] for sums in bins.values()], axis=0)
            if is_person(int(seen), int(no_face), step_s):
                found.append(track)
        return found

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
        """Seconds for which a person was visible, and seconds of analysed video, by the rule of
        `mien.video.summary.Lasting`.
        """
        last = self._lasting.rest()
        if last is None:
            return 0.0, 0.0
        there = last[1] if track in _people_in(last[0]) else 0.0
        return self._seen_s.get(track, 0.0) + there, self._all_s + last[1]

    def _join(self) -> None:
        self._bin_s *= 2
        looks: dict[int, int] = {}
        for place, count in self._looks.items():
            looks[place // 2] = looks.get(place // 2, 0) + count
        self._looks = looks
        for track, bins in self._people.items():
            joined: dict[int, np.ndarray] = {}
            for place, sums in bins.items():
                joined[place // 2] = joined[place // 2] + sums if place // 2 in joined else sums
            self._people[track] = joined

    def _end_s(self) -> float:
        """End of the last frame in seconds."""
        last = self._lasting.rest()
        return self._last_s + (last[1] if last else 0.0)

    def runs(self, track: int) -> list[Run]:
        """The periods in which a person was seen."""
        places = sorted(self._looks)
        begin_s = self._begin_s or 0.0
        edges = [begin_s] if not places else [begin_s + p * self._bin_s for p in places]
        edges.append(max(self._end_s(), edges[-1]))
        runs: list[Run] = []
        start = None
        bins = self._people[track]
        for i in range(len(places) + 1):
            there = i < len(places) and places[i] in bins
            if there and start is None:
                start = i
            if not there and start is not None:
                sums = np.stack([bins[place] for place in places[start:i]])
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
        found = valence(self._labels.names, [float(p) for p in probabilities])
        return math.nan if found is None else found


def _people_in(frame: Frame) -> set[int]:
    return {face.track for face in frame.faces if face.track is not None}
