"""A video in a few numbers: what each person's face looked like for how long: a row a person.

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


class Lasting:
    """How long each frame of a source stands for, whatever counts seconds: until the next one
    looked at, whether that could be read or not; the last as long as the one before. Frames without
    a time last equally long.

    Attributes:
        step_s: How long the last frame with a next one lasted; None as long as there is none.
    """

    def __init__(self) -> None:
        self.step_s: float | None = None
        self._pending: Frame | None = None  # how long it lasts is known when the next frame comes

    def add(self, frame: Frame) -> tuple[Frame, float] | None:
        """Take the next frame; gives the one before with its seconds, None for the first."""
        before, self._pending = self._pending, frame
        if before is None:
            return None
        if before.time_s is not None and frame.time_s is not None:
            self.step_s = max(0.0, frame.time_s - before.time_s)
        return before, self._step()

    def rest(self) -> tuple[Frame, float] | None:
        """The last frame, were the source to end with it, and its seconds; None where there was no
        frame.
        """
        return None if self._pending is None else (self._pending, self._step())

    def _step(self) -> float:
        return 1.0 if self.step_s is None else self.step_s


@dataclass
class _Label:
    """Running mean and spread (Welford) of one probability, and the time that its label led."""

    mean: float = 0.0
    squares: float = 0.0
    highest: float = 0.0
    led: float = 0.0


@dataclass
class _Person:
    num_frames: int = 0
    num_uncertain: int = 0
    num_transitions: int = 0
    first_s: float | None = None
    last_s: float | None = None
    seen: float = 0.0  # seconds, or frames where there is no clock
    last_label: str | None = None
    labels: dict[str, _Label] = field(default_factory=dict)

    def add(self, face: Face, time_s: float | None) -> None:
        self.num_frames += 1
        self.num_uncertain += face.uncertain
        self.num_transitions += self.last_label not in (None, face.label)
        self.last_label, self.last_s = face.label, time_s
        self.first_s = time_s if self.first_s is None else self.first_s
        for name, value in zip(face.labels, face.probabilities, strict=True):
            one = self.labels.setdefault(name, _Label())
            step = value - one.mean
            one.mean += step / self.num_frames
            one.squares += step * (value - one.mean)
            one.highest = max(one.highest, value)


@dataclass
class _Source:
    num_frames: int = 0
    num_with_face: int = 0
    num_failed: int = 0
    people: dict[int | None, _Person] = field(default_factory=dict)
    lasting: Lasting = field(default_factory=Lasting)


def summary(frames: Iterable[Frame]) -> list[dict[str, Any]]:
    """One row for each person of each source; frames may come one by one, and none is kept.

    Faces without a track are one row (`track` None), and so is a source without any face. The
    columns:

    - `source`, `track`, `frames` (looked at), `frames_failed`, `frames_with_face` (any), `faces`
      (this person's), `first_s`, `last_s` (None for pictures), `seen_s` (time this person was
      seen), `uncertain` (share of its faces).
    - for each label `mean_`, `sd_` (n - 1) and `max_` of its probability over this person's faces,
      each face alike; `share_`: the share of the time seen in which it was the label. A frame lasts
      until the next one looked at, the last as long as the one before; pictures last equally long.
    - `transitions`: how often the label changed from one face of this person to the next; None
      without a track.

    Figures of nothing are None, never 0.
    """
    sources: dict[str, _Source] = {}
    for frame in frames:
        one = sources.setdefault(frame.source, _Source())
        one.num_frames += 1
        one.num_failed += frame.error is not None
        one.num_with_face += bool(frame.faces)
        for face in frame.faces:
            one.people.setdefault(face.track, _Person()).add(face, frame.time_s)
        _credit(one, one.lasting.add(frame))
    labels: dict[str, None] = {}
    for one in sources.values():
        _credit(one, one.lasting.rest())
        if not one.people:
            one.people[None] = _Person()
        for person in one.people.values():
            labels |= dict.fromkeys(person.labels)
    return [
        _summary_row(source, one, track, person, list(labels))
        for source, one in sources.items()
        for track, person in sorted(
            one.people.items(), key=lambda pair: -1 if pair[0] is None else pair[0]
        )
    ]


def write_summary(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write what `summary` gave as CSV."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _credit(one: _Source, lasted: tuple[Frame, float] | None) -> None:
    """Give the time of a frame to the labels it showed."""
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
        "first_s": person.first_s,
        "last_s": person.last_s,
        "seen_s": person.seen
        if person.first_s is not None and one.lasting.step_s is not None
        else None,
        "uncertain": person.num_uncertain / n if n else None,
        "transitions": person.num_transitions if track is not None else None,
    }
    for name in labels:
        label = person.labels.get(name)
        row[f"mean_{name}"] = label.mean if label else None
        row[f"sd_{name}"] = math.sqrt(label.squares / (n - 1)) if label and n > 1 else None
        row[f"max_{name}"] = label.highest if label else None
        row[f"share_{name}"] = label.led / person.seen if label and person.seen > 0 else None
    return row
