"""Rows of any detector become valid boxes."""

from __future__ import annotations

import numpy as np

from mien.vision.detections import Detections, valid_detections


def row(x0: float, y0: float, x1: float, y1: float, score: float) -> list[float]:
    return [x0, y0, x1, y1, *[5.0] * 10, score]


def test_rows_become_valid_boxes_in_order() -> None:
    rows = [
        row(10, 10, 30, 30, 0.7),
        row(12, 10, 31, 30, 0.9),  # the same face, surer
        row(-20, 50, 20, 90, 0.7),  # cut off by the edge
        row(60, 60, 80, 80, 0.7),  # as sure, smaller
        row(np.nan, 0, 9, 9, 0.8),
        row(40, 40, 40, 50, 0.8),  # no width
        row(200, 5, 240, 50, 0.8),  # beyond the picture
    ]
    found = valid_detections(np.array(rows, np.float32), np.zeros((100, 120, 3), np.uint8), "yunet")
    assert found.boxes.tolist() == [[12, 10, 31, 30], [0, 50, 20, 90], [60, 60, 80, 80]]
    np.testing.assert_allclose(found.scores, [0.9, 0.7, 0.7])
    assert found.landmarks is not None and found.landmarks.shape == (3, 5, 2)
    assert found.boxes.dtype == found.scores.dtype == found.landmarks.dtype == np.float32


def test_no_rows_give_empty_arrays() -> None:
    found = valid_detections(
        np.zeros((0, 15), np.float32), np.zeros((10, 10, 3), np.uint8), "yunet"
    )
    assert len(found) == 0
    assert found.boxes.shape == (0, 4) and found.scores.shape == (0,)
    assert found.landmarks is not None and found.landmarks.shape == (0, 5, 2)


def test_faces_are_numbered_from_left_to_right() -> None:
    boxes = np.array([[50, 0, 90, 40], [10, 5, 30, 25], [49, 60, 91, 99]], np.float32)
    points = np.arange(30, dtype=np.float32).reshape(3, 5, 2)
    found = Detections(boxes, np.array([0.9, 0.8, 0.7], np.float32), points, "yunet")
    ordered = found.left_to_right()
    assert ordered.boxes[:, 0].tolist() == [10, 50, 49] and ordered.scores[0] == np.float32(0.8)
    assert ordered.landmarks is not None and (ordered.landmarks[0] == points[1]).all()
