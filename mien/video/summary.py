"""A video in a few numbers: what each person's face looked like for how long, and when it changed.

`summary` gives one row a person, `events` a list of onsets as psychologists code them,
`write_events` a BIDS file (https://bids-specification.readthedocs.io, "Events"). All of them
describe perceived expressions, not feelings.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.errors import UsageError
from mien.results import Face, Frame

# What the columns of an events file mean, for its sidecar.
_COLUMNS: dict[str, dict[str, str]] = {
    "onset": {
        "Description": "Time since the beginning of the video at which the event began.",
        "Units": "s",
    },
    "duration": {"Description": "How long it lasted.", "Units": "s"},
    "trial_type": {"LongName": "Perceived expression", "Description": "Which expression it was."},
    "person": {
        "Description": "Number of the face followed through the video; n/a where faces were not followed."
    },
    "peak": {
        "Description": "Greatest probability of that expression during the event, from 0 to 1."
    },
    "peak_time": {"Description": "When it was first reached.", "Units": "s"},
    "num_frames": {
        "Description": "Number of frames of the event that were looked at and showed the face."
    },
    "source": {"Description": "The video."},
}


# Time


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


# Summary


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
        found = person.labels.get(name)
        row[f"mean_{name}"] = found.mean if found else None
        row[f"sd_{name}"] = math.sqrt(found.squares / (n - 1)) if found and n > 1 else None
        row[f"max_{name}"] = found.highest if found else None
        row[f"share_{name}"] = found.led / person.seen if found and person.seen > 0 else None
    return row


# Events


@dataclass(frozen=True)
class Event:
    """One expression of one person, from its onset to its offset.

    Attributes:
        source, track, label: Whose and which; track None where faces were not followed.
        onset_s, duration_s: Seconds since the beginning of the video, and how long.
        peak, peak_s: Greatest probability, and when it was first reached.
        num_frames: Frames of the event in which the face was seen.
    """

    source: str
    track: int | None
    label: str
    onset_s: float
    duration_s: float
    peak: float
    peak_s: float
    num_frames: int


@dataclass
class _Open:
    """An event that has begun; `seen_s` is when the face was last seen above the lower limit."""

    onset_s: float
    peak: float
    peak_s: float
    seen_s: float
    num_frames: int = 1


@dataclass
class _Watch:
    """The clock of a source, and what has begun in it: (track, label) -> event."""

    now_s: float | None = None
    step_s: float = 0.0
    running: dict[tuple[int | None, str], _Open] = field(default_factory=dict)


def events(
    frames: Iterable[Frame],
    *,
    onset: float = 0.5,
    offset: float = 0.35,
    min_duration_s: float = 0.2,
    max_gap_s: float = 0.5,
    labels: Sequence[str] | None = None,
) -> list[Event]:
    """Find when expressions began and ended, from the (smoothed) probabilities of each person.

    An event of a label begins in the first frame in which its probability is `onset` or more, and
    ends in the first in which it is below `offset`: between the two limits a face may waver without
    a new event. Above `onset` 0.5 no two labels of a person can begin at once, though one may begin
    while another still fades.

    Where frames do not show a face for `max_gap_s` or less, its events go on; after more, and at
    the end of the video, they end with the frame in which it was last seen, that frame included (it
    lasts as long as the step between frames, at most `max_gap_s`). Events shorter than
    `min_duration_s` are left out. Frames without a time, as pictures are, have no events, nor have
    faces that were not followed unless they are alone in their frame.

    Args:
        frames: In the order of time; those of several sources may be mixed.
        onset, offset: Limits of probability, 0 < offset <= onset <= 1.
        min_duration_s, max_gap_s: Seconds.
        labels: Which expressions; all when None.

    Returns:
        Events sorted by source (as they came), onset, track and label.

    Raises:
        UsageError: for limits that cannot be meant.
    """
    if not 0 < offset <= onset <= 1 or min_duration_s < 0 or max_gap_s < 0:
        raise UsageError(
            f"events: came onset {onset}, offset {offset}, min_duration_s {min_duration_s}, max_gap_s {max_gap_s}; "
            "expected 0 < offset <= onset <= 1, and no negative times"
        )
    watches: dict[str, _Watch] = {}
    found: list[Event] = []

    def end(source: str, key: tuple[int | None, str], at_s: float) -> None:
        event = watches[source].running.pop(key)
        duration = at_s - event.onset_s
        if duration >= min_duration_s - 1e-9:  # two steps of 0.1 s may be 0.2 s less a rounding
            found.append(
                Event(
                    source,
                    *key,
                    event.onset_s,
                    duration,
                    event.peak,
                    event.peak_s,
                    event.num_frames,
                )
            )

    for frame in frames:
        if frame.time_s is None:
            continue
        watch = watches.setdefault(frame.source, _Watch())
        before_s, watch.now_s = watch.now_s, frame.time_s
        if before_s is not None:
            watch.step_s = min(max(0.0, frame.time_s - before_s), max_gap_s)
        for key, begun in list(watch.running.items()):
            if begun.seen_s != before_s and frame.time_s - begun.seen_s > max_gap_s:
                end(frame.source, key, begun.seen_s + watch.step_s)
        for face in frame.faces:
            if face.track is None and len(frame.faces) > 1:
                continue
            for label, value in zip(face.labels, face.probabilities, strict=True):
                key = (face.track, label)
                event = watch.running.get(key)
                if event is None:
                    if value >= onset and (labels is None or label in labels):
                        watch.running[key] = _Open(frame.time_s, value, frame.time_s, frame.time_s)
                elif value < offset:
                    end(frame.source, key, frame.time_s)
                else:
                    event.seen_s, event.num_frames = frame.time_s, event.num_frames + 1
                    if value > event.peak:
                        event.peak, event.peak_s = value, frame.time_s
    for source, watch in watches.items():
        for key, begun in list(watch.running.items()):
            end(source, key, begun.seen_s + watch.step_s)
    order = {source: number for number, source in enumerate(watches)}
    return sorted(
        found,
        key=lambda one: (
            order[one.source],
            one.onset_s,
            -1 if one.track is None else one.track,
            one.label,
        ),
    )


def write_events(
    path: str | os.PathLike[str], found: Sequence[Event], *, about: Mapping[str, Any] | None = None
) -> None:
    """Write a BIDS events file, and beside it the JSON that describes its columns.

    Args:
        path: Ends in `.tsv`; BIDS wants `..._events.tsv`. The sidecar has the same name with
            `.json`.
        found: What `events` gave.
        about: Further entries of the sidecar, such as the limits that were used, or the digest of
            the bundle.

    Raises:
        UsageError: if the name does not end in `.tsv`.
    """
    target = Path(path)
    if target.suffix != ".tsv":
        raise UsageError(f"events: came the name {target.name}; expected one that ends in .tsv")
    lines = ["\t".join(_COLUMNS)]
    for event in sorted(found, key=lambda one: one.onset_s):
        person = "n/a" if event.track is None else str(event.track)
        times = (
            format(event.onset_s, ".6f"),
            format(event.duration_s, ".6f"),
            _text(event.label),
            person,
        )
        peaks = (
            format(event.peak, ".9g"),
            format(event.peak_s, ".6f"),
            str(event.num_frames),
            _text(event.source),
        )
        lines.append("\t".join((*times, *peaks)))
    target.write_bytes(("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
    levels = {event.label: f"The face looked {event.label}." for event in found}
    sidecar: dict[str, Any] = {name: dict(words) for name, words in _COLUMNS.items()}
    sidecar["trial_type"]["Levels"] = dict(sorted(levels.items()))
    sidecar |= about or {}
    text = json.dumps(sidecar, indent=2, ensure_ascii=False) + "\n"
    target.with_suffix(".json").write_bytes(text.encode("utf-8", "backslashreplace"))


def _text(value: str) -> str:
    """BIDS knows no quotes: a tab or line break would end the cell; an empty one is n/a."""
    return " ".join(value.split()) or "n/a"
