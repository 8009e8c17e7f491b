"""Weights of others: where they are looked for, the download, and what is said where it fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_face_api import archive, checksums
from local_server import Reply, serving

from mien.errors import DataError, DownloadError
from mien.training.others_weights import Weights, folder_with

FILES = {"package/model/one.bin": b"the weights" * 1000, "package/two.json": b"[]"}
PACKED = archive({**FILES, "package/../../evil": b"not unpacked"})


class Place:
    """A server that answers with `body`, and how often it was asked."""

    def __init__(self) -> None:
        self.body: bytes | None = PACKED
        self.promised: int | None = None
        self.asked = 0
        self.weights = Weights("thing", "", "", 1, dict.fromkeys(FILES, ""), "MIEN_THING")

    def answer(self, path: str) -> Reply:
        self.asked += 1
        if self.body is None:
            return Reply(404)
        return Reply(body=self.body, promised=self.promised)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in ("MIEN_THING", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    state = Place()
    with serving(state.answer) as address:
        state.weights = checksums(state.weights, FILES, f"{address}/thing.tgz", PACKED)
        yield state


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


WHOLE = {name.rpartition("/")[2]: content for name, content in FILES.items()}


def test_files_are_fetched_once_and_kept(place: Place, cache: Path) -> None:
    folder = folder_with(place.weights)
    assert folder == cache / "thing" and contents(folder) == WHOLE
    assert folder_with(place.weights) == folder and place.asked == 1
    assert [one.name for one in cache.iterdir()] == ["thing"]  # nothing half done beside it
    (folder / "one.bin").write_bytes(b"damaged")
    assert contents(folder_with(place.weights)) == WHOLE and place.asked == 2


def test_what_is_installed_needs_no_download(place: Place, cache: Path, tmp_path: Path) -> None:
    for name, content in WHOLE.items():
        (tmp_path / name).write_bytes(content)
    assert folder_with(place.weights, [tmp_path / "absent", tmp_path]) == tmp_path
    assert place.asked == 0 and not cache.exists()


@pytest.mark.parametrize(
    ("body", "promised", "reason"),
    [
        (None, None, "HTTP status 404"),
        (b"an error page", None, "a file with another checksum"),
        (PACKED[:100], len(PACKED), "cut off before its end"),
    ],
    ids=["absent", "another file", "cut off"],
)
def test_a_failed_download_says_what_to_do(
    place: Place, cache: Path, body: bytes | None, promised: int | None, reason: str
) -> None:
    place.body, place.promised = body, promised
    with pytest.raises(DownloadError) as caught:
        folder_with(place.weights)
    text = str(caught.value)
    for part in (reason, "got no weights", "Fix: connect once", place.weights.url, "MIEN_THING"):
        assert part in text
    assert list(cache.iterdir()) == []


def test_an_archive_without_the_files(place: Place, cache: Path) -> None:
    place.weights = dataclasses.replace(
        place.weights, files={**place.weights.files, "package/three": ""}
    )
    with pytest.raises(DownloadError, match="an archive without package/three"):
        folder_with(place.weights)
    assert list(cache.iterdir()) == []


def test_without_a_network(place: Place, cache: Path) -> None:
    away = dataclasses.replace(place.weights, url="http://127.0.0.1:9/a.tgz")  # nobody listens
    with pytest.raises(DownloadError, match=r"no connection.*connect once to the internet"):
        folder_with(away)


def test_a_cache_that_cannot_be_written(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DownloadError, match="expected a folder to keep thing's weights in"):
        folder_with(place.weights)
    assert place.asked == 0


def test_the_variable_names_a_folder(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_THING", str(tmp_path))
    with pytest.raises(DataError, match=r"got one.bin: no such file.*Fix: name a folder"):
        folder_with(place.weights)
    for name, content in WHOLE.items():
        (tmp_path / name).write_bytes(content)
    assert folder_with(place.weights) == tmp_path
    (tmp_path / "two.json").write_bytes(b"{}")
    with pytest.raises(DataError, match=r"got two.json with another checksum"):
        folder_with(place.weights)
    assert place.asked == 0
