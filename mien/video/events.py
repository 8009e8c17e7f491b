"""Onsets and offsets of expressions, as psychologists code them, and their BIDS events file
(https://bids-specification.readthedocs.io). They are perceived expressions, not feelings.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.errors import UsageError
from mien.results import Frame
from mien.video.summary import is_person, mean_step

# The meaning of the columns of an events file, for its sidecar.
_COLUMNS: dict[str, dict[str, str]] = {
    "onset": {
        "Description": "Time since the start of the video at which the event began.",
        "Units": "s",
    },
    "duration": {"Description": "How long the event lasted.", "Units": "s"},
    "trial_type": {"LongName": "Perceived expression", "Description": "Which expression it was."},
    "person": {"Description": "Number of the tracked face; n/a where faces were not tracked."},
    "peak": {
        "Description": "Highest probability of that expression during the event, from 0 to 1."
    },
    "peak_time": {"Description": "Time at which the peak was first reached.", "Units": "s"},
    "num_frames": {"Description": "Number of analysed frames of the event that show the face."},
    "source": {"Description": "The video."},
}


@dataclass(frozen=True)
class Event:
    """One expression of one person, from its onset to its offset.

    Attributes:
        source, track, label: Video, person and expression; track is None if faces were not tracked.
        onset_s: Seconds from the start of the video.
        duration_s: Duration in seconds.
        peak, peak_s: Highest probability, and the second at which it was first reached.
        num_frames: Number of analysed frames of the event that show the face.
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
class _OngoingEvent:
    """An event that has begun; at `last_seen_s` its probability was last above the lower limit."""

    onset_s: float
    peak: float
    peak_s: float
    last_seen_s: float
    num_frames: int = 1


@dataclass
class _SourceState:
    """The clock of a source, and its ongoing events: (track, label) -> event."""

    now_s: float | None = None
    step_s: float = 0.0
    begin_s: float | None = None
    num_frames: int = 0
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)  # track -> all, without a face
    ongoing: dict[tuple[int | None, str], _OngoingEvent] = field(default_factory=dict)

    def count(self, frame: Frame) -> None:
        self.num_frames += 1
        self.begin_s = frame.time_s if self.begin_s is None else self.begin_s
        for face in frame.faces:
            if face.track is not None:
                num_frames, num_no_face = self.counts.get(face.track, (0, 0))
                self.counts[face.track] = (num_frames + 1, num_no_face + face.perhaps_no_face)

    def is_somebody(self, track: int | None) -> bool:
        step_s = mean_step(self.begin_s, self.now_s, self.num_frames)
        return track is None or is_person(*self.counts[track], step_s)


def events(
    frames: Iterable[Frame],
    *,
    onset: float = 0.5,
    offset: float = 0.35,
    min_duration_s: float = 0.2,
    max_gap_s: float = 0.5,
    labels: Sequence[str] | None = None,
) -> list[Event]:
    """Find onsets and offsets of expressions in the (smoothed) probabilities of each person.

    An event of a label begins in the first frame whose probability is `onset` or more, and ends in
    the first whose probability is below `offset`; between the two limits it may vary without a new
    event (hysteresis). With `onset` above 0.5, two labels of a person cannot begin in the same
    frame, but one may begin before another ends.

    If a face is missing for at most `max_gap_s`, its events continue. After a longer gap, and at
    the end of the video, they end after the last frame that shows the face; that frame lasts as
    long as the step between frames, at most `max_gap_s`. Events shorter than `min_duration_s` are
    left out. There are no events for pictures, which have no time, for tracks that are not a person
    (`is_person`), or for untracked faces, unless alone in their frame.

    Args:
        frames: In the order of time; frames of several sources may alternate.
        onset, offset: Limits of probability, 0 < offset <= onset <= 1.
        min_duration_s, max_gap_s: In seconds, 0 or more.
        labels: The expressions to find; None for all.

    Returns:
        Events sorted by source (in order of appearance), onset, track and label.

    Raises:
        UsageError: for limits out of range.
    """
    if not 0 < offset <= onset <= 1 or min_duration_s < 0 or max_gap_s < 0:
        raise UsageError(
            f"events: got onset {onset}, offset {offset}, min_duration_s {min_duration_s}, "
            f"max_gap_s {max_gap_s}; expected 0 < offset <= onset <= 1, and no negative times. "
            "Fix: change the values that break this rule"
        )
    finder = _Finder(onset, offset, min_duration_s, max_gap_s, labels)
    for frame in frames:
        if frame.time_s is not None:
            finder.add(frame, frame.time_s)
    return finder.events()


class _Finder:
    """Finds events while frames pass; its arguments are those of `events`."""

    def __init__(
        self,
        onset: float,
        offset: float,
        min_duration_s: float,
        max_gap_s: float,
        labels: Sequence[str] | None,
    ) -> None:
        self._onset, self._offset = onset, offset
        self._min_duration_s, self._max_gap_s = min_duration_s, max_gap_s
        self._labels = labels
        self._states: dict[str, _SourceState] = {}
        self._events: list[Event] = []

    def add(self, frame: Frame, time_s: float) -> None:
        state = self._states.setdefault(frame.source, _SourceState())
        previous_s, state.now_s = state.now_s, time_s
        if previous_s is not None:
            state.step_s = min(max(0.0, time_s - previous_s), self._max_gap_s)
        for key, event in list(state.ongoing.items()):
            if event.last_seen_s != previous_s and time_s - event.last_seen_s > self._max_gap_s:
                self._end(frame.source, key, event.last_seen_s + state.step_s)
        state.count(frame)
        for face in frame.faces:
            if face.track is None and len(frame.faces) > 1:
                continue
            for label, value in face.probabilities.items():
                self._update(frame.source, (face.track, label), value, time_s)

    def _update(
        self, source: str, key: tuple[int | None, str], value: float, time_s: float
    ) -> None:
        """Update the event of one label of one person with its new probability."""
        ongoing = self._states[source].ongoing
        event = ongoing.get(key)
        if event is None:
            if value >= self._onset and (self._labels is None or key[1] in self._labels):
                ongoing[key] = _OngoingEvent(time_s, value, time_s, time_s)
        elif value < self._offset:
            self._end(source, key, time_s)
        else:
            event.last_seen_s, event.num_frames = time_s, event.num_frames + 1
            if value > event.peak:
                event.peak, event.peak_s = value, time_s

    def _end(self, source: str, key: tuple[int | None, str], at_s: float) -> None:
        event = self._states[source].ongoing.pop(key)
        duration = at_s - event.onset_s
        # The tolerance is for rounding: two steps of 0.1 s may add up to slightly less than 0.2 s.
        if duration >= self._min_duration_s - 1e-9:
            self._events.append(
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

    def events(self) -> list[Event]:
        for source, state in self._states.items():
            for key, event in list(state.ongoing.items()):
                self._end(source, key, event.last_seen_s + state.step_s)
        order = {source: number for number, source in enumerate(self._states)}
        return sorted(
            (
                event
                for event in self._events
                if self._states[event.source].is_somebody(event.track)
            ),
            key=lambda event: (
                order[event.source],
                event.onset_s,
                -1 if event.track is None else event.track,
                event.label,
            ),
        )


def write_events(
    path: str | os.PathLike[str], events: Sequence[Event], *, about: Mapping[str, Any] | None = None
) -> None:
    """Write a BIDS events file, and a JSON sidecar that describes its columns.

    Args:
        path: Must end in `.tsv`; BIDS expects `..._events.tsv`. The sidecar has the same name with
            `.json`.
        events: The result of `events`.
        about: Further entries of the sidecar, such as the limits or the digest of the bundle.

    Raises:
        UsageError: if the name does not end in `.tsv`.
    """
    target = Path(path)
    if target.suffix != ".tsv":
        raise UsageError(
            f"events: got the name {target.name}; expected one that ends in .tsv. Fix: rename it"
        )
    lines = ["\t".join(_COLUMNS)]
    for event in sorted(events, key=lambda event: event.onset_s):
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
    levels = {event.label: f"The face looked {event.label}." for event in events}
    sidecar: dict[str, Any] = {name: dict(entries) for name, entries in _COLUMNS.items()}
    sidecar["trial_type"]["Levels"] = dict(sorted(levels.items()))
    sidecar |= about or {}
    text = json.dumps(sidecar, indent=2, ensure_ascii=False) + "\n"
    target.with_suffix(".json").write_bytes(text.encode("utf-8", "backslashreplace"))


def _text(value: str) -> str:
    """A cell of a BIDS file, which knows no quotes: white space becomes spaces, nothing n/a."""
    return " ".join(value.split()) or "n/a"
