"""YuNet in ONNX Runtime: what it finds, and that its boxes are those of OpenCV."""

from __future__ import annotations

import hashlib
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mien.errors import DataError
from mien.vision.detect import find_detector
from mien.vision.detections import Detections
from mien.vision.yunet import YuNet, tiles
from mien.vision.yunet_weights import YUNET_FILE, YUNET_SHA256


def test_a_file_that_is_no_detector_is_refused(tmp_path: Path) -> None:
    (tmp_path / "face.onnx").write_bytes(b"no network")
    with pytest.raises(
        DataError, match="face.onnx: got a file that ONNX Runtime cannot use as YuNet"
    ):
        find_detector("yunet", model=tmp_path / "face.onnx")


@pytest.mark.parametrize("length", [1, 64, 1280, 1281, 4000, 25_001])
def test_tiles_cover_an_axis_and_share_enough(length: int) -> None:
    parts = tiles(length)
    assert (
        parts[0][0] == 0
        and parts[-1][1] == length
        and max(end - begin for begin, end, _, _ in parts) <= 1280
    )
    assert (len(parts) == 1) == (length <= 1280)
    assert (parts[0][2], parts[-1][3]) == (-np.inf, np.inf)
    for (_, end, _, last), (begin, _, first, _) in pairwise(parts):
        assert (
            end - begin >= 64 and first == last == (begin + end) / 2
        )  # no place is the business of two, or of none


# With the real weights, where they are.


@pytest.fixture(scope="module")
def weights() -> Path:
    path = Path(
        os.environ.get("MIEN_YUNET") or Path(__file__).parents[3] / "shared" / "models" / YUNET_FILE
    )
    if not path.exists():
        pytest.skip("YuNet's weights are not beside the project")
    return path


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return np.asarray(data.astronaut())


@pytest.mark.shared
def test_yunet_finds_the_astronaut(weights: Path, portrait: np.ndarray) -> None:
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == YUNET_SHA256
    detector = find_detector(model=weights)
    assert (detector.name, detector.note) == ("yunet-2026may", "")
    found = detector.detect(portrait)
    assert len(found) == 1 and found.scores[0] > 0.8
    np.testing.assert_allclose(found.boxes[0], [178, 63, 268, 176], atol=6)
    assert found.landmarks is not None
    right_eye, left_eye, nose, right_mouth, left_mouth = found.landmarks[0]
    assert right_eye[0] < nose[0] < left_eye[0] and right_mouth[0] < left_mouth[0]
    assert right_eye[1] < nose[1] < right_mouth[1]


@pytest.mark.shared
@pytest.mark.parametrize(("height_px", "max_side"), [(20, 4000), (30, None), (1300, None)])
def test_small_and_large_faces_in_twelve_megapixels(
    weights: Path, portrait: np.ndarray, height_px: int, max_side: int | None
) -> None:
    import cv2

    picture = np.full((3000, 4000, 3), 120, np.uint8)
    zoom = height_px / 113
    way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    near = cv2.resize(portrait[0:240, 80:350], None, fx=zoom, fy=zoom, interpolation=way)
    picture[50 : 50 + near.shape[0], 300 : 300 + near.shape[1]] = near
    found = find_detector(model=weights, max_side=max_side).detect(picture)
    assert len(found) == 1
    box = found.boxes[0]
    assert box[3] - box[1] == pytest.approx(height_px, rel=0.25)
    middle = np.array([300, 50]) + zoom * np.array([143, 119])
    assert np.hypot(*((box[:2] + box[2:]) / 2 - middle)) < 0.2 * height_px


@pytest.mark.shared
@pytest.mark.parametrize(
    "middle", [(300, 200), (750, 700)], ids=["in a tile", "where four tiles meet"]
)
def test_the_close_look_finds_a_smaller_face_once(
    weights: Path, portrait: np.ndarray, middle: tuple[int, int]
) -> None:
    import cv2

    assert [part[3] for part in (*tiles(1500), *tiles(1400))] == [750, np.inf, 700, np.inf]
    picture = np.full((1400, 1500, 3), 120, np.uint8)
    near = cv2.resize(
        portrait[0:240, 80:350], None, fx=9 / 113, fy=9 / 113, interpolation=cv2.INTER_AREA
    )
    x, y = middle[0] - 11, middle[1] - 10
    picture[y : y + near.shape[0], x : x + near.shape[1]] = near
    assert len(find_detector("yunet", model=weights).detect(picture)) == 0
    detector = find_detector("yunet-close", model=weights)
    assert detector.name == "yunet-2026may-close"
    found = pickle.loads(pickle.dumps(detector)).detect(picture)  # noqa: S301
    assert len(found) == 1 and found.geometry == "yunet"
    np.testing.assert_allclose((found.boxes[0, :2] + found.boxes[0, 2:]) / 2, middle, atol=3)


@pytest.mark.shared
def test_one_yunet_serves_eight_threads_with_pictures_of_many_sizes(
    weights: Path, portrait: np.ndarray
) -> None:
    detector = find_detector(model=weights)
    pictures = [
        np.ascontiguousarray(portrait[: 250 + 13 * i, : 300 + 17 * (i % 5)]) for i in range(16)
    ]
    alone = [detector.detect(picture) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(detector.detect, pictures * 2))
    assert len(together) == 32 and all(len(found) == 1 for found in alone)
    for found, expected in zip(together, alone * 2, strict=True):
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        np.testing.assert_array_equal(found.landmarks, expected.landmarks)


@pytest.mark.shared
@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (7, 5), (33, 31), (64, 4000)])
def test_odd_pictures_without_a_face(weights: Path, shape: tuple[int, int]) -> None:
    found = find_detector(model=weights).detect(np.full((*shape, 3), 90, np.uint8))
    assert isinstance(found, Detections) and len(found) == 0


@pytest.mark.shared
def test_yunet_travels_between_processes(weights: Path, portrait: np.ndarray) -> None:
    detector = YuNet(weights, max_side=512, min_score=0.7)
    copy = pickle.loads(pickle.dumps(detector))  # noqa: S301
    assert copy.name == detector.name
    np.testing.assert_array_equal(copy.detect(portrait).boxes, detector.detect(portrait).boxes)


@pytest.mark.shared
def test_boxes_are_those_of_opencv(weights: Path, portrait: np.ndarray) -> None:
    """The same faces, boxes, landmarks and scores as cv2.FaceDetectorYN, at one look."""
    import cv2

    tiled = np.tile(portrait, (2, 2, 1))  # four faces
    num_faces = 0
    for size in ((512, 512), (640, 480), (333, 501), (97, 61), (1280, 720), (40, 1000), (1, 7)):
        small = cv2.resize(tiled, size, interpolation=cv2.INTER_AREA)
        peer = cv2.FaceDetectorYN.create(str(weights), "", size, 0.3, 0.3, 5000)
        _, rows = peer.detect(np.ascontiguousarray(small[:, :, ::-1]))
        expected = np.zeros((0, 15), np.float32) if rows is None else np.array(rows, np.float32)
        expected[:, 2:4] += expected[:, :2]
        found = YuNet(weights, min_score=0.3)._pass(small, np.ones(2, np.float32))
        assert len(found) == len(expected)
        np.testing.assert_allclose(found[:, :14], expected[:, :14], atol=2e-4)
        np.testing.assert_allclose(found[:, 14], expected[:, 14], atol=1e-5)
        num_faces += len(found)
    assert num_faces >= 16
