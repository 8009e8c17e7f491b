"""Corrections: kept as labelled pictures that training reads, and nothing else."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from encoded import encoded
from PIL import Image
from starlette.testclient import TestClient

from mien.data.readers import load_dataset
from mien.errors import RunError
from mien.serving.limits import Limits
from mien.serving.problems import Problem
from mien.serving.teach import Collection

LABELS = ("happy", "sad")


def picture(seed: int, side: int = 60) -> bytes:
    return encoded(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def test_a_crop_is_kept_as_its_pixels_and_nothing_else(tmp_path: Path) -> None:
    held = io.BytesIO()
    image = Image.fromarray(np.full((60, 50, 3), 90, np.uint8))
    exif = Image.Exif()
    exif[0x010E] = "taken by somebody"
    image.save(held, "JPEG", exif=exif, quality=100)
    collection = Collection(tmp_path / "new", LABELS, 10)
    name = collection.add(held.getvalue(), "happy")
    (path,) = (tmp_path / "new").rglob("*.*")
    assert path == tmp_path / "new" / "happy" / f"{name}.png"
    assert b"somebody" not in path.read_bytes()
    with Image.open(path) as kept:
        assert (kept.format, kept.size, kept.info) == ("PNG", (50, 60), {})


def test_the_last_label_counts_and_a_correction_can_be_taken_back(tmp_path: Path) -> None:
    collection = Collection(tmp_path, LABELS, 10)
    name = collection.add(picture(0), "happy")
    assert collection.add(picture(0), "sad") == name
    assert collection.counts() == {"sad": 1}
    assert collection.remove(name) and not collection.remove(name)
    assert collection.counts() == {}
    for other in ("../sad", "x", "", name.upper(), "0" * 31 + "/"):
        assert not collection.remove(other)


def test_what_is_no_label_or_too_much_is_refused(tmp_path: Path) -> None:
    collection = Collection(tmp_path, LABELS, 2)
    for label in ("../happy", "angry", "", "happy/x", "Happy"):
        with pytest.raises(Problem, match="unknown label"):
            collection.add(picture(0), label)
    collection.add(picture(0), "happy")
    collection.add(picture(1), "happy")
    with pytest.raises(Problem) as caught:
        collection.add(picture(2), "happy")
    assert caught.value.code == "collection-full"
    collection.add(picture(1), "sad")  # one that is there already may change its label
    assert collection.counts() == {"happy": 1, "sad": 1}


def test_a_label_is_given_once(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    client = make_client(collect=tmp_path)
    for query in ("label=happy&label=sad", "label=happy&lable=sad"):
        answer = client.post(f"/v1/teach?{query}", content=b"x")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-parameter")


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="--collect"):
        Collection(tmp_path / "file" / "x", LABELS, 2)


def test_what_was_taught_can_be_trained_on(
    make_client: Callable[..., TestClient], tmp_path: Path
) -> None:
    client = make_client(collect=tmp_path / "my own")
    assert client.get("/v1/model").json()["pictures_stored"] is True
    for number in range(6):
        label = ("happy", "surprise")[number % 2]
        answer = client.post(f"/v1/teach?label={label}", content=picture(number))
        assert answer.status_code == 201
    assert answer.json()["counts"] == {"happy": 3, "surprise": 3}
    found = client.get("/v1/model").json()["collect"]
    assert found["on"] and found["counts"] == {"happy": 3, "surprise": 3}
    assert found["command"] == f"mien train '{tmp_path / 'my own'}' --init mien"
    data = load_dataset(tmp_path / "my own")
    assert len(data.images) == 6 and len(set(data.labels.tolist())) == 2
    client.delete(f"/v1/teach/{answer.json()['id']}")
    assert client.get("/v1/model").json()["collect"]["counts"] == {"happy": 3, "surprise": 2}
    assert client.delete("/v1/teach/0").json()["code"] == "not-found"


@pytest.mark.parametrize(
    ("body", "label", "code"),
    [
        (b"x", "happy", "not-a-picture"),
        (picture(0, 1100), "happy", "unreadable-picture"),
        (picture(0), "a" * 65, "invalid-parameter"),
        (picture(0), "%2e%2e", "invalid-parameter"),
    ],
)
def test_bad_corrections_leave_nothing(
    make_client: Callable[..., TestClient], tmp_path: Path, body: bytes, label: str, code: str
) -> None:
    client = make_client(collect=tmp_path)
    assert client.post(f"/v1/teach?label={label}", content=body).json()["code"] == code
    assert list(tmp_path.rglob("*.*")) == []


def test_without_collect_nothing_is_stored(
    make_client: Callable[..., TestClient], face: bytes
) -> None:
    client = make_client(limits=Limits())
    model = client.get("/v1/model").json()
    assert model["pictures_stored"] is False and model["collect"]["on"] is False
    assert client.post("/v1/teach?label=happy", content=face).json()["code"] == "teaching-off"
