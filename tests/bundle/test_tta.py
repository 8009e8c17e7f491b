from __future__ import annotations

import numpy as np

from mien.bundle.tta import NUM_VIEWS, VIEWS, views
from mien.constants import FACE_SIDE
from mien.data.synthetic import draw_faces


def test_the_first_view_is_the_face_and_each_is_mirrored_once() -> None:
    faces = draw_faces(np.arange(5), seed=0)
    seen = views(faces)
    assert (
        seen.shape == (NUM_VIEWS, 5, FACE_SIDE, FACE_SIDE, 1)
        and seen.dtype == np.float32
        and NUM_VIEWS == 14
    )
    np.testing.assert_allclose(seen[0], faces, atol=1e-3)
    mirrored = views(np.ascontiguousarray(faces[:, :, ::-1]))
    np.testing.assert_allclose(seen[len(VIEWS) :], mirrored[: len(VIEWS)], atol=1e-3)
    np.testing.assert_allclose(seen[len(VIEWS)], faces[:, :, ::-1], atol=1e-3)
    assert 0 <= seen.min() and seen.max() <= 255.001


def test_views_scale_and_turn_as_they_say() -> None:
    face = np.zeros((1, FACE_SIDE, FACE_SIDE, 1), np.uint8)
    face[0, 10, 30] = 255
    middle = (FACE_SIDE - 1) / 2
    right, down = 30 - middle, 10 - middle
    for (zoom, degrees), seen in zip(VIEWS, views(face)[..., 0], strict=False):
        total = seen[0].sum()
        row, column = (seen[0].sum(axis=1 - axis) @ np.arange(FACE_SIDE) / total for axis in (0, 1))
        turn = np.radians(degrees)  # clockwise, rows counted downwards
        assert abs(column - (middle + zoom * (right * np.cos(turn) - down * np.sin(turn)))) < 0.6
        assert abs(row - (middle + zoom * (down * np.cos(turn) + right * np.sin(turn)))) < 0.6


def test_what_comes_from_outside_repeats_the_edge() -> None:
    face = np.zeros((1, FACE_SIDE, FACE_SIDE, 1), np.uint8)
    face[0, :, 0] = 200
    smaller = views(face)[VIEWS.index((0.85, 0)), 0, :, :, 0]
    assert (smaller[:, :4] == 200).all() and (smaller[:, 5:] == 0).all()


def test_no_faces() -> None:
    assert views(np.zeros((0, FACE_SIDE, FACE_SIDE, 1), np.uint8)).shape == (
        NUM_VIEWS,
        0,
        FACE_SIDE,
        FACE_SIDE,
        1,
    )
