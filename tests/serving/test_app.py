"""The HTTP routes, in this process, with the network that ships."""

from __future__ import annotations

import io

import numpy as np
import pytest

pytest.importorskip("fastapi")

from collections.abc import Iterator

from PIL import Image
from starlette.testclient import TestClient

import mien
from mien.data.synthetic import drawn_dataset
from mien.results import Frame
from mien.serving.app import Service, create_app
from mien.serving.limits import Limits
from mien.serving.server import Options, recognizers


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    limits = Limits(max_bytes=300_000, max_pixels=1_000_000)
    service = Service(recognizers(Options(detector="none", limits=limits)), limits)
    with TestClient(create_app(service), raise_server_exceptions=False) as found:
        yield found
    service.pool.close()


def png(pixels: np.ndarray) -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()


@pytest.fixture(scope="module")
def face() -> bytes:
    return png(drawn_dataset(7, 7, 7, seed=3).images[0, :, :, 0])


def test_faces_are_the_librarys(client: TestClient, face: bytes) -> None:
    answer = client.post("/v1/faces?faces=whole", content=face)
    assert answer.status_code == 200
    frame = Frame.from_dict(answer.json())
    (expected,) = mien.load(detector="none", num_threads=1).faces(face)
    assert frame.faces == (expected,)
    assert (frame.width, frame.height, frame.detector) == (48, 48, "none")


def test_a_form_is_as_good_as_raw_bytes(client: TestClient, face: bytes) -> None:
    raw = client.post("/v1/faces?faces=whole", content=face)
    form = client.post("/v1/faces?faces=whole", files={"file": ("x.png", face, "image/png")})
    assert form.status_code == 200
    assert form.json() == raw.json()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "empty-body"),
        (b"not a picture", 422, "unreadable-picture"),
        (b"x" * 300_001, 413, "too-many-bytes"),
    ],
)
def test_problems_say_what_to_do(client: TestClient, body: bytes, status: int, code: str) -> None:
    answer = client.post("/v1/faces", content=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code
    assert problem["hint"]
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_every_answer_has_the_headers(client: TestClient) -> None:
    answers = [client.get("/"), client.get("/nothing"), client.get("/v1/model"), client.put("/")]
    assert [one.status_code for one in answers] == [200, 404, 200, 405]
    for one in answers:
        assert one.headers["content-security-policy"].startswith("default-src 'none'")
        assert one.headers["permissions-policy"].startswith("camera=(self)")
        assert one.headers["x-content-type-options"] == "nosniff"
