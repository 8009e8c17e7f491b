"""Figures and events of a video, checked against ones worked out by hand."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.errors import UsageError
from mien.results import Face, Frame, Quality
from mien.video.events import Event, events, write_events
from mien.video.summary import summary

NAMES = ("happy", "sad", "neutral")


def face(happy: float, sad: float = 0.0, **changes: Any) -> Face:
    row = (happy, sad, 1 - happy - sad)
    values: dict[str, Any] = {
        "label": NAMES[int(np.argmax(row))],
        "probabilities": dict(zip(NAMES, row, strict=True)),
    }
    values |= {"box": (0, 0, 9, 9), "score": 1, "landmarks": None, "entropy": 0.5}
    return Face(**(values | {"quality": Quality(9, 1), "track": 0} | changes))


def frame(time_s: float | None, *faces: Face, source: str = "a.mp4", **changes: Any) -> Frame:
    return Frame(source, 0, time_s, 64, 48, "yunet", faces, **changes)


def video(values: list[float | None], step_s: float = 0.1) -> list[Frame]:
    """One person whose face looks happy with these probabilities; None where it is not found."""
    return [
        frame(number * step_s, *([] if value is None else [face(value)]))
        for number, value in enumerate(values)
    ]


# Summary


def test_a_summary_worked_out_by_hand() -> None:
    frames = [
        frame(0.0, face(0.9), face(0.1, 0.8, track=1)),
        frame(0.1, face(0.3), face(0.1, 0.8, track=1, uncertain=True)),
        frame(0.4, face(0.1, 0.8, track=1), face(0.9, track=2)),  # the clock need not be even
        frame(0.5, error="a broken frame"),
        frame(0.6, face(0.6)),
        frame(source="b.mp4", time_s=0.0),
        frame(0.8, face(0.1)),
    ]
    one, two, empty = summary(iter(frames))
    assert (one["source"], one["track"], two["track"], empty["source"], empty["track"]) == (
        "a.mp4",
        0,
        1,
        "b.mp4",
        None,
    )
    assert (one["frames"], one["frames_failed"], one["frames_with_face"], one["faces"]) == (
        6,
        1,
        5,
        4,
    )
    assert one["faces_left_out"] == two["faces_left_out"] == 1  # somebody seen once
    assert one["mean_happy"] == pytest.approx(np.mean([0.9, 0.3, 0.6, 0.1]))
    assert one["sd_happy"] == pytest.approx(np.std([0.9, 0.3, 0.6, 0.1], ddof=1))
    assert one["max_happy"] == 0.9 and (one["first_s"], one["last_s"]) == (0.0, 0.8)
    # Labels: happy for 0.1 s, neutral for 0.3, happy for 0.2, neutral for the last, as long as the
    # one before: 0.2.
    assert one["seen_s"] == pytest.approx(0.8)
    assert one["share_happy"] == pytest.approx(0.3 / 0.8) and one["share_neutral"] == pytest.approx(
        0.5 / 0.8
    )
    assert one["share_sad"] == 0 and one["transitions"] == 3
    assert (two["faces"], two["uncertain"], two["share_sad"], two["transitions"]) == (
        3,
        1 / 3,
        1.0,
        0,
    )
    assert two["seen_s"] == pytest.approx(0.5)
    assert two["mean_valence"] == pytest.approx(0.1 - 0.8) and two["mean_yaw"] is None
    assert (empty["frames"], empty["faces"], empty["frames_with_face"]) == (1, 0, 0)
    assert [empty[name] for name in ("uncertain", "mean_happy", "share_happy", "transitions")] == [
        None
    ] * 4
    assert [list(row) for row in (one, two)] == [list(empty)] * 2


def test_the_columns_do_not_depend_on_what_was_seen() -> None:
    turned = face(0.9, pose=(10.0, -5.0, 2.0))
    (seen,) = summary([frame(n / 10, turned) for n in range(3)], labels=NAMES)
    (unseen,) = summary([frame(n / 10) for n in range(3)], labels=NAMES)
    assert list(seen) == list(unseen)
    assert (seen["mean_yaw"], seen["mean_pitch"], seen["sd_roll"]) == (10, -5, 0)
    assert unseen["mean_happy"] is None and unseen["faces"] == 0 and unseen["track"] is None


def test_what_is_perhaps_no_face_is_nobody() -> None:
    ghost = face(0.3, track=1, uncertain=True, reason="perhaps no face; no label reaches 50%")
    frames = [frame(n / 10, face(0.9), ghost) for n in range(9)]
    (row,) = summary(frames, labels=NAMES)
    assert (row["track"], row["faces"], row["faces_left_out"]) == (0, 9, 9)
    assert {one.track for one in events(frames)} == {0}
    (row,) = summary([frame(n / 10, ghost) for n in range(9)], labels=NAMES)
    assert (row["track"], row["faces"], row["faces_left_out"]) == (None, 0, 9)


def test_pictures_are_weighed_alike() -> None:
    frames = [frame(None, face(0.9, track=None), face(0.2, track=None), source="a.jpg")]
    (row,) = summary(frames)
    assert (row["track"], row["faces"], row["share_happy"], row["seen_s"]) == (None, 2, 0.5, None)
    (row,) = summary([frame(None, face(0.9, track=None))])
    assert row["sd_happy"] is None
    assert summary([]) == []


# Events


def test_hysteresis() -> None:
    values: list[float | None] = [0.1, 0.6, 0.8, 0.4, 0.45, 0.7, 0.3, 0.1, 0.45, 0.1]
    (one,) = events(video(values), labels=["happy"])
    assert (one.source, one.track, one.label, one.num_frames) == ("a.mp4", 0, "happy", 5)
    assert one.onset_s == pytest.approx(0.1) and one.duration_s == pytest.approx(0.5)
    assert one.peak == 0.8 and one.peak_s == pytest.approx(0.2)
    # Neutral begins anew while happy fades: 0.6 beside 0.4.
    assert [one.label for one in events(video(values))] == [
        "neutral",
        "happy",
        "neutral",
        "neutral",
    ]


def test_an_event_that_never_ends_lasts_until_after_the_last_frame() -> None:
    (one,) = events(video([0.9] * 10))
    assert one.onset_s == 0 and one.duration_s == pytest.approx(1.0) and one.num_frames == 10


def test_short_events_are_left_out() -> None:
    values: list[float | None] = [0.4, 0.9, 0.2, 0.4, 0.9, 0.9, 0.2]
    assert [one.onset_s for one in events(video(values), labels=["happy"])] == [pytest.approx(0.4)]
    assert len(events(video(values), labels=["happy"], min_duration_s=0)) == 2
    assert events(video(values), labels=["happy"], min_duration_s=0.25) == []


def test_a_face_may_vanish_for_a_moment() -> None:
    assert len(events(video([0.9] * 5 + [None] * 4 + [0.9] * 5))) == 1
    first, second = events(video([0.9] * 5 + [None] * 5 + [0.9] * 5))
    assert first.duration_s == pytest.approx(0.5) and second.onset_s == pytest.approx(1.0)
    (one,) = events(video([0.9, 0.9, 0.9] + [None] * 50))
    assert one.duration_s == pytest.approx(0.3)


def test_few_frames_a_second_are_no_gap() -> None:
    (one,) = events(video([0.9, 0.9, 0.2], step_s=2.0), labels=["happy"])
    assert one.duration_s == pytest.approx(4.0)


def test_people_and_sources_are_kept_apart() -> None:
    frames = [
        frame(number / 10, face(0.9, track=one), face(0.1, 0.9, track=1 - one), source=source)
        for number in range(5)
        for one, source in ((0, "b.mp4"), (1, "a.mp4"))
    ]
    got = [(one.source, one.track, one.label) for one in events(frames)]
    assert got == [
        ("b.mp4", 0, "happy"),
        ("b.mp4", 1, "sad"),
        ("a.mp4", 0, "sad"),
        ("a.mp4", 1, "happy"),
    ]


def test_pictures_and_unfollowed_faces_have_no_events() -> None:
    assert events([frame(None, face(0.9))] * 9) == []
    loose = face(0.9, track=None)
    assert events([frame(number / 10, loose, loose) for number in range(9)]) == []
    assert len(events([frame(number / 10, loose) for number in range(9)])) == 1


@pytest.mark.parametrize(
    "limits", [{"onset": 0.3}, {"offset": 0}, {"onset": 1.1}, {"min_duration_s": -1}]
)
def test_limits_that_cannot_be_meant(limits: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="expected 0 < offset"):
        events([], **limits)  # type: ignore[arg-type]


def test_a_bids_file(tmp_path: Path) -> None:
    found = [
        Event("a\tb.mp4", None, "sad", 2.0, 0.5, 0.75, 2.25, 5),
        Event("a.mp4", 3, "happy", 1 / 3, 1.0, 0.9, 0.5, 10),
    ]
    path = tmp_path / "sub-01_task-film_events.tsv"
    write_events(path, found, about={"onset_threshold": 0.5})
    header, first, second = (line.split("\t") for line in path.read_text().splitlines())
    assert header == [
        "onset",
        "duration",
        "trial_type",
        "person",
        "peak",
        "peak_time",
        "num_frames",
        "source",
    ]
    assert first == ["0.333333", "1.000000", "happy", "3", "0.9", "0.500000", "10", "a.mp4"]
    assert second[2:4] == ["sad", "n/a"] and second[-1] == "a b.mp4"
    sidecar = json.loads((tmp_path / "sub-01_task-film_events.json").read_text())
    assert (
        set(header) < set(sidecar)
        and sidecar["onset"]["Units"] == "s"
        and sidecar["onset_threshold"] == 0.5
    )
    assert set(sidecar["trial_type"]["Levels"]) == {"happy", "sad"}
    write_events(path, [])
    assert path.read_text().splitlines() == ["\t".join(header)]
    with pytest.raises(UsageError, match=r"ends in \.tsv"):
        write_events(tmp_path / "events.csv", found)


def test_long_videos_need_no_memory() -> None:
    """Frames are used one by one."""

    def endless() -> Any:
        for number in range(3_000):
            yield frame(number / 25, face(0.5 + 0.4 * math.sin(number / 50)))

    assert len(events(endless(), labels=["happy"])) == 10
    assert summary(endless())[0]["frames"] == 3_000
