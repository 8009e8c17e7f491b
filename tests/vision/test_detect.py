"""Finding faces: where the weights come from, what a detector gives, and what it refuses."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from local_server import Reply, serving

import mien
from mien.errors import DataError, DownloadError, MissingExtraError, UsageError
from mien.vision import detect
from mien.vision.detect import (
    YUNET_FILE,
    Detections,
    WholeImage,
    YuNet,
    find_detector,
    found_faces,
    tiles,
    yunet_weights,
)

GOOD = b"the weights" * 1000


class Mirrors:
    """What the two addresses of a local server answer, and how often they were asked."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes | None] = {"first": GOOD, "second": GOOD}
        self.promised = len(GOOD)
        self.asked: list[str] = []
        self.urls: tuple[str, ...] = ()

    def answer(self, path: str) -> Reply:
        name = path.split("/")[1]
        self.asked.append(name)
        body = self.bodies[name]
        return (
            Reply(404)
            if body is None
            else Reply(body=body, promised=self.promised if name == "first" else None)
        )


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirrors]:
    state = Mirrors()
    with serving(state.answer) as address:
        state.urls = tuple(f"{address}/{name}/{YUNET_FILE}" for name in ("first", "second"))
        monkeypatch.setattr(detect, "YUNET_URLS", state.urls)
        monkeypatch.setattr(detect, "YUNET_SHA256", hashlib.sha256(GOOD).hexdigest())
        for name in ("MIEN_YUNET", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield state


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(detect, "PACKAGED", tmp_path / "not vendored")
    return tmp_path / "cache" / "models"


def test_the_package_keeps_weights_where_make_vendor_puts_them() -> None:
    package = Path(mien.__file__).parent
    assert detect.PACKAGED.parent == package / "serving" / "page" / "vendor" / "yunet"


def test_weights_in_the_package_need_no_cache_and_no_network(
    mirrors: Mirrors, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "vendor" / YUNET_FILE
    packaged.parent.mkdir()
    packaged.write_bytes(GOOD)
    monkeypatch.setattr(detect, "PACKAGED", packaged)
    assert yunet_weights() == packaged
    packaged.write_bytes(GOOD[:-1])  # a damaged one is passed over
    assert yunet_weights() == cache / YUNET_FILE
    assert len(mirrors.asked) == 1


def test_the_weights_are_fetched_once_and_kept(mirrors: Mirrors, cache: Path) -> None:
    path = yunet_weights()
    assert path == cache / YUNET_FILE and path.read_bytes() == GOOD
    assert yunet_weights() == path
    assert mirrors.asked == ["first"]
    assert [entry.name for entry in cache.iterdir()] == [YUNET_FILE]  # nothing half done beside it


def test_a_damaged_file_in_the_cache_is_fetched_again(mirrors: Mirrors, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / YUNET_FILE).write_bytes(GOOD[:-1])
    assert yunet_weights().read_bytes() == GOOD
    assert mirrors.asked == ["first"]


@pytest.mark.parametrize(
    "first", [None, b"an error page", GOOD[:5000]], ids=["dead", "wrong checksum", "cut off"]
)
def test_the_second_mirror_serves_when_the_first_fails(
    mirrors: Mirrors, cache: Path, first: bytes | None
) -> None:
    mirrors.bodies["first"] = first
    if first == b"an error page":
        mirrors.promised = len(first)
    assert yunet_weights().read_bytes() == GOOD
    assert mirrors.asked == ["first", "second"]
    assert [entry.name for entry in cache.iterdir()] == [YUNET_FILE]


def test_with_no_mirror_left_the_error_says_what_to_do(mirrors: Mirrors, cache: Path) -> None:
    mirrors.bodies = {"first": GOOD[:5000], "second": None}
    with pytest.raises(DownloadError) as caught:
        yunet_weights()
    text = str(caught.value)
    assert "cut off before its end" in text and "HTTP status 404" in text
    advice = (
        mirrors.urls[0],
        str(cache / YUNET_FILE),
        "MIEN_YUNET",
        "--detector-model",
        "the extra [mtcnn]",
    )
    for part in (*advice, "--detector none"):
        assert part in text
    assert list(cache.iterdir()) == []


def test_without_a_network_the_error_says_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIEN_YUNET", raising=False)
    monkeypatch.setattr(detect, "YUNET_URLS", ("http://127.0.0.1:9/a",))  # nobody listens there
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(DownloadError, match="no connection.*connect once to the internet"):
        yunet_weights()


def test_a_cache_that_cannot_be_written(
    mirrors: Mirrors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(
        DownloadError, match="expected a folder to keep YuNet's weights in.*MIEN_CACHE"
    ):
        yunet_weights()
    assert mirrors.asked == []


def test_an_explicit_file_comes_first_then_the_variable(
    mirrors: Mirrors, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, named = tmp_path / "given.onnx", tmp_path / "named.onnx"
    given.touch()
    named.touch()
    monkeypatch.setenv("MIEN_YUNET", str(named))
    assert yunet_weights(given) == given
    assert yunet_weights() == named
    named.unlink()
    with pytest.raises(DataError, match="no such file, though MIEN_YUNET names it"):
        yunet_weights()
    assert mirrors.asked == [] and not cache.exists()


def test_a_file_that_is_no_detector_is_refused(tmp_path: Path) -> None:
    (tmp_path / "face.onnx").write_bytes(b"no network")
    with pytest.raises(DataError, match="face.onnx: came a file that OpenCV cannot use as YuNet"):
        find_detector("yunet", model=tmp_path / "face.onnx")


def test_auto_takes_what_can_be_had_and_says_why(
    mirrors: Mirrors, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirrors.bodies = {"first": None, "second": None}
    monkeypatch.setattr(detect, "mtcnn_is_installed", lambda: False)
    with pytest.raises(
        DownloadError, match=r"came no weights.*install mien with the extra \[mtcnn\]"
    ):
        find_detector()
    with pytest.raises(DownloadError, match="came no weights"):
        find_detector("yunet")


def test_mtcnn_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mtcnn", None)  # what Python itself does for a missing module
    with pytest.raises(MissingExtraError, match=r"mtcnn.*extra \[mtcnn\]"):
        find_detector("mtcnn")


@pytest.mark.parametrize(("kind", "side"), [("haar", None), ("yunet", 8), ("none", 640)])
def test_unknown_kinds_and_sizes_are_refused(kind: str, side: int | None) -> None:
    with pytest.raises(UsageError, match="came"):
        find_detector(kind, max_side=side)


@pytest.mark.parametrize("kind", ["mtcnn", "none"])
def test_weights_of_yunet_are_refused_by_others(kind: str) -> None:
    with pytest.raises(UsageError, match="for auto, yunet, yunet-close only"):
        find_detector(kind, model=Path("yunet.onnx"))


def test_none_takes_the_whole_picture() -> None:
    found = find_detector("none").detect(np.zeros((20, 30, 3), np.uint8))
    assert found.boxes.tolist() == [[0, 0, 30, 20]]
    assert found.scores.tolist() == [1.0] and found.landmarks is None
    assert (WholeImage.name, found.geometry) == ("none", "none")
    with pytest.raises(UsageError, match=r"came uint8 \(20, 30\)"):
        find_detector("none").detect(np.zeros((20, 30), np.uint8))


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
    found = found_faces(np.array(rows, np.float32), np.zeros((100, 120, 3), np.uint8), "yunet")
    assert found.boxes.tolist() == [[12, 10, 31, 30], [0, 50, 20, 90], [60, 60, 80, 80]]
    np.testing.assert_allclose(found.scores, [0.9, 0.7, 0.7])
    assert found.landmarks is not None and found.landmarks.shape == (3, 5, 2)
    assert found.boxes.dtype == found.scores.dtype == found.landmarks.dtype == np.float32


def test_no_rows_give_empty_arrays() -> None:
    found = found_faces(np.zeros((0, 15), np.float32), np.zeros((10, 10, 3), np.uint8), "yunet")
    assert len(found) == 0
    assert found.boxes.shape == (0, 4) and found.scores.shape == (0,)
    assert found.landmarks is not None and found.landmarks.shape == (0, 5, 2)


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
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == detect.YUNET_SHA256
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


@pytest.mark.skipif(importlib.util.find_spec("mtcnn") is None, reason="mtcnn is not installed")
def test_mtcnn_finds_the_astronaut_and_auto_falls_back_to_it(
    portrait: np.ndarray, mirrors: Mirrors, cache: Path
) -> None:
    mirrors.bodies = {"first": None, "second": None}
    detector = find_detector(max_side=512)
    assert detector.name.startswith("mtcnn-")
    assert detector.note == detect.FALLBACK
    found = detector.detect(portrait)
    assert len(found) == 1 and found.geometry == "mtcnn"
    np.testing.assert_allclose(found.boxes[0], [178, 63, 268, 176], atol=20)
    assert found.landmarks is not None
    right_eye, left_eye, nose, right_mouth, left_mouth = found.landmarks[0]
    np.testing.assert_allclose(
        [right_eye, left_eye, nose], [[200, 102], [247, 103], [220, 125]], atol=8
    )
    assert right_mouth[0] < left_mouth[0]
    assert len(detector.detect(np.zeros((5, 5, 3), np.uint8))) == 0
