"""The HTTP routes: what they answer, and that it is what the library answers."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoded import encoded
from PIL import Image
from starlette.testclient import TestClient
from typer.testing import CliRunner

import mien
from mien.cli.app import app as cli
from mien.results import Frame
from mien.serving import schema
from mien.serving.app import create_app
from mien.serving.limits import Limits
from mien.serving.problems import CODES
from mien.serving.server import Options, recognizer_of
from mien.serving.service import Service
from mien.vision.detect import find_detector
from mien.vision.yunet_weights import YUNET_FILE


def test_faces_are_the_librarys(client: TestClient, drawn: list[bytes]) -> None:
    recognizer = mien.load(detector="none", num_threads=1)
    for picture in drawn:
        answer = client.post("/v1/faces?faces=whole", content=picture)
        assert answer.status_code == 200
        frame = Frame.from_dict(answer.json())
        (expected,) = recognizer.faces(picture)
        assert frame.faces == (expected,)
        assert (frame.width, frame.height, frame.detector) == (48, 48, "none")


def test_of_an_mpo_the_first_picture_is_answered(client: TestClient, drawn: list[bytes]) -> None:
    pictures = [Image.open(io.BytesIO(one)) for one in drawn[:2]]
    held = io.BytesIO()
    pictures[0].save(held, "MPO", save_all=True, append_images=pictures[1:])
    answer = client.post("/v1/faces?faces=whole", content=held.getvalue()).json()
    assert (answer["note"], len(answer["faces"])) == ("first of 2 frames", 1)


def near(value: Any) -> Any:
    """Values of JSON, numbers to 1e-6: the command line writes nine digits."""
    if isinstance(value, dict):
        return {name: near(one) for name, one in value.items()}
    if isinstance(value, list):
        return [near(one) for one in value]
    return pytest.approx(value, abs=1e-6) if isinstance(value, float) else value


@pytest.mark.parametrize("mode", ["fast", "best"])
def test_the_command_line_answers_the_same(
    client: TestClient, face: bytes, mode: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("picture") / "face.png"
    path.write_bytes(face)
    command = ["predict", str(path), "--detector", "none", "--json", f"--{mode}"]
    (expected,) = json.loads(CliRunner().invoke(cli, command).stdout)["frames"]
    found = client.post(f"/v1/faces?mode={mode}", content=face).json()
    assert found["mode"] == mode
    assert len(expected["faces"]) == 1 and found["faces"] == near(expected["faces"])


def test_a_request_names_its_class_prior(client: TestClient, face: bytes) -> None:
    told = client.get("/v1/model").json()
    assert told["prior"] == told["priors"][0] and "balanced" in told["priors"]
    for prior in (*told["priors"], "happy=3,neutral=1"):
        answer = client.post("/v1/faces", params={"prior": prior}, content=face).json()
        with mien.load(detector="none", num_threads=1, prior=prior) as recognizer:
            (expected,) = recognizer.faces(face)
            assert answer["prior"] == recognizer.prior
        assert Frame.from_dict(answer).faces == (expected,)
    plain = client.post("/v1/faces", content=face).json()
    assert plain["prior"] == told["prior"] and plain["faces"] != answer["faces"]
    for bad in ("mine", "happy=", "happy=-1", "nothing=1", "{}", "happy=nan", "=" * 4000):
        answer = client.post("/v1/faces", params={"prior": bad}, content=face)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-parameter"), bad
        assert len(answer.json()["hint"]) > 5


def test_a_form_is_as_good_as_raw_bytes(client: TestClient, face: bytes) -> None:
    raw = client.post("/v1/faces?faces=whole", content=face)
    form = client.post("/v1/faces?faces=whole", files={"file": ("x.png", face, "image/png")})
    assert form.status_code == 200
    assert form.json() == raw.json()


def test_a_batch_has_a_frame_for_each_picture(client: TestClient, drawn: list[bytes]) -> None:
    pictures = [drawn[0], b"no picture", drawn[1][:200], drawn[2]]
    answer = client.post("/v1/faces:batch", files=[("file", one) for one in pictures])
    assert answer.status_code == 200
    frames = [Frame.from_dict(frame) for frame in answer.json()["frames"]]
    assert [len(frame.faces) for frame in frames] == [1, 0, 0, 1]
    assert [frame.source for frame in frames] == [f"picture-{number}" for number in range(4)]
    for frame in frames[1:3]:
        assert frame.error is not None and "expected" in frame.error
    alone = client.post("/v1/faces", content=drawn[2]).json()
    assert answer.json()["frames"][3]["faces"] == alone["faces"]


def test_answers_are_as_the_document_says(client: TestClient, drawn: list[bytes]) -> None:
    schema.Frame.model_validate(client.post("/v1/faces", content=drawn[0]).json())
    many = client.post("/v1/faces:batch", files=[("file", one) for one in (*drawn, b"x")])
    assert len(schema.Frames.model_validate(many.json()).frames) == 8
    schema.Model.model_validate(client.get("/v1/model").json())
    schema.Problem.model_validate(client.post("/v1/faces", content=b"").json())


def test_the_document_names_every_route_and_problem(client: TestClient) -> None:
    document = client.get("/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert list(document["paths"]) == [
        "/v1/faces",
        "/v1/faces:batch",
        "/v1/model",
        "/v1/teach",
        "/v1/teach/{id}",
    ]
    for path in document["paths"].values():
        for operation in path.values():
            assert {"401", "403", "421", "429"} <= set(operation["responses"])
    references = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    assert document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == list(CODES)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "empty-body"),
        (b"not a picture", 415, "not-a-picture"),
        (b"%PDF-1.7 and more", 415, "not-a-picture"),
        (b"\x89PNG\r\n\x1a\n and nothing", 422, "unreadable-picture"),
    ],
)
def test_problems_say_what_to_do(client: TestClient, body: bytes, status: int, code: str) -> None:
    answer = client.post("/v1/faces", content=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"]) == (code, status)
    assert problem["hint"] and problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "/v1/faces", 405, "method-not-allowed"),
        ("GET", "/v1/stream", 426, "upgrade-required"),
        ("DELETE", "/", 405, "method-not-allowed"),
        ("GET", "/../pyproject.toml", 404, "not-found"),
        ("POST", "/v1/faces?mode=slow", 422, "invalid-parameter"),
        ("POST", "/v1/faces?faces=all", 422, "invalid-parameter"),
        ("POST", "/v1/faces?max_side=31", 422, "invalid-parameter"),
        ("POST", "/v1/faces:batch", 400, "bad-form"),
        ("POST", "/v1/teach?label=happy", 404, "teaching-off"),
    ],
)
def test_what_is_not_served(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if status == 405:
        assert answer.headers["allow"]


PARAMETERS = {  # query -> what is said of it
    "mode=slow": "got mode='slow'; expected 'fast' or 'best'",
    "max_side=31": "got max_side='31'; expected at least 32",
    "max_side=x": "got max_side='x'; expected a valid integer",
    "prior=" + "a" * 5000: "; expected at most 4096 characters",
    "max-side=320": "got the parameter 'max-side'; expected one of faces, mode, max_side, prior",
    "smooth_s=1": "got the parameter 'smooth_s'; expected one of",
    "mode=best&mode=fast": "got the parameter mode 2 times; expected it once",
}


def test_no_parameter_is_ignored(client: TestClient, face: bytes) -> None:
    for query, said in PARAMETERS.items():
        answer = client.post(f"/v1/faces?{query}", content=face)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-parameter"), query
        assert said in answer.json()["detail"] and len(answer.json()["detail"]) < 300
    answer = client.post("/v1/faces:batch?max-side=320", files=[("file", face)])
    assert "write max_side" in answer.json()["hint"]


FORMS = [  # path, fields with a file, other fields, what is said
    ("/v1/faces", ["file", "file"], {}, "/v1/faces:batch"),
    ("/v1/faces", ["image"], {}, "another field"),
    ("/v1/faces", ["file"], {"mode": "best"}, "?mode="),
    ("/v1/faces:batch", ["file", "file2"], {}, "another field"),
    ("/v1/faces:batch", ["file"], {"file": "http://a.example/b.png"}, "without a file name"),
    ("/v1/faces:batch", ["file"] * 17, {}, "at most 16"),
]


def test_no_file_or_parameter_in_a_form_is_ignored(client: TestClient, face: bytes) -> None:
    for path, files, data, said in FORMS:
        answer = client.post(path, files=[(name, ("a", face)) for name in files], data=data)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-form")
        assert said in answer.json()["detail"] + answer.json()["hint"]


def test_head_is_answered_wherever_get_is(client: TestClient) -> None:
    paths = ["/", "/healthz", "/readyz", "/metrics", "/v1/model", "/v1/openapi.json"]
    for path in (*paths, "/v1/model/device", "/v1/model/model.onnx", "/nothing", "/v1/stream"):
        got, head = client.get(path), client.head(path)
        assert head.status_code == got.status_code
        assert head.headers["content-type"] == got.headers["content-type"]
        assert head.content == b""


def test_a_fault_of_the_server_is_a_problem_too(
    client: TestClient, face: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("mien.serving.service.decode", fault)
    answer = client.post("/v1/faces", content=face)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_every_answer_has_the_headers(client: TestClient, face: bytes) -> None:
    answers = [
        client.get("/"),
        client.get("/nothing"),
        client.get("/v1/model"),
        client.put("/"),
        client.post("/v1/faces", content=face),
    ]
    assert [one.status_code for one in answers] == [200, 404, 200, 405, 200]
    for one in answers:
        assert one.headers["content-security-policy"].startswith("default-src 'none'")
        assert one.headers["permissions-policy"].startswith("camera=(self)")
        assert one.headers["x-content-type-options"] == "nosniff"
        assert len(one.headers["x-request-id"]) == 16
    assert answers[4].headers["cache-control"] == "no-store"
    assert not any("access-control-allow-origin" in one.headers for one in answers)


def test_health_and_figures(client: TestClient, face: bytes) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ok"}
    client.post("/v1/faces", content=face)
    client.post("/v1/faces", content=b"")
    text = client.get("/metrics").text
    for line in (
        'mien_requests_total{method="POST",route="/v1/faces",status="200"} 1.0',
        'mien_requests_total{method="POST",route="/v1/faces",status="400"} 1.0',
        "mien_pictures_total 1.0",
        "mien_faces_total 1.0",
    ):
        assert line in text


@pytest.mark.shared
def test_a_photograph_without_a_face_and_one_with(shared_dir: Path) -> None:
    data = pytest.importorskip("skimage.data")
    weights = shared_dir / "models" / YUNET_FILE
    limits = Limits()
    service = Service(recognizer_of(Options(detector_model=weights)), limits)
    with TestClient(create_app(service)) as client:
        for picture, num_faces in ((data.astronaut(), 1), (data.coffee(), 0)):
            answer = client.post("/v1/faces", content=encoded(np.asarray(picture), "JPEG"))
            assert answer.status_code == 200
            assert len(answer.json()["faces"]) == num_faces
            assert answer.json()["max_side"] == 1280
        astronaut = encoded(np.asarray(data.astronaut()))
        for side in (320, 512):
            answer = client.post(f"/v1/faces?max_side={side}", content=astronaut)
            with mien.load(
                detector=find_detector(model=weights, max_side=side), num_threads=1
            ) as recognizer:
                (expected,) = recognizer.faces(astronaut)
            assert Frame.from_dict(answer.json()).faces == (expected,)
            assert answer.json()["max_side"] == side
        answer = client.post("/v1/faces?max_side=1281", content=astronaut)
        assert answer.json()["code"] == "invalid-parameter"
    service.close()
