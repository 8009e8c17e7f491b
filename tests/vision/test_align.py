"""Crops: geometry, averaging, the data side's own pixels, faces at the edge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.pictures import read_gray
from mien.errors import UsageError
from mien.vision.align import GEOMETRIES, crop, squares, turn_aside
from mien.vision.preprocess import gray, resized

SIZES = [(48, 48), (48, 30), (17, 200), (333, 250), (20, 20), (1, 1), (97, 48)]


def landmarks(centre: tuple[float, float], side: float, turn_deg: float) -> np.ndarray:
    """(1, 5, 2): where the five points of a face lie whose FER2013 crop is this square."""
    points = np.array(GEOMETRIES["yunet"].points) @ [1, 1j] - (0.5 + 0.5j)
    seen = complex(*centre) + side * np.exp(1j * np.radians(turn_deg)) * points
    return np.stack([seen.real, seen.imag], axis=-1)[None].astype(np.float32)


def boxes(centre: tuple[float, float], side: float) -> np.ndarray:
    """(1, 4): the detector's box of that face."""
    known = GEOMETRIES["yunet"]
    middle = np.array(centre) + side * (np.array(known.box_centre) - 0.5)
    half = side * known.box_side / 2
    return np.concatenate([middle - half, middle + half])[None].astype(np.float32)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )


@pytest.mark.parametrize("turn_deg", [0, 25, -60, 180])
def test_the_landmark_rule_gives_the_square_back(turn_deg: float) -> None:
    corners = squares(boxes((0, 0), 1), landmarks((300, 200), 120, turn_deg), rule="landmarks")
    assert corners.shape == (1, 4, 2)
    away = 120 / np.sqrt(2) * np.exp(1j * np.radians(turn_deg + np.array([-135, -45, 45, 135])))
    np.testing.assert_allclose(
        corners[0], np.stack([300 + away.real, 200 + away.imag], -1), atol=0.2
    )


def test_the_box_rule_gives_the_square_back() -> None:
    corners = squares(boxes((150, 150), 100), None)
    np.testing.assert_allclose(
        corners[0], [[100, 100], [200, 100], [200, 200], [100, 200]], atol=0.01
    )


def test_between_box_and_landmarks_the_box_counts_more_the_more_a_head_is_turned_aside() -> None:
    seen = landmarks((150, 150), 100, 0)
    frontal = squares(boxes((190, 150), 100), seen)[0].mean(axis=0)
    assert frontal[0] == pytest.approx(170, abs=1)  # half way between 150 and 190
    seen[0, 2] = seen[0, 1]  # the nose tip at an eye: a profile
    profile = squares(boxes((190, 150), 100), seen)[0].mean(axis=0)
    np.testing.assert_allclose(profile, [190, 150], atol=0.01)
    assert turn_aside(landmarks((0, 0), 50, 40))[0] < 0.1 and turn_aside(seen)[0] == 1


def test_a_turned_face_comes_out_upright() -> None:
    """A picture whose gray rises to the right of a turned square: so must the crop's, to the crop's
    right.
    """
    turn_deg = 30
    y, x = np.mgrid[0:400, 0:400] + 0.5
    across = (x - 200) * np.cos(np.radians(turn_deg)) + (y - 200) * np.sin(np.radians(turn_deg))
    picture = np.repeat((128 + across).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    found = landmarks((200, 200), 192, turn_deg)
    face = crop(picture, boxes((200, 200), 192), found).faces[0, :, :, 0].astype(float)
    expected = 128 + (np.arange(48) + 0.5 - 24) * 4
    np.testing.assert_allclose(face, np.tile(expected, (48, 1)), atol=2)


def test_shrinking_averages_by_area() -> None:
    """Fine stripes, 10 pixels of the picture for one of the crop, become an even gray."""
    picture = np.zeros((480, 480, 3), np.uint8)
    picture[:, ::2] = 200
    face = crop(picture, boxes((240, 240), 480), landmarks((240, 240), 480, 0)).faces[0]
    assert face[2:-2, 2:-2].min() >= 97 and face[2:-2, 2:-2].max() <= 103


def test_a_crop_that_goes_beyond_the_picture_repeats_its_edge() -> None:
    picture = np.full((60, 60, 3), 77, np.uint8)
    found = np.vstack([landmarks((0, 0), 90, 10), landmarks((59, 70), 20, 0)])
    crops = crop(picture, np.vstack([boxes((0, 0), 90), boxes((59, 70), 20)]), found)
    assert crops.faces.shape == (2, 48, 48, 1)
    assert (crops.faces == 77).all()


def test_enlarging_is_smooth_and_keeps_the_place() -> None:
    y, x = np.mgrid[0:100, 0:100]
    picture = np.repeat((2 * x).astype(np.uint8)[..., None], 3, axis=2)
    face = (
        crop(picture, boxes((50, 50), 24), landmarks((50, 50), 24, 0))
        .faces[0, 24, :, 0]
        .astype(float)
    )
    expected = 2 * (50 + (np.arange(48) + 0.5 - 24) / 2 - 0.5)
    np.testing.assert_allclose(face, expected, atol=1.5)


@pytest.mark.parametrize("size", SIZES)
def test_whole_pictures_become_what_the_data_side_makes_of_them(
    size: tuple[int, int], tmp_path: Path
) -> None:
    picture = noise(*size)
    path = tmp_path / "face.png"
    Image.fromarray(picture).save(path)
    height, width = size
    crops = crop(picture, np.array([[0, 0, width, height]], np.float32), None, geometry="none")
    assert crops.faces.shape == (1, 48, 48, 1)
    np.testing.assert_array_equal(crops.faces[0, :, :, 0], read_gray(path).pixels)
    np.testing.assert_array_equal(resized(gray(picture)), read_gray(path).pixels)


def test_no_face_gives_empty_arrays() -> None:
    crops = crop(noise(50, 50), np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32))
    assert crops.faces.shape == (0, 48, 48, 1) and crops.faces.dtype == np.uint8
    assert crops.corners.shape == (0, 4, 2)


def test_landmarks_that_fall_together_still_give_a_crop() -> None:
    crops = crop(
        noise(50, 50), np.array([[10, 10, 12, 12]], np.float32), np.full((1, 5, 2), 11, np.float32)
    )
    assert crops.faces.shape == (1, 48, 48, 1)
    assert np.isfinite(crops.corners).all()


@pytest.mark.parametrize(
    ("box", "points", "geometry", "said"),
    [
        (np.zeros(4), None, "yunet", r"expected \(F, 4\)"),
        (np.zeros((1, 4)), np.zeros((2, 5, 2)), "yunet", r"expected \(F, 4\)"),
        (np.ones((1, 4)), None, "haar", "got 'haar'"),
    ],
)
def test_wrong_arguments_are_refused(
    box: np.ndarray, points: np.ndarray | None, geometry: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        crop(noise(50, 50), box, points, geometry=geometry)


@pytest.mark.parametrize(
    "picture", [np.zeros((5, 5)), np.zeros((5, 5, 4), np.uint8), np.zeros((0, 5, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(UsageError, match="picture: got"):
        crop(picture, np.zeros((0, 4), np.float32), None)
