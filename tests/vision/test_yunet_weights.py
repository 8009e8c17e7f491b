"""YuNet's weights: where they come from, and what is said where they cannot be had."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from local_server import Reply, serving

import mien
from mien.errors import DataError, DownloadError
from mien.vision import detect
from mien.vision import yunet_weights as weights
from mien.vision.detect import find_detector
from mien.vision.yunet_weights import YUNET_FILE, yunet_weights

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
        monkeypatch.setattr(weights, "YUNET_URLS", state.urls)
        monkeypatch.setattr(weights, "YUNET_SHA256", hashlib.sha256(GOOD).hexdigest())
        for name in ("MIEN_YUNET", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield state


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "PACKAGED", tmp_path / "not vendored")
    return tmp_path / "cache" / "models"


def test_the_package_keeps_weights_where_make_vendor_puts_them() -> None:
    package = Path(mien.__file__).parent
    assert weights.PACKAGED.parent == package / "serving" / "page" / "vendor" / "yunet"


def test_weights_in_the_package_need_no_cache_and_no_network(
    mirrors: Mirrors, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "vendor" / YUNET_FILE
    packaged.parent.mkdir()
    packaged.write_bytes(GOOD)
    monkeypatch.setattr(weights, "PACKAGED", packaged)
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
    monkeypatch.setattr(weights, "YUNET_URLS", ("http://127.0.0.1:9/a",))  # nobody listens there
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(DownloadError, match="no connection.*connect to the internet"):
        yunet_weights()


def test_a_cache_that_cannot_be_written(
    mirrors: Mirrors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DownloadError, match="expected a folder for YuNet's weights.*MIEN_CACHE"):
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
    with pytest.raises(DataError, match="no such file, named by MIEN_YUNET"):
        yunet_weights()
    assert mirrors.asked == [] and not cache.exists()


def test_auto_takes_what_can_be_had_and_says_why(
    mirrors: Mirrors, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirrors.bodies = {"first": None, "second": None}
    monkeypatch.setattr(detect, "mtcnn_is_installed", lambda: False)
    with pytest.raises(
        DownloadError, match=r"got no weights.*install mien with the extra \[mtcnn\]"
    ):
        find_detector()
    with pytest.raises(DownloadError, match="got no weights"):
        find_detector("yunet")


@pytest.mark.skipif(importlib.util.find_spec("mtcnn") is None, reason="mtcnn is not installed")
def test_mtcnn_finds_the_astronaut_and_auto_falls_back_to_it(mirrors: Mirrors, cache: Path) -> None:
    portrait = np.asarray(pytest.importorskip("skimage.data").astronaut())
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
