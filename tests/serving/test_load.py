"""Many at once: the same answers as alone, refusals at once, an orderly end, memory that stays."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import numpy as np
import pytest
from encoded import encoded
from running_server import Server, StartServer
from starlette.types import Message

from mien.serving.app import create_app
from mien.serving.limits import Limits
from mien.serving.pool import Pool
from mien.serving.server import Options, recognizer_of
from mien.serving.service import Service
from mien.serving.teach import Collection

JSON = dict[str, object]


@pytest.fixture(scope="module")
def patient(start_server: StartServer) -> Server:
    """One that refuses nobody."""
    return start_server("--limit=queue=2000", "--limit=answer_s=120")


@pytest.mark.slow
def test_a_thousand_requests_at_once_are_answered_as_alone(
    patient: Server, drawn: list[bytes]
) -> None:
    """64 connections; raw bodies, forms and both modes, all mixed."""
    modes = ("fast", "best")
    with patient.client() as client:

        def ask(number: int) -> JSON:
            picture, url = drawn[number % 7], f"/v1/faces?mode={modes[number % 8 == 0]}"
            sent = {"content": picture} if number % 3 else {"files": {"file": picture}}
            answer = client.post(url, timeout=120, **sent)  # type: ignore[arg-type]
            assert answer.status_code == 200
            return dict(answer.json())

        alone = {number: ask(number) for number in range(7 * 8)}
        with ThreadPoolExecutor(64) as pool:
            together = list(pool.map(ask, range(1000)))
    assert len(together) == 1000
    for number, answer in enumerate(together):
        assert answer == alone[number % 56]


def test_a_full_queue_refuses_at_once_and_health_is_answered(start_server: StartServer) -> None:
    """Pictures of 12 megapixels, which keep the threads busy."""
    server = start_server("--limit=queue=2", "--limit=threads=1")
    large = encoded(np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8), "PNG")
    answers: list[httpx2.Response] = []
    with server.client() as client, ThreadPoolExecutor(24) as pool:
        waiting = [
            pool.submit(client.post, "/v1/faces?mode=best", content=large) for _ in range(24)
        ]
        while not all(one.done() for one in waiting):
            assert client.get("/healthz").status_code == 200
        answers = [one.result() for one in waiting]
    codes = [answer.status_code for answer in answers]
    assert set(codes) <= {200, 503} and codes.count(200) >= 3
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) > 5
    for answer in refused:
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["code"] == "queue-full"


@pytest.mark.parametrize("path", ["/v1/faces", "/v1/faces:batch", "/v1/teach"])
def test_a_full_queue_refuses_before_a_body_is_read(path: str, tmp_path: Path) -> None:
    limits = Limits(threads=1, queue=0)
    recognizer = recognizer_of(Options(detector="none", limits=limits))
    service = Service(recognizer, limits, Collection(tmp_path, recognizer.labels.names, 10))
    service.pool.taken = 1
    said: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        said.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=b")]
    scope = {
        **{"type": "http", "method": "POST", "path": path, "raw_path": path.encode()},
        **{
            "query_string": b"label=happy" * (path == "/v1/teach"),
            "headers": headers,
            "http_version": "1.1",
        },
    }
    try:
        asyncio.run(create_app(service)(scope, receive, send))
    finally:
        service.close()
    assert said[0]["status"] == 503
    assert json.loads(said[1]["body"])["code"] == "queue-full"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_analysing_threads_give_way_to_the_event_loop() -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    pool = Pool(threads=1, queue=1, answer_s=10)
    try:
        inside = asyncio.run(pool.run(priority, 1, False))
    finally:
        pool.close()
    assert inside == min(priority() + 5, 19)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_ends_it_after_what_was_taken(
    start_server: StartServer, drawn: list[bytes], number: signal.Signals
) -> None:
    server = start_server("--limit=queue=100")
    codes: list[int] = []
    broken: list[str] = []

    def ask() -> None:
        try:
            while True:
                with server.client() as client:  # a connection each, which must be answered whole
                    codes.append(client.post("/v1/faces?mode=best", content=drawn[0]).status_code)
        except httpx2.ConnectError:
            return  # it listens no more
        except httpx2.HTTPError as error:
            broken.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(codes) < 20:
        time.sleep(0.01)
    server.process.send_signal(number)
    assert server.process.wait(20) == 0
    for thread in threads:
        thread.join()
    assert set(codes) == {200}
    # What the system had accepted and the server had not yet taken is reset; all else is answered.
    assert all("reset" in one.lower() or "disconnected" in one.lower() for one in broken)
    assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_memory_stays(patient: Server) -> None:
    """Pictures of a hundred sizes, again and again."""
    generator = np.random.default_rng(2)
    pictures = [
        encoded(generator.integers(0, 256, (20 + 7 * number, 400 - 3 * number, 3), np.uint8))
        for number in range(100)
    ]
    with patient.client() as client, ThreadPoolExecutor(4) as pool:

        def round_mb(count: int) -> float:
            codes = list(
                pool.map(
                    lambda n: client.post("/v1/faces", content=pictures[n % 100]).status_code,
                    range(count),
                )
            )
            assert set(codes) == {200} and len(codes) == count
            return patient.resident_mb()

        first, second = round_mb(600), round_mb(1200)
    assert second - first < 20


def test_clients_that_go_away_leave_the_queue(start_server: StartServer) -> None:
    """Sixty at once, of whom most have gone before their turn comes."""
    server = start_server("--limit=threads=1", "--limit=queue=200")
    large = encoded(np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8), "BMP")

    def ask(number: int) -> bool:
        with server.client() as client:
            try:
                return client.post("/v1/faces?mode=best", content=large, timeout=0.3).is_success
            except httpx2.TimeoutException:
                return False

    with ThreadPoolExecutor(60) as pool:
        answered = list(pool.map(ask, range(60)))
    assert len(answered) == 60 and not all(answered)
    with server.client() as client:
        for _ in range(400):
            text = client.get("/metrics").text
            if "mien_queue_places 0.0" in text:
                break
            time.sleep(0.05)
    assert "mien_queue_places 0.0" in text
    (pictures,) = [line for line in text.splitlines() if line.startswith("mien_pictures_total")]
    assert float(pictures.split()[1]) < 60
