"""Answers drawn onto pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mien.errors import UsageError
from mien.labels import FER2013
from mien.results import Face, Quality
from mien.vision.annotate import _overlap, _place_label, _Room, annotate


def face(
    box: tuple[float, float, float, float], label: str = "happy", *, uncertain: bool = False
) -> Face:
    p = [0.02] * 7
    p[FER2013.index(label)] = 0.88
    p = dict(zip(FER2013, p, strict=True))
    return Face(box, 0.9, None, label, p, 0.3, Quality(40.0, 1.0, 0.1), uncertain, "")


def gray(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.asarray((before != after).any(2))


def test_no_face_is_a_copy() -> None:
    image = gray(40, 30)
    drawn = annotate(image, [], FER2013)
    assert (drawn == image).all() and drawn is not image
    drawn[:] = 0
    assert image.min() == 128


@pytest.mark.parametrize(
    ("width", "height", "side"), [(320, 240, 100), (1280, 720, 160), (4000, 3000, 900)]
)
def test_box_label_and_bars_are_there_and_the_face_stays_free(
    width: int, height: int, side: int
) -> None:
    image = gray(width, height)
    x, y = width // 3, height // 3
    drawn = annotate(image, [face((x, y, x + side, y + side))], FER2013)
    marks = changed(image, drawn)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert marks[y, x : x + side].all() and marks[y : y + side, x].all()  # the box
    assert not marks[
        y + side // 4 : y + side * 3 // 4, x + side // 4 : x + side * 3 // 4
    ].any()  # the face
    assert marks[: y - 3].any()  # the label above
    assert marks[y : y + side, x + side + 6 :].any()  # the bars at the right
    white = drawn.min(2) > 180
    assert white[:y].sum() > 40  # letters
    rows = np.flatnonzero(white[:y].any(1))
    assert rows.max() - rows.min() + 1 >= max(7, height / 120)  # tall enough to be read
    colour = tuple(int(FER2013.colour(3)[i : i + 2], 16) for i in (1, 3, 5))
    assert (drawn[y : y + side, x + side + 6 :] == colour).all(2).sum() > side  # the longest bar


def test_uncertain_differs_in_shape_not_only_in_colour() -> None:
    image = gray(320, 240)
    box = (100.0, 80.0, 180.0, 180.0)
    sure = changed(image, annotate(image, [face(box)], FER2013))
    doubted = changed(image, annotate(image, [face(box, uncertain=True)], FER2013))
    edge = slice(100, 180)
    assert sure[180, edge].all()
    assert 0.3 < doubted[180, edge].mean() < 0.9  # dashes
    assert (
        changed(image, annotate(image, [face(box)], FER2013))[60:79].sum() != doubted[60:79].sum()
    )  # the question mark


@pytest.mark.parametrize(
    "box",
    [
        (-30, -30, 60, 60),
        (280, 200, 360, 290),
        (0, 0, 320, 240),
        (-50, 100, -10, 140),
        (5, 5, 5, 5),
    ],
)
def test_faces_at_the_edge_have_their_label_inside(box: tuple[float, float, float, float]) -> None:
    image = gray(320, 240)
    drawn = annotate(image, [face(box)], FER2013)
    assert (drawn.min(2) > 180).sum() > 40


def test_bars_never_cover_another_face() -> None:
    image = gray(640, 360)
    boxes = [(20.0 + 105 * k, 120.0, 110.0 + 105 * k, 220.0) for k in range(6)]
    drawn = annotate(image, [face(box) for box in boxes], FER2013)
    marks = changed(image, drawn)
    for x0, y0, x1, y1 in boxes:
        assert not marks[int(y0) + 12 : int(y1) - 12, int(x0) + 12 : int(x1) - 12].any()


def test_a_small_label_set_and_a_tiny_picture() -> None:
    drawn = annotate(gray(24, 24), [face((2, 2, 20, 20))], FER2013)
    assert drawn.shape == (24, 24, 3)


@pytest.mark.parametrize(
    "image",
    [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3), np.float32)],
)
def test_what_is_no_picture(image: np.ndarray) -> None:
    with pytest.raises(UsageError, match="annotate: got"):
        annotate(image, [], FER2013)


def _faces(num: int, seed: int, *, size: tuple[int, int] = (1000, 700)) -> list[Face]:
    """Faces in rows, every third of them uncertain for two reasons."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(num):
        x, y = (
            (k % 6) * size[0] / 6 + rng.uniform(5, 35),
            (k // 6) * size[1] / 4 + rng.uniform(20, 40),
        )
        side = rng.uniform(50, 120)
        one = face((x, y, x + side, y + side), FER2013[k % 7], uncertain=k % 3 == 0)
        reason = "no label reaches 50%; face turned away" if one.uncertain else ""
        found.append(replace(one, reason=reason, track=k))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_labels_of_a_crowd_lie_on_nothing_and_say_why(seed: int) -> None:
    faces = _faces(24, seed)
    room = _Room((1000, 700), [one.box for one in faces])
    placed = [(one, _place_label(one, 22.0, room)) for one in faces]
    whole = [(one, *found) for one, found in placed if found is not None]
    assert len(whole) >= 23
    places = np.array([place for *_, place in whole])
    boxes = np.array([one.box for one in faces])
    assert not _overlap(places, boxes).any()
    assert not (_overlap(places, places) & ~np.eye(len(places), dtype=bool)).any()
    said = [
        " ".join(text for _, text, _ in plate.lines) for one, plate, _ in whole if one.uncertain
    ]
    assert len(said) >= 7
    assert sum("no label reaches 50%" in text and "turned away" in text for text in said) >= 6
    for one, plate, _ in whole:
        assert ("?" in plate.lines[0][1]) == one.uncertain


def test_what_is_perhaps_no_face_has_no_number() -> None:
    one = replace(face((50, 60, 150, 160), uncertain=True), track=7, reason="perhaps no face")
    found = _place_label(one, 20.0, _Room((640, 480), [one.box]))
    assert found is not None
    assert [text for _, text, _ in found[0].lines] == ["happy? 88%", "perhaps no face"]
    kept = _place_label(replace(one, reason=""), 20.0, _Room((640, 480), [one.box]))
    assert kept is not None and kept[0].lines[0][1] == "#7 happy? 88%"
