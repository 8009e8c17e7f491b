"""A summary of a video: how long each person showed each expression, as a row for each person.
These are perceived expressions, not feelings.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.results import Face, Frame
from mien.results.types import ANGLES

# Time


class FrameDurations:
    """The duration of each frame of a source.

    A frame lasts until the next analysed frame, readable or not; the last one lasts as long as the
    one before. Frames without a time count equally.

    Attributes:
        step_s: Duration in seconds of the latest frame that has a successor; None before that.
    """

    def __init__(self) -> None:
        self.step_s: float | None = None
        self._pending: Frame | None = None  # its duration is known when the next frame comes

    def add(self, frame: Frame) -> tuple[Frame, float] | None:
        """Add the next frame, and return the one before with its duration; None for the first."""
        previous, self._pending = self._pending, frame
        if previous is None:
            return None
        if previous.time_s is not None and frame.time_s is not None:
            self.step_s = max(0.0, frame.time_s - previous.time_s)
        return previous, self._step()

    def last(self) -> tuple[Frame, float] | None:
        """The last frame and its duration, at the end of the source; None without frames."""
        return None if self._pending is None else (self._pending, self._step())

    def _step(self) -> float:
        return 1.0 if self.step_s is None else self.step_s


# Persons

MIN_FRAMES = 3  # of a person; boxes in fewer frames are mostly not faces
_MAX_TRACKING_STEP_S = 0.34  # puts three frames within the tracker's memory


def is_person(num_frames: int, num_no_face: int, step_s: float | None) -> bool:
    """Whether a track is a person: seen in at least three frames, and not mostly `perhaps no face`.

    If frames are too far apart for tracking, one frame is enough.
    """
    min_frames = MIN_FRAMES if step_s is not None and step_s <= _MAX_TRACKING_STEP_S else 1
    return num_frames >= min_frames and 2 * num_no_face < num_frames


def mean_step(begin_s: float | None, end_s: float | None, num_frames: int) -> float | None:
    """Mean seconds between analysed frames; None without a clock, or for a single frame."""
    if begin_s is None or end_s is None or num_frames < 2:
        return None
    return (end_s - begin_s) / (num_frames - 1)


# Summary


@dataclass
class _Measure:
    """Running mean and variance (Welford) of one measure, and for how long its label led."""

    mean: float = 0.0
    squares: float = 0.0
    highest: float = 0.0
    time_led: float = 0.0
    n: int = 0

    def add(self, value: float) -> None:
        self.n += 1
        step = value - self.mean
        self.mean += step / self.n
        self.squares += step * (value - self.mean)
        self.highest = max(self.highest, value)

    @property
    def sd(self) -> float | None:
        return math.sqrt(self.squares / (self.n - 1)) if self.n > 1 else None


_OTHER_MEASURES = ("valence", *ANGLES)


@dataclass
class _Person:
    num_frames: int = 0
    num_uncertain: int = 0
    num_transitions: int = 0
    first_s: float | None = None
    last_s: float | None = None
    seen_time: float = 0.0  # seconds, or frames if there is no clock
    last_label: str | None = None
    num_no_face: int = 0
    labels: dict[str, _Measure] = field(default_factory=dict)
    other_measures: dict[str, _Measure] = field(default_factory=dict)  # valence and angles

    def add(self, face: Face, time_s: float | None) -> None:
        self.num_frames += 1
        self.num_uncertain += face.uncertain
        self.num_transitions += self.last_label not in (None, face.label)
        self.last_label, self.last_s = face.label, time_s
        self.first_s = time_s if self.first_s is None else self.first_s
        self.num_no_face += face.perhaps_no_face
        for name, value in face.probabilities.items():
            self.labels.setdefault(name, _Measure()).add(value)
        for name, measure in zip(
            _OTHER_MEASURES, (face.valence, *(face.pose or (None,) * 3)), strict=True
        ):
            if measure is not None:
                self.other_measures.setdefault(name, _Measure()).add(measure)


@dataclass
class _Source:
    num_frames: int = 0
    num_with_face: int = 0
    num_failed: int = 0
    num_left_out: int = 0
    begin_s: float | None = None
    end_s: float | None = None
    people: dict[int | None, _Person] = field(default_factory=dict)
    durations: FrameDurations = field(default_factory=FrameDurations)

    def drop_non_persons(self) -> None:
        step_s = mean_step(self.begin_s, self.end_s, self.num_frames)
        for track, person in list(self.people.items()):
            if track is not None and not is_person(person.num_frames, person.num_no_face, step_s):
                self.num_left_out += self.people.pop(track).num_frames
        if not self.people:
            self.people[None] = _Person()


def summary(frames: Iterable[Frame], *, labels: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A row for each person of each source. `frames` may be an iterator; no frame is kept.

    Faces without a track share a row (`track` None); a source without any person has a row too.
    Tracks that are not a person (`is_person`) have no row; `faces_left_out` counts their faces. The
    columns:

    - `source`, `track`, `frames` (analysed), `frames_failed`, `frames_with_face` (any face),
      `faces` (of this person), `faces_left_out` (of no person), `first_s`, `last_s` (None for
      pictures), `seen_s` (seconds for which this person was seen), `uncertain` (share of the
      person's faces).
    - For each label, `mean_`, `sd_` (n - 1) and `max_` of its probability over this person's faces,
      equally weighted, and `share_`: the share of `seen_s` in which it was the label. A frame lasts
      until the next analysed one, the last as long as the one before; pictures count equally.
    - `mean_` and `sd_` of `valence`, `yaw`, `pitch` and `roll`.
    - `transitions`: how often the label changed from one face of this person to the next; None
      without a track.

    Figures without data are None, never 0.

    Args:
        frames: In the order of time.
        labels: The network's labels, which have columns even if there is no face.
    """
    counts = Summary()
    for frame in frames:
        counts.add(frame)
    return counts.rows(labels)


class Summary:
    """Builds the rows of `summary` frame by frame."""

    def __init__(self) -> None:
        self._sources: dict[str, _Source] = {}

    def add(self, frame: Frame) -> None:
        """Count a frame."""
        counts = self._sources.setdefault(frame.source, _Source())
        counts.num_frames += 1
        counts.num_failed += frame.error is not None
        counts.num_with_face += bool(frame.faces)
        if frame.time_s is not None:
            counts.begin_s = frame.time_s if counts.begin_s is None else counts.begin_s
            counts.end_s = frame.time_s
        for face in frame.faces:
            counts.people.setdefault(face.track, _Person()).add(face, frame.time_s)
        _add_duration(counts, counts.durations.add(frame))

    def rows(self, labels: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The rows of `summary`; no frame can be added afterwards."""
        sources, self._sources = self._sources, {}
        names = dict.fromkeys(labels)
        for counts in sources.values():
            _add_duration(counts, counts.durations.last())
            counts.drop_non_persons()
            for person in counts.people.values():
                names |= dict.fromkeys(person.labels)
        return [
            _summary_row(source, counts, track, person, list(names))
            for source, counts in sources.items()
            for track, person in sorted(
                counts.people.items(), key=lambda item: -1 if item[0] is None else item[0]
            )
        ]


def write_summary(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of `summary` as CSV."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _add_duration(counts: _Source, frame_and_duration: tuple[Frame, float] | None) -> None:
    """Add the duration of a frame to the persons and labels it shows."""
    if frame_and_duration is None:
        return
    frame, duration = frame_and_duration
    for face in frame.faces:
        person = counts.people[face.track]
        person.seen_time += duration
        person.labels[face.label].time_led += duration


def _summary_row(
    source: str, counts: _Source, track: int | None, person: _Person, labels: Sequence[str]
) -> dict[str, Any]:
    n = person.num_frames
    row: dict[str, Any] = {
        "source": source,
        "track": track,
        "frames": counts.num_frames,
        "frames_failed": counts.num_failed,
        "frames_with_face": counts.num_with_face,
        "faces": n,
        "faces_left_out": counts.num_left_out,
        "first_s": person.first_s,
        "last_s": person.last_s,
        "seen_s": person.seen_time
        if person.first_s is not None and counts.durations.step_s is not None
        else None,
        "uncertain": person.num_uncertain / n if n else None,
        "transitions": person.num_transitions if track is not None else None,
    }
    for name in labels:
        measure = person.labels.get(name)
        row[f"mean_{name}"] = measure.mean if measure else None
        row[f"sd_{name}"] = measure.sd if measure else None
        row[f"max_{name}"] = measure.highest if measure else None
        row[f"share_{name}"] = (
            measure.time_led / person.seen_time if measure and person.seen_time > 0 else None
        )
    for name in _OTHER_MEASURES:
        measure = person.other_measures.get(name)
        row[f"mean_{name}"] = measure.mean if measure else None
        row[f"sd_{name}"] = measure.sd if measure else None
    return row
