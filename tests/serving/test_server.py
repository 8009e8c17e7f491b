"""The process: options that cannot be, addresses, TLS, what it says of itself."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from running_server import Server, StartServer

from mien.errors import RunError, UsageError
from mien.serving.limits import Limits, parse_limits
from mien.serving.server import Options, _host_names, _listen, _say_address, serve


def test_limits_are_given_by_name() -> None:
    found = parse_limits(["queue=3", "body_s=0.5", "requests_a_minute=0"])
    assert (found.queue, found.body_s, found.requests_a_minute) == (3, 0.5, 0)
    assert parse_limits([]) == Limits()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("speed=3", "expected NAME=NUMBER. Fix: use one of the names max_bytes"),
        ("queue", "got ''"),
        ("queue=2.5", "without a fraction"),
        ("body_s=x", "expected a number"),
        ("body_s=0", "above 0"),
        ("queue=-1", "0 or more"),
        ("max_bytes=-5", "above 0"),
        ("answer_s=inf", "finite"),
        ("stream_fps=nan", "finite"),
    ],
)
def test_limits_that_cannot_be(given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_limits([given])


def test_options_that_cannot_be(tmp_path: Path) -> None:
    there = tmp_path / "cert.pem"
    there.touch()
    with pytest.raises(UsageError, match="both or neither"):
        Options(tls_cert=there)
    with pytest.raises(UsageError, match="no such file"):
        Options(tls_cert=there, tls_key=tmp_path / "absent")
    for name in ("https://a.example", "a.example:8443", "*", "", "[::1]", "a b"):
        with pytest.raises(UsageError, match="without a port"):
            Options(allow_hosts=(name,))
    Options(allow_hosts=("A.example", "::1", "10.0.0.7", "web_1"))
    for token in ("short", "ä" * 20):
        with pytest.raises(UsageError, match="openssl rand") as caught:
            Options(token=token)
        assert token not in str(caught.value)
    with pytest.raises(UsageError, match="certificate"):
        serve(Options(detector="none", port=0, tls_cert=there, tls_key=there), say=print)


def test_the_printed_address_is_always_answered() -> None:
    assert _host_names(Options()) == {"localhost", "127.0.0.1", "::1"}
    assert _host_names(Options(host="192.168.1.5")) == frozenset()  # any
    named = _host_names(Options(host="192.168.1.5", allow_hosts=("Mien.example",)))
    assert named == {"localhost", "127.0.0.1", "::1", "192.168.1.5", "mien.example"}


def test_an_address_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=f"127.0.0.1:{port}.*another --port"):
            _listen(Options(port=port))


def test_other_machines_are_warned_of() -> None:
    """Said, not done: nothing is opened here."""
    said: list[str] = []
    _say_address(Options(), 8000, said.append)
    assert said == ["mien is at http://127.0.0.1:8000 (Ctrl-C stops it)"]
    _say_address(Options(host="0.0.0.0"), 8000, said.append)
    assert "everybody there may use it" in said[-1] and "unencrypted" in said[-1]
    _say_address(Options(host="::", token="x" * 16), 8000, said.append)
    assert "[::]:8000" in said[-2] and "everybody" not in said[-1]


@pytest.fixture(scope="module")
def secure(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """https, with a token from the environment."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [*"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split(),
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    files = f"--tls-cert={folder / 'cert.pem'}", f"--tls-key={folder / 'key.pem'}"
    return start_server(*files, MIEN_TOKEN="a-token-of-some-length")


def test_https_with_a_token(secure: Server, face: bytes) -> None:
    assert secure.address.startswith("https://")
    with secure.client() as client:
        assert client.get("/").status_code == 200
        assert client.post("/v1/faces", content=face).status_code == 401
        headers = {"authorization": "Bearer a-token-of-some-length"}
        assert client.post("/v1/faces", content=face, headers=headers).status_code == 200
    with pytest.raises(httpx2.HTTPError):  # plain http to the same port
        httpx2.get(secure.address.replace("https", "http"), trust_env=False)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", secure.port)) as link,
        pytest.raises((ssl.SSLError, OSError)),
        old.wrap_socket(link),
    ):
        pass


def test_without_the_extra_the_error_names_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['fastapi'] = None\n"
        "from mien.cli import main; sys.argv = ['mien', 'serve', '--detector', 'none']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 6
    assert "extra [serve]" in done.stderr and "Traceback" not in done.stderr
