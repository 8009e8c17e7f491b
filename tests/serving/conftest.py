"""A real server in a process of its own, and the application in this one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from encoded import encoded
from running_server import Server, StartServer
from starlette.testclient import TestClient

from mien.data.synthetic import drawn_dataset
from mien.serving.app import create_app
from mien.serving.guard import Access
from mien.serving.limits import Limits
from mien.serving.server import Options, recognizer_of
from mien.serving.service import Service
from mien.serving.teach import Collection

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def drawn() -> list[bytes]:
    """Seven drawn faces, 48 x 48, as PNG."""
    return [encoded(face[:, :, 0]) for face in drawn_dataset(7, 7, 7, seed=3).images[:7]]


@pytest.fixture(scope="session")
def face(drawn: list[bytes]) -> bytes:
    return drawn[0]


MakeClient = Callable[..., TestClient]


@pytest.fixture
def make_client() -> Iterator[MakeClient]:
    """The application with other limits, access or a folder for corrections."""
    opened: list[tuple[TestClient, Service]] = []

    def make(
        limits: Limits | None = None, access: Access | None = None, collect: Path | None = None
    ) -> TestClient:
        limits = limits or Limits()
        recognizer = recognizer_of(Options(detector="none", limits=limits))
        labels = (*recognizer.labels.names, "contempt")
        kept = None if collect is None else Collection(collect, labels, limits.max_collected)
        service = Service(recognizer, limits, kept)
        client = TestClient(create_app(service, access), raise_server_exceptions=False)
        opened.append((client.__enter__(), service))
        return client

    yield make
    for client, service in opened:
        client.__exit__(None, None, None)
        service.close()


@pytest.fixture
def client(make_client: MakeClient) -> TestClient:
    return make_client()


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """`mien serve --port 0` with further options."""
    servers: list[Server] = []

    def start(*options: str, detector: str = "none", **environ: str) -> Server:
        log = tmp_path_factory.mktemp("server") / "log"
        command = [sys.executable, "-m", "mien", "serve", "--port", "0", "--detector", detector]
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [*command, *options],
                stderr=stderr,
                text=True,
                cwd=log.parent,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
            )
        found = None
        while found is None and process.poll() is None:
            found = re.search(r"mien is at (https?://[^ ]+:(\d+))", log.read_text())
        assert found is not None, log.read_text()
        server = Server(process, int(found[2]), found[1], log)
        servers.append(server)
        with server.client() as client:
            assert client.get("/readyz").status_code == 200
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(start_server: StartServer) -> Server:
    """One with the limits as they are, for all tests that do not change it."""
    return start_server()
