"""A summary of a video, a row for each person: how long each expression was shown. These are
perceived expressions, not feelings.
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


class Lasting:
    """The duration of each frame of a source: until the next frame looked at, readable or not. The
    last lasts as long as the one before. Frames without a time count equally.

    Attributes:
        step_s: The duration of the last frame that has a next one; None if there is none yet.
    """

    def __init__(self) -> None:
        self.step_s: float | None = None
        self._pending: Frame | None = None  # the next frame will show how long it lasts

    def add(self, frame: Frame) -> tuple[Frame, float] | None:
        """Add the next frame; returns the one before with its seconds, None for the first."""
        before, self._pending = self._pending, frame
        if before is None:
            return None
        if before.time_s is not None and frame.time_s is not None:
            self.step_s = max(0.0, frame.time_s - before.time_s)
        return before, self._step()

    def rest(self) -> tuple[Frame, float] | None:
        """The last frame and its seconds, at the end of the source; None if there was no frame."""
        return None if self._pending is None else (self._pending, self._step())

    def _step(self) -> float:
        return 1.0 if self.step_s is None else self.step_s


# Persons

LEAST_LOOKS = 3  # of a person; boxes seen less often are mostly not faces
_CAN_BE_FOLLOWED_S = 0.34  # three looks within the tracker's memory


def is_person(num_looks: int, num_no_face: int, step_s: float | None) -> bool:
    """Whether a track is a person: seen in three looks (in one, if looks are too far apart for
    tracking), and not mostly `perhaps no face`.
    """
    least = LEAST_LOOKS if step_s is not None and step_s <= _CAN_BE_FOLLOWED_S else 1
    return num_looks >= least and 2 * num_no_face < num_looks


def mean_step(begin_s: float | None, end_s: float | None, num_frames: int) -> float | None:
    """Seconds between looks; None without a clock, or with a single look."""
    if begin_s is None or end_s is None or num_frames < 2:
        return None
    return (end_s - begin_s) / (num_frames - 1)


# Summary


@dataclass
class _Measure:
    """Running mean and spread (Welford) of one figure, and the time that its label led."""

    mean: float = 0.0
    squares: float = 0.0
    highest: float = 0.0
    led: float = 0.0
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


_OTHERS = ("valence", *ANGLES)


@dataclass
class _Person:
    num_frames: int = 0
    num_uncertain: int = 0
    num_transitions: int = 0
    first_s: float | None = None
    last_s: float | None = None
    seen: float = 0.0  # seconds, or frames if there is no clock
    last_label: str | None = None
    num_no_face: int = 0
    labels: dict[str, _Measure] = field(default_factory=dict)
    others: dict[str, _Measure] = field(default_factory=dict)  # valence and angles

    def add(self, face: Face, time_s: float | None) -> None:
        self.num_frames += 1
        self.num_uncertain += face.uncertain
        self.num_transitions += self.last_label not in (None, face.label)
        self.last_label, self.last_s = face.label, time_s
        self.first_s = time_s if self.first_s is None else self.first_s
        self.num_no_face += face.perhaps_no_face
        for name, value in face.probabilities.items():
            self.labels.setdefault(name, _Measure()).add(value)
        for name, other in zip(_OTHERS, (face.valence, *(face.pose or (None,) * 3)), strict=True):
            if other is not None:
                self.others.setdefault(name, _Measure()).add(other)


@dataclass
class _Source:
    num_frames: int = 0
    num_with_face: int = 0
    num_failed: int = 0
    num_left_out: int = 0
    begin_s: float | None = None
    end_s: float | None = None
    people: dict[int | None, _Person] = field(default_factory=dict)
    lasting: Lasting = field(default_factory=Lasting)

    def leave_out_nobody(self) -> None:
        step_s = mean_step(self.begin_s, self.end_s, self.num_frames)
        for track, person in list(self.people.items()):
            if track is not None and not is_person(person.num_frames, person.num_no_face, step_s):
                self.num_left_out += self.people.pop(track).num_frames
        if not self.people:
            self.people[None] = _Person()


def summary(frames: Iterable[Frame], *, labels: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A row for each person of each source; frames may be an iterator, and none is kept.

    Faces without a track share a row (`track` None); a source without any person has a row too.
    Tracks that are not a person (`is_person`) have no row; `faces_left_out` counts their faces. The
    columns:

    - `source`, `track`, `frames` (looked at), `frames_failed`, `frames_with_face` (any), `faces`
      (this person's), `faces_left_out` (no person's), `first_s`, `last_s` (None for pictures),
      `seen_s` (time this person was seen), `uncertain` (share of the person's faces).
    - for each label `mean_`, `sd_` (n - 1) and `max_` of its probability over this person's faces,
      each with the same weight; `share_`: the share of the time seen in which it was the label. A
      frame lasts until the next one looked at, the last as long as the one before; pictures count
      equally.
    - `mean_` and `sd_` of `valence`, `yaw`, `pitch` and `roll`.
    - `transitions`: how often the label changed from one face of this person to the next; None
      without a track.

    Figures without any data are None, never 0.

    Args:
        frames: In the order of time.
        labels: The network's labels, which have columns even if no face is seen.
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
        one = self._sources.setdefault(frame.source, _Source())
        one.num_frames += 1
        one.num_failed += frame.error is not None
        one.num_with_face += bool(frame.faces)
        if frame.time_s is not None:
            one.begin_s = frame.time_s if one.begin_s is None else one.begin_s
            one.end_s = frame.time_s
        for face in frame.faces:
            one.people.setdefault(face.track, _Person()).add(face, frame.time_s)
        _credit(one, one.lasting.add(frame))

    def rows(self, labels: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The rows. No frame can be added afterwards."""
        sources, self._sources = self._sources, {}
        names = dict.fromkeys(labels)
        for one in sources.values():
            _credit(one, one.lasting.rest())
            one.leave_out_nobody()
            for person in one.people.values():
                names |= dict.fromkeys(person.labels)
        return [
            _summary_row(source, one, track, person, list(names))
            for source, one in sources.items()
            for track, person in sorted(
                one.people.items(), key=lambda pair: -1 if pair[0] is None else pair[0]
            )
        ]


def write_summary(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of `summary` as CSV."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _credit(one: _Source, lasted: tuple[Frame, float] | None) -> None:
    """Add the duration of a frame to the labels it shows."""
    if lasted is None:
        return
    frame, step = lasted
    for face in frame.faces:
        person = one.people[face.track]
        person.seen += step
        person.labels[face.label].led += step


def _summary_row(
    source: str, one: _Source, track: int | None, person: _Person, labels: Sequence[str]
) -> dict[str, Any]:
    n = person.num_frames
    row: dict[str, Any] = {
        "source": source,
        "track": track,
        "frames": one.num_frames,
        "frames_failed": one.num_failed,
        "frames_with_face": one.num_with_face,
        "faces": n,
        "faces_left_out": one.num_left_out,
        "first_s": person.first_s,
        "last_s": person.last_s,
        "seen_s": person.seen
        if person.first_s is not None and one.lasting.step_s is not None
        else None,
        "uncertain": person.num_uncertain / n if n else None,
        "transitions": person.num_transitions if track is not None else None,
    }
    for name in labels:
        measure = person.labels.get(name)
        row[f"mean_{name}"] = measure.mean if measure else None
        row[f"sd_{name}"] = measure.sd if measure else None
        row[f"max_{name}"] = measure.highest if measure else None
        row[f"share_{name}"] = measure.led / person.seen if measure and person.seen > 0 else None
    for name in _OTHERS:
        measure = person.others.get(name)
        row[f"mean_{name}"] = measure.mean if measure else None
        row[f"sd_{name}"] = measure.sd if measure else None
    return row
