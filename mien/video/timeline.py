"""A picture per person of a video: how likely each expression was, over time.

What is kept of a video is counted in bins of time. When these become many they are joined two by
two, so memory does not grow with the length of the video.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien.labels import LabelSet
from mien.results import Frame
from mien.video.summary import Lasting

if TYPE_CHECKING:
    from PIL.Image import Image

_MOST_BINS = 4096
_FIRST_BIN_S = 1 / 64
_WIDTH, _ROW, _GAP, _MARGIN, _HEAD, _FOOT = 1200, 60, 10, 16, 58, 50  # pixels
_PAPER, _INK, _DIM, _GRID, _AWAY = (
    (255, 255, 255),
    (30, 30, 30),
    (110, 110, 110),
    (214, 214, 214),
    (241, 241, 241),
)


class Timelines:
    """Collects the frames of one video and draws a picture for each person (`Face.track`).

    Args:
        labels: Of the faces' probabilities; for names and colours.
    """

    def __init__(self, labels: LabelSet) -> None:
        self._labels = labels
        self._bin_s = _FIRST_BIN_S
        self._begin_s: float | None = None
        self._last_s = 0.0  # the latest look
        self._lasting = Lasting()
        self._seen_s: dict[int, float] = {}  # person -> seconds, without the last frame
        self._all_s = 0.0  # likewise of all frames
        self._source = ""
        self._looks: dict[int, int] = {}  # bin -> number of frames looked at
        # person -> bin -> sums: a probability for each label, uncertain answers, answers
        self._people: dict[int, dict[int, np.ndarray]] = {}

    def add(self, frame: Frame) -> None:
        """Count a frame; one that could not be read shows nobody, one without a time is passed
        over.
        """
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
        # A clock that steps back far would need bins before the first; they are counted in it.
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
                counted[place] = np.zeros(len(self._labels) + 2)
            counted[place] += (*face.probabilities, float(face.uncertain), 1.0)

    def write(
        self, folder: str | os.PathLike[str], *, most: int = 20, least_looks: int = 3
    ) -> list[Path]:
        """Write `person-0.png` and so on.

        Args:
            folder: Made where it does not exist.
            most: At most so many pictures: of those who were seen longest.
            least_looks: None of those seen in fewer frames, who are mostly no faces.

        Returns:
            The files, in the order of the persons' numbers.
        """
        seen = {
            track: int(sum(sums[-1] for sums in bins.values()))
            for track, bins in self._people.items()
        }
        longest = sorted(
            (track for track in seen if seen[track] >= least_looks), key=lambda t: (-seen[t], t)
        )[:most]
        paths = []
        for track in sorted(longest):
            Path(folder).mkdir(parents=True, exist_ok=True)
            paths.append(Path(folder) / f"person-{track}.png")
            self._draw(track).save(paths[-1])
        return paths

    def seconds(self, track: int) -> tuple[float, float]:
        """How long a person was seen, of how long was looked: by the rule of
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
        """When the last frame's time is up."""
        last = self._lasting.rest()
        return self._last_s + (last[1] if last else 0.0)

    def _runs(self, track: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Stretches in which a person was seen at every look: edges (n + 1,) in seconds, means (n,
        K + 1).
        """
        places = sorted(self._looks)
        edges = (
            [self._begin_s or 0.0]
            if not places
            else [(self._begin_s or 0.0) + p * self._bin_s for p in places]
        )
        edges.append(max(self._end_s(), edges[-1]))
        runs: list[tuple[np.ndarray, np.ndarray]] = []
        start = None
        bins = self._people[track]
        for i in range(len(places) + 1):
            there = i < len(places) and places[i] in bins
            if there and start is None:
                start = i
            if not there and start is not None:
                sums = np.stack([bins[place] for place in places[start:i]])
                runs.append((np.array(edges[start : i + 1]), sums[:, :-1] / sums[:, -1:]))
                start = None
        return runs

    def _draw(self, track: int) -> Image:
        begin_s = self._begin_s or 0.0
        runs = self._runs(track)
        page = _Page(self._labels, begin_s, max(self._end_s(), begin_s + 1e-3))
        seen_s, all_s = self.seconds(track)
        source = os.path.basename(self._source) or self._source
        page.title(f"Person {track}", f"seen {_span(seen_s)} of {_span(all_s)} in {source}")
        for row in range(len(self._labels.names)):
            page.probabilities(row, runs, self._bin_s)
        page.uncertain(runs)
        page.axis()
        return page.image


_Runs = list[tuple[np.ndarray, np.ndarray]]


class _Page:
    """The picture of one person: a row a label, a row of uncertain answers, the seconds below."""

    def __init__(self, labels: LabelSet, begin_s: float, end_s: float) -> None:
        import PIL.Image
        from PIL import ImageDraw, ImageFont

        self._labels = labels
        self._font, self._small, self._large = (
            ImageFont.load_default(size) for size in (15, 13, 19)
        )
        longest = max(self._font.getlength(name) for name in (*labels.names, "uncertain"))
        self._left, self._right = _MARGIN + round(longest) + 44, _WIDTH - _MARGIN - 8
        # Upper edge of the row of uncertain answers.
        self._low = _HEAD + len(labels.names) * (_ROW + _GAP)
        self._begin_s, self._end_s = begin_s, end_s
        step = _nice_step((end_s - begin_s) / 10)
        first, last = math.ceil(begin_s / step), math.floor(end_s / step + 1e-9)
        self._ticks = [n * step for n in range(first, last + 1)]
        self.image = PIL.Image.new("RGB", (_WIDTH, self._low + 14 + _FOOT), _PAPER)
        self._pen = ImageDraw.Draw(self.image)

    def _x(self, time_s: float) -> float:
        inside_s = min(max(time_s, self._begin_s), self._end_s) - self._begin_s
        return self._left + (self._right - self._left) * inside_s / (self._end_s - self._begin_s)

    def title(self, person: str, about: str) -> None:
        self._pen.text((_MARGIN, _MARGIN), person, fill=_INK, font=self._large)
        beside = _MARGIN + self._large.getlength(person) + 14
        self._pen.text((beside, _MARGIN + 4), about, fill=_DIM, font=self._font)

    def probabilities(self, row: int, runs: _Runs, bin_s: float) -> None:
        """The row of one label."""
        pen, left, right = self._pen, self._left, self._right
        top = _HEAD + row * (_ROW + _GAP)
        bottom = top + _ROW
        pen.rectangle((left, top, right, bottom), fill=_AWAY)
        for edges, _ in runs:
            pen.rectangle((self._x(edges[0]), top, self._x(edges[-1]), bottom), fill=_PAPER)
        for tick in self._ticks:
            pen.line((self._x(tick), top, self._x(tick), bottom), fill=_GRID)
        pen.line((left, (top + bottom) / 2, right, (top + bottom) / 2), fill=_GRID)
        colour = self._labels.colour(row)
        darker = tuple(int(colour[i : i + 2], 16) * 2 // 3 for i in (1, 3, 5))
        for edges, means in runs:
            # A look stands for the time up to the next one, but its point is where it was.
            points = np.minimum(edges[:-1] + bin_s / 2, edges[1:])
            xs = [self._x(time_s) for time_s in (edges[0], *points, edges[-1])]
            heights = (means[0, row], *means[:, row], means[-1, row])
            line = [
                (x, bottom - 1 - float(p) * (_ROW - 2)) for x, p in zip(xs, heights, strict=True)
            ]
            pen.polygon([(xs[0], bottom), *line, (xs[-1], bottom)], fill=colour)
            pen.line(line, fill=darker)
        pen.rectangle((left, top, right, bottom), outline=_DIM)
        name = self._labels.names[row]
        pen.text((_MARGIN, (top + bottom) / 2), name, fill=_INK, font=self._font, anchor="lm")
        for share, y in (("100%", top + 5), ("0%", bottom - 5)):
            pen.text((left - 6, y), share, fill=_DIM, font=self._small, anchor="rm")

    def uncertain(self, runs: _Runs) -> None:
        """When most answers were uncertain."""
        low = self._low
        self._pen.text((_MARGIN, low + 6), "uncertain", fill=_DIM, font=self._font, anchor="lm")
        for edges, means in runs:
            for i in np.flatnonzero(means[:, -1] >= 0.5):
                x0, x1 = self._x(edges[i]), self._x(edges[i + 1])
                self._pen.rectangle((x0, low + 1, max(x1, x0 + 1), low + 11), fill=_DIM)
        self._pen.rectangle((self._left, low, self._right, low + 12), outline=_DIM)

    def axis(self) -> None:
        pen, low = self._pen, self._low
        for tick in self._ticks:
            x = self._x(tick)
            pen.line((x, low + 12, x, low + 17), fill=_DIM)
            pen.text((x, low + 20), f"{tick:.10g}", fill=_DIM, font=self._small, anchor="mt")
        about = "seconds; gray where this person was not found"
        pen.text((self._right, low + 40), about, fill=_DIM, font=self._small, anchor="rt")


def _people_in(frame: Frame) -> set[int]:
    return {face.track for face in frame.faces if face.track is not None}


def _nice_step(about: float) -> float:
    """1, 2 or 5 times a power of ten (15, 30, 60 for seconds above ten), at least `about`."""
    power = 10 ** math.floor(math.log10(about)) if about > 0 else 1.0
    steps = [factor * power for factor in (1, 2, 5, 10)]
    if about > 10:
        steps = [15, 30, 60, 120, 300, 600, 900, 1800, 3600] + [3600 * 2**n for n in range(1, 30)]
    return next(step for step in steps if step >= about - 1e-12)


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min {rest} s" if hours else f"{minutes} min {rest} s"
