"""Size, sharpness and turn of faces made up for it, and the rule for uncertain answers."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mien.data.synthetic import draw_faces
from mien.results import Quality
from mien.results.types import NO_FACE
from mien.vision import quality

BOX = np.array([10, 20, 70, 110], np.float32)
FRONTAL = np.array([[0, 0], [40, 0], [20, 25], [8, 45], [32, 45]], np.float32)


def turn_of(points: np.ndarray) -> float | None:
    return quality.measure(BOX, points, draw_faces(np.array([3]), seed=5)[0]).turn


def test_turn_grows_as_the_nose_leaves_the_middle() -> None:
    turns = []
    for x in (20, 25, 30, 40, 55):
        points = FRONTAL.copy()
        points[2, 0] = x
        turns.append(turn_of(points))
    assert turns[0] == 0 and turns == sorted(turns)
    assert turns[2] == pytest.approx(0.5) and turns[3] == 1 and turns[4] == 1
    mirrored = FRONTAL.copy()
    mirrored[2, 0] = 10
    assert turn_of(mirrored) == pytest.approx(0.5)


def test_turn_in_the_picture_does_not_count() -> None:
    angle = np.radians(30)
    turned = FRONTAL @ np.array(
        [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32
    )
    assert turn_of(turned) == pytest.approx(0, abs=1e-6)


def test_a_blurred_face_is_less_sharp_and_contrast_does_not_count() -> None:
    face = draw_faces(np.array([3]), seed=5)[0]
    sharp = quality.measure(BOX, FRONTAL, face)
    assert sharp.size_px == 60 and sharp.turn == 0
    blurred = cv2.GaussianBlur(face[..., 0], (0, 0), 2)[..., None]
    assert quality.measure(BOX, None, blurred).sharpness < 0.6 * sharp.sharpness
    pale = (face // 2 + 60).astype(np.uint8)
    assert quality.measure(BOX, None, pale).sharpness == pytest.approx(sharp.sharpness, rel=0.1)
    assert quality.measure(BOX, None, np.zeros_like(face)).sharpness == 0


def test_each_reason_for_doubt() -> None:
    good = Quality(60, 1, 0.1)
    assert quality.doubt(0.9, good, 0.5) == ""
    assert quality.doubt(0.4, good, 0.5) == "no label reaches 50%"
    assert quality.doubt(0.74, good, 0.75) == "no label reaches 75%"
    assert quality.doubt(0.9, Quality(12, 1, None), 0.5) == "face smaller than 24 pixels"
    assert quality.doubt(0.4, Quality(12, 1, 0.9), 0.5).count(";") == 2


def test_what_is_perhaps_no_face() -> None:
    plain = Quality(size_px=80, sharpness=1, brightness=0.4)
    assert quality.doubt(0.9, plain, 0.5, score=0.7) == ""
    assert quality.doubt(0.3, plain, 0.5, score=0.9) != "" and NO_FACE not in quality.doubt(
        0.3, plain, 0.5, score=0.9
    )
    assert quality.doubt(0.3, plain, 0.5, score=0.7).startswith(NO_FACE + "; ")
    assert quality.doubt(0.9, replace(plain, brightness=0.03), 0.5, score=0.95) == NO_FACE
