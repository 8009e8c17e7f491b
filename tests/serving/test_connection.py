"""Slow, lying and broken clients are cut off, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import time
from functools import partial
from http.client import HTTPResponse
from pathlib import Path

import pytest
import uvicorn
from running_server import Server, StartServer
from uvicorn.server import ServerState

from mien.serving.connection import connection_class
from mien.serving.limits import Limits

HEADER_S, BODY_S = 1.0, 1.5


@pytest.fixture(scope="module")
def hasty(start_server: StartServer) -> Server:
    """A server with short deadlines and few connections."""
    limits = {"header_s": HEADER_S, "body_s": BODY_S, "max_bytes": 100_000, "max_connections": 120}
    options = [f"--limit={name}={value}" for name, value in limits.items()]
    return start_server(*options, "--limit=write_s=1")


def ask(server: Server, *parts: bytes, wait_s: float = 5) -> bytes:
    """All that the server says to these bytes until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait_s) as link:
        for part in parts:
            link.sendall(part)
        answer = b""
        while part := link.recv(65_536):
            answer += part
    return answer


def whole_answer(link: socket.socket) -> int:
    """Read one answer to its end, in however many packets it comes; its status."""
    with HTTPResponse(link) as answer:
        answer.begin()
        answer.read()
        return answer.status


def problem(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-security-policy" in head.lower() and b"x-request-id" in head.lower()
    found = json.loads(body)
    assert int(head.split()[1]) == found["status"]
    return found["status"], found["code"]


HEAD = b"POST /v1/faces HTTP/1.1\r\nHost: localhost\r\n"


def test_a_hundred_slow_clients_are_cut_and_health_is_answered(hasty: Server) -> None:
    """Half of them drip headers, half a body, a byte every 50 ms."""
    began = {
        "headers": HEAD + b"X: ",
        "body": HEAD + b"Content-Length: 90000\r\n\r\n",
    }
    links: dict[str, list[socket.socket]] = {name: [] for name in began}
    for _ in range(50):
        for name, first in began.items():
            link = socket.create_connection(("127.0.0.1", hasty.port))
            link.sendall(first)
            link.setblocking(False)
            links[name].append(link)
    start, ended, waits = time.monotonic(), dict.fromkeys(began, 0), []
    with hasty.client() as client:
        while any(links.values()) and time.monotonic() - start < 10:
            for name, left in links.items():
                for link in list(left):
                    if is_cut(link):
                        left.remove(link)
                        link.close()
                        ended[name] += 1
            asked = time.monotonic()
            assert client.get("/healthz").status_code == 200
            waits.append(time.monotonic() - asked)
            time.sleep(0.05)
    assert ended == {"headers": 50, "body": 50}
    assert len(waits) > 10


def is_cut(link: socket.socket) -> bool:
    try:
        link.send(b"a")
        return link.recv(4096) == b"" or link.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ((HEAD, b"Content-Length: 90000\r\n\r\n", b"x"), 408, "body-too-slow"),
        ((HEAD, b"Content-Length: 100001\r\n\r\n", b"x"), 413, "too-many-bytes"),
        ((HEAD, b"Content-Length: 10\r\n\r\n", b"0123456789" * 5), 415, "not-a-picture"),
        ((HEAD, b"Content-Length: -1\r\n\r\n"), 400, "bad-request"),
        ((HEAD, b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345"), 400, "bad-request"),
        ((HEAD, b"Content-Length: " + b"9" * 30 + b"\r\n\r\n"), 400, "bad-request"),
        ((b"nonsense\r\n\r\n",), 400, "bad-request"),
        ((b"\x16\x03\x01\x02\x00\x01\x00\x01",), 400, "bad-request"),  # TLS to a plain port
        ((HEAD, b"X: " + b"a" * 20_000), 400, "bad-request"),
        ((b"GET / HTTP/1.1\r\n\r\n",), 400, "bad-request"),
        ((b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",), 400, "bad-request"),
        (
            (b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",),
            421,
            "wrong-host",
        ),
    ],
)
def test_lies_are_told_from_requests(
    hasty: Server, parts: tuple[bytes, ...], status: int, code: str
) -> None:
    answer = ask(hasty, *parts)
    if code == "not-a-picture":  # what follows the body is no request, and the connection ends
        answer = re.split(rb"HTTP/1.1 400", answer)[0]
    assert problem(answer) == (status, code)


def test_a_body_without_end_is_counted_while_it_comes(hasty: Server) -> None:
    """Chunks of six bytes, of which no more than the limit is taken."""
    sent = 0
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=5) as link:
        link.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(OSError):
            while sent < 3_000_000:
                link.sendall(b"6\r\nabcdef\r\n" * 100)
                sent += 600
                time.sleep(0.001)
    assert sent < 3_000_000
    with hasty.client() as client:
        assert client.get("/healthz").status_code == 200


def test_a_body_that_breaks_off_leaves_nothing(hasty: Server) -> None:
    before = hasty.num_files()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", hasty.port)) as link:
            link.sendall(HEAD + b"Content-Length: 90000\r\n\r\nabc")
    time.sleep(0.3)
    assert hasty.num_files() <= before + 2
    assert "Traceback" not in hasty.log.read_text()


def test_more_connections_than_allowed_are_refused(hasty: Server) -> None:
    links = [socket.create_connection(("127.0.0.1", hasty.port)) for _ in range(130)]
    try:
        time.sleep(0.2)
        assert problem(ask(hasty)) == (503, "too-many-connections")
    finally:
        for link in links:
            link.close()
    time.sleep(0.2)
    with hasty.client() as client:
        assert client.get("/healthz").status_code == 200


def test_a_connection_serves_many_requests(hasty: Server) -> None:
    """Also with pauses that are longer together than the deadline for headers."""
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=5) as link:
        for _ in range(4):
            link.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while b'"ok"}' not in answer:
                answer += link.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200")
            time.sleep(HEADER_S * 0.4)


def test_the_parts_of_an_answer_do_not_wait_for_each_other() -> None:
    """With Nagle's algorithm on, the second part waits 40 ms for the first to be acknowledged."""
    settings: list[int] = []

    class Noted(connection_class(Limits())):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            link = transport.get_extra_info("socket")
            settings.append(link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    async def connect(listening: socket.socket) -> None:
        config = uvicorn.Config(app=lambda: None, http=Noted)
        config.load()
        protocol = partial(Noted, config, ServerState(), {})
        async with await asyncio.get_running_loop().create_server(protocol, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            while not settings:
                await asyncio.sleep(0.01)
            writer.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        asyncio.run(connect(listening))
    assert settings[0] != 0


def test_a_connection_goes_on_after_a_body_that_nobody_read(hasty: Server) -> None:
    """A refusal comes before the body; the client sends it, and then asks again."""
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=5) as link:
        link.sendall(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n")
        assert whole_answer(link) == 404
        link.sendall(b"a" * 90_000 + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert whole_answer(link) == 200


def test_what_follows_an_answer_slowly_is_cut(hasty: Server) -> None:
    """The rest of a body that nobody reads, dripping."""
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=5) as link:
        link.sendall(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n")
        assert link.recv(65_536).startswith(b"HTTP/1.1 404")
        start = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - start < 10:
                link.send(b"a")
                time.sleep(0.05)


def test_a_begun_request_behind_another_has_the_same_deadline(hasty: Server) -> None:
    """Both come in one packet, and then nothing more."""
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=HEADER_S + 2) as link:
        link.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HT")
        with contextlib.suppress(ConnectionResetError):  # where a socket is cut, not closed
            while link.recv(65_536):
                pass


def test_requests_in_one_packet_are_answered_in_order(hasty: Server) -> None:
    asked = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3
    answer = ask(
        hasty, asked + b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200"] * 3 + [b"404"]


def test_a_client_that_reads_nothing_is_cut(hasty: Server) -> None:
    """It asks for the largest answers again and again and takes none of them."""
    asked = b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.connect(("127.0.0.1", hasty.port))
        link.settimeout(0.2)
        start = time.monotonic()
        with pytest.raises((ConnectionError, OSError)) as caught:
            while time.monotonic() - start < 15:
                try:
                    link.sendall(asked * 50)
                except TimeoutError:
                    time.sleep(0.1)
        assert not isinstance(caught.value, TimeoutError)
    with hasty.client() as client:
        assert client.get("/healthz").status_code == 200


def test_the_security_page_names_tests_that_exist() -> None:
    root = Path(__file__).parents[2]
    text = (root / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", text)
    assert len(named) > 25
    for file, test in named:
        assert f"def {test}(" in (Path(__file__).parent / file).read_text(encoding="utf-8"), test
