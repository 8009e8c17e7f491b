"""A picture per person of a video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.labels import FER2013, LabelSet
from mien.results import Face, Frame, Quality
from mien.video.summary import summary
from mien.video.timeline import Timelines
from mien.video.timeline_drawing import _nice_step
from mien.vision.fonts import take_missing


def face(
    track: int | None,
    label: str = "happy",
    share: float = 0.88,
    *,
    uncertain: bool = False,
    reason: str = "",
) -> Face:
    p = [(1 - share) / 6] * 7
    p[FER2013.index(label)] = share
    box = (0.0, 0.0, 10.0, 10.0)
    p = dict(zip(FER2013, p, strict=True))
    return Face(box, 0.9, None, label, p, 0.3, Quality(9, 1), uncertain, reason, track)


def frame(time_s: float | None, *faces: Face, error: str | None = None) -> Frame:
    return Frame("films/talk.mp4", 0, time_s, 64, 48, "drawn", faces, error)


def rgb(name: str) -> tuple[int, ...]:
    colour = FER2013.colour(FER2013.index(name))
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def columns(path: Path, name: str) -> np.ndarray:
    """Number of pixels of a label's colour in each column of the plots."""
    return np.asarray((np.asarray(Image.open(path)) == rgb(name)).all(2).sum(0))


def test_a_change_stands_where_it_was(tmp_path: Path) -> None:
    lines = Timelines(FER2013)
    for k in range(1000):  # 40 s: happy, and from 30 s on sad
        lines.add(frame(k / 25, face(5, "happy" if k < 750 else "sad")))
    path, overview = lines.write(tmp_path / "persons")
    assert overview == tmp_path / "persons" / "overview.png"
    assert path == tmp_path / "persons" / "person-5.png"
    happy, sad = columns(path, "happy"), columns(path, "sad")
    plot = np.flatnonzero(happy + sad)
    change = plot[0] + 0.75 * (plot[-1] - plot[0])
    assert np.flatnonzero(happy > 30).max() == np.clip(
        np.flatnonzero(happy > 30).max(), change - 3, change + 3
    )
    assert np.flatnonzero(sad > 30).min() == np.clip(
        np.flatnonzero(sad > 30).min(), change - 3, change + 3
    )


def test_absence_is_a_gap(tmp_path: Path) -> None:
    lines = Timelines(FER2013)
    for k in range(200):
        lines.add(frame(k / 10, *([] if 50 <= k < 100 else [face(0)])))
    happy = columns(lines.write(tmp_path)[0], "happy")
    there = np.flatnonzero(happy > 30)
    gap = np.diff(there)
    assert (gap > 1).sum() == 1
    assert abs(gap.max() / (there[-1] - there[0]) - 0.25) < 0.02


def test_one_picture_for_each_person_who_was_there(tmp_path: Path) -> None:
    lines = Timelines(FER2013)
    for k in range(30):
        faces = [face(0), face(4), face(None), face(2, reason="perhaps no face")]
        lines.add(frame(k / 10, *faces, *([face(9)] if k == 7 else [])))
    lines.add(frame(None, face(7)))
    lines.add(frame(9.0, error="cannot be decoded"))
    names = [path.name for path in lines.write(tmp_path)]
    assert names == ["person-0.png", "person-4.png", "overview.png"]
    assert len(lines.write(tmp_path, max_persons=1)) == 2


def test_looks_too_far_apart_to_follow_a_face_make_persons_of_one_look(tmp_path: Path) -> None:
    lines = Timelines(FER2013)
    for k in range(5):
        lines.add(frame(2.0 * k, face(k)))
    assert lines.persons() == [0, 1, 2, 3, 4]


def test_the_overview_has_a_band_a_person_and_a_key(tmp_path: Path) -> None:
    lines = Timelines(FER2013)
    for k in range(400):
        later = [face(3, "sad", uncertain=k > 300)] if k >= 200 else []
        lines.add(frame(k / 25, face(0, "happy" if k < 100 else "angry"), *later))
    overview = np.asarray(Image.open(lines.write(tmp_path)[-1]))
    where = {name: (overview == rgb(name)).all(2) for name in FER2013}
    assert all(found.any() for found in where.values())  # the key
    happy, angry, sad = (where[name][:140] for name in ("happy", "angry", "sad"))
    first, last = np.flatnonzero(angry.any(0))[[0, -1]]
    assert np.flatnonzero(happy.any(0)).max() == pytest.approx(first, abs=3)
    assert np.flatnonzero(sad.any(0)).min() == pytest.approx((2 * first + last) / 3, abs=8)
    assert np.flatnonzero(sad.any(1)).min() > np.flatnonzero(angry.any(1)).max()


def test_names_of_any_script_are_drawn(tmp_path: Path) -> None:
    own = LabelSet(("радость", "гнев", "покой"))
    lines = Timelines(own)
    for k in range(10):
        p = dict(zip(own, (0.2, 0.7, 0.1), strict=True))
        one = Face((0, 0, 9, 9), 0.9, None, "гнев", p, 0.3, Quality(9, 1))
        lines.add(frame(k / 10, replace(one, track=0)))
    assert len(lines.write(tmp_path)) == 2
    assert take_missing() == ""


def test_seconds_are_those_of_the_summary() -> None:
    lines = Timelines(FER2013)
    frames = [
        frame(0.5, face(0), face(1)),
        frame(0.6, face(0, "sad")),
        frame(1.0),
        frame(1.1, error="a broken frame"),  # ends the frame before, and shows nobody
        frame(1.15, face(0), face(1)),
        frame(1.1, face(1)),  # a clock that steps back
        frame(1.4, face(0), face(None)),
    ]
    for one in frames:
        lines.add(one)
    seen = {row["track"]: row["seen_s"] for row in summary(frames)}
    assert [seen[0], seen[1]] == pytest.approx([0.1 + 0.4 + 0 + 0.3, 0.1 + 0.3])
    assert [lines.seconds(track) for track in (0, 1, 7)] == [
        pytest.approx((seconds, 1.25)) for seconds in (seen[0], seen[1], 0)
    ]
    assert lines.seconds(0) == lines.seconds(0)  # asking takes nothing away


def test_nothing_to_draw(tmp_path: Path) -> None:
    lines = Timelines(FER2013)
    assert lines.write(tmp_path / "a") == []
    lines.add(frame(0.0))
    assert lines.write(tmp_path / "a") == []
    assert not (tmp_path / "a").exists()


def test_one_look_and_a_clock_that_steps_back(tmp_path: Path) -> None:
    lines = Timelines(FER2013)
    lines.add(frame(100.0, face(0)))
    assert len(lines.write(tmp_path)) == 2
    for time_s in (0.0, 0.1, 100.2, 50.0):
        lines.add(frame(time_s, face(0, uncertain=True)))
    assert len(lines.write(tmp_path)) == 2


def test_what_is_kept_does_not_grow_with_the_video(tmp_path: Path) -> None:
    lines = Timelines(FER2013)
    for k in range(60_000):  # 40 minutes
        lines.add(frame(k / 25, FACES[k // 30_000]))
    assert len(lines._looks) <= 4096 and sum(lines._looks.values()) == 60_000
    assert sum(sums[-1] for sums in lines._people[0].values()) == 60_000
    path = lines.write(tmp_path)[0]
    happy, sad = columns(path, "happy"), columns(path, "sad")
    happy, sad = np.flatnonzero(happy > 30), np.flatnonzero(sad > 30)
    assert 0.48 < np.ptp(happy) / (np.ptp(happy) + np.ptp(sad)) < 0.52


FACES = (face(0, "happy"), face(0, "sad"))


def test_steps_of_the_axis() -> None:
    assert [_nice_step(about) for about in (0.012, 0.2, 0.21, 3, 10, 11, 47, 3000)] == [
        0.02,
        0.2,
        0.5,
        5,
        10,
        15,
        60,
        3600,
    ]
