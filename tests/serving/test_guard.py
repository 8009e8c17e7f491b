"""Who may ask: host names, other sites, tokens, rates."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from mien.serving.guard import Access, Guard, _name, _same_origin
from mien.serving.metrics import Metrics

TOKEN = "a-token-of-some-length"


@pytest.mark.parametrize(
    ("host", "name"),
    [("localhost:8000", "localhost"), ("[::1]:80", "::1"), ("A.b", "a.b"), ("[", ""), ("", "")],
)
def test_names_of_hosts(host: str, name: str) -> None:
    assert _name(host) == name


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({}, True),
        ({"origin": "http://a.example:8000"}, True),
        ({"origin": "https://a.example:8000"}, True),  # behind something that speaks TLS
        ({"origin": "http://b.example"}, False),
        ({"origin": "http://a.example"}, False),
        ({"origin": "null"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "same-origin"}, True),
    ],
)
def test_pages_of_other_sites_are_told(headers: dict[str, str], same: bool) -> None:
    assert _same_origin(Headers(headers), "a.example:8000") == same


def test_another_host_name_is_refused(make_client: Callable[..., TestClient], face: bytes) -> None:
    client = make_client(access=Access(hosts=frozenset({"localhost", "127.0.0.1"})))
    for host in ("localhost:8000", "localhost.:8000"):  # with the dot of the root
        assert client.get("/", headers={"host": host}).status_code == 200
    for host in ("evil.example", "", "localhost.evil.example", "127.0.0.1.evil.example"):
        answer = client.post("/v1/faces", content=face, headers={"host": host})
        assert (answer.status_code, answer.json()["code"]) == (421, "wrong-host")
    for path in ("/healthz", "/readyz"):  # load balancers ask by address, or by none
        for host in ("10.0.0.7:8000", ""):
            assert client.get(path, headers={"host": host}).status_code == 200
    assert client.get("/metrics", headers={"host": "10.0.0.7:8000"}).status_code == 421


def test_another_site_is_refused(client: TestClient, face: bytes) -> None:
    answer = client.post("/v1/faces", content=face, headers={"origin": "http://evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "cross-origin")
    assert client.get("/v1/model", headers={"origin": "http://evil.example"}).status_code == 200
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/v1/stream", headers={"origin": "http://evil.example"}),
    ):
        pass


def test_what_outlasts_the_server_is_told_to_come_again() -> None:
    sent: list[dict[str, Any]] = []

    async def endless(*_: object) -> None:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask() -> None:
        guard = Guard(endless, Access(), Metrics())
        scope = {"type": "http", "method": "POST", "path": "/v1/faces", "headers": []}
        task = asyncio.ensure_future(guard(scope, endless, send))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    asyncio.run(ask())
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 503 and (b"retry-after", b"5") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["code"] == "stopping"


def test_a_token_is_asked_for_the_api_alone(
    make_client: Callable[..., TestClient], face: bytes
) -> None:
    client = make_client(access=Access(token=TOKEN))
    for path in ("/", "/healthz", "/readyz"):
        assert client.get(path).status_code == 200
    for path in ("/v1/model", "/v1/openapi.json", "/metrics"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    for given in (TOKEN[:-1], TOKEN + "x", "", "Ä"):
        headers = {"authorization": f"Bearer {given}".encode()}
        assert client.post("/v1/faces", content=face, headers=headers).status_code == 401
    headers = {"authorization": f"bearer {TOKEN}"}
    assert client.post("/v1/faces", content=face, headers=headers).status_code == 200
    document = client.get("/v1/openapi.json", headers=headers).json()
    [required] = document["security"]
    [scheme] = map(document["components"]["securitySchemes"].get, required)
    assert scheme == {"type": "http", "scheme": "bearer"}
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/v1/stream"):
        pass
    with client.websocket_connect("/v1/stream", subprotocols=["mien", f"bearer.{TOKEN}"]) as stream:
        assert stream.accepted_subprotocol == "mien"
        stream.send_bytes(face)
        assert len(stream.receive_json()["faces"]) == 1


def test_a_rate_limit_answers_429(make_client: Callable[..., TestClient], face: bytes) -> None:
    client = make_client(access=Access(requests_a_minute=3))
    codes = [client.post("/v1/faces", content=face).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    answer = client.post("/v1/faces", content=face)
    assert answer.json()["code"] == "rate-limited"
    assert 1 <= int(answer.headers["retry-after"]) <= 21
    assert client.get("/healthz").status_code == 200
