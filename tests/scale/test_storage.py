"""Files by address, with file:// standing for buckets: pyarrow reads both alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_bundle import write_toy

import mien
from mien.data.synthetic import draw_faces
from mien.errors import DataError, UsageError
from mien.ray import storage
from mien.ray.setup import Item, setup_like
from mien.ray.watched import Watched
from mien.video.writer import VideoCopy
from mien.vision.reading import Limits

pytest.importorskip("pyarrow")


def test_what_pyarrow_reads_and_what_not() -> None:
    assert storage.is_remote("s3://bucket/a.jpg")
    assert storage.is_remote("gs://bucket/a.jpg")
    assert not storage.is_remote("https://example.org/a.jpg")
    assert not storage.is_remote("rtsp://camera/1")
    assert not storage.is_remote("pictures/a.jpg")
    assert not storage.is_remote("camera:0")
    assert storage.split_query("s3://b/x/?region=eu") == ("s3://b/x", "region=eu")
    assert storage.root_of("s3://b/x/y.jpg?region=eu") == "s3://b"


def test_files_below_an_address_and_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/2.png", "1.png"):
        (tmp_path / name).write_bytes(name.encode())
    found = storage.listed(tmp_path.as_uri())
    assert found == [f"file://{tmp_path}/1.png", f"file://{tmp_path}/b/2.png"]
    assert storage.listed(found[0]) == [found[0]]
    assert storage.read(found[1], {}, Limits()) == b"b/2.png"
    assert b"".join(storage.pieces(found[1], {})) == b"b/2.png"
    with pytest.raises(DataError, match="at most 3 bytes"):
        storage.read(found[1], {}, Limits(max_bytes=3))
    with pytest.raises(DataError, match=r"gone\.png: got a file that cannot be read"):
        storage.read(f"file://{tmp_path}/gone.png", {}, Limits())
    with pytest.raises(UsageError, match="got what cannot be listed"):
        storage.listed(f"file://{tmp_path}/gone")
    with pytest.raises(UsageError, match="got an address that pyarrow cannot open"):
        storage.listed("nowhere://bucket/x")


def test_remote_files_are_answered_as_local_ones(tmp_path: Path) -> None:
    write_toy(tmp_path / "toy.zip")
    face = draw_faces(np.array([3]), seed=3)[0]
    Image.fromarray(face[..., 0]).save(tmp_path / "face.png")
    copy = VideoCopy(tmp_path / "film.mp4")
    for number in range(4):
        copy.write(number / 10, np.repeat(face, 3, axis=2))
    copy.close()
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    names = ("face.png", "film.mp4", "broken.mp4", "gone.png")
    with mien.load(tmp_path / "toy.zip", detector="none") as recognizer:
        watched = Watched(replace(setup_like(recognizer), raw=True))

    def tables(start: str) -> list[list[dict[str, object]]]:
        items = [Item(f"{start}{tmp_path}/{name}", "", name.endswith("mp4")) for name in names]
        return [table.to_pylist() for table in watched.answer(items)[0]]

    local, remote = tables(""), tables("file://")
    watched.close()
    assert [len(rows) for rows in remote] == [1, 4, 1, 1]
    for ours, theirs in zip(remote[:2], local[:2], strict=True):
        assert ours == [row | {"source": f"file://{row['source']}"} for row in theirs]
    for name, (row,) in zip(names[2:], remote[2:], strict=True):
        assert str(row["error"]).startswith(f"file://{tmp_path}/{name}: got ")
        assert "/mien-" not in str(row["error"])
