"""Addresses, data: URLs and base64, against a server of this machine."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import mien
from mien.cli.app import app
from mien.errors import DataError, without_password
from mien.results.names import output_names
from mien.vision import addresses
from mien.vision.addresses import is_address, is_picture_address
from mien.vision.image import load_image
from mien.vision.reading import Limits, is_one_picture, name_of

PIXELS = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)


def png() -> bytes:
    held = io.BytesIO()
    Image.fromarray(PIXELS).save(held, "PNG")
    return held.getvalue()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path
        if path.startswith("/to/"):
            number = int(path.removeprefix("/to/"))
            return self._send(302, b"", Location=f"/to/{number - 1}" if number else "/a.png")
        if path == "/to-file":
            return self._send(302, b"", Location="file:///etc/passwd")
        if path == "/page":
            return self._send(200, b"<html>", **{"Content-Type": "text/html; charset=utf-8"})
        if path == "/film":
            return self._send(200, b"1", **{"Content-Type": "video/mp4"})
        if path == "/large":
            self.send_response(200)
            self.send_header("Content-Length", "900000000")
            return self.end_headers()
        if path == "/endless":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                for _ in range(2000):
                    self.wfile.write(b"x" * 1000)
                    time.sleep(0.0005)
            except OSError:
                pass
            return None
        if path == "/silent":
            time.sleep(1.5)
            return self._send(200, png())
        if path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "5000")
            self.end_headers()
            self.wfile.write(png()[:100])
            self.close_connection = True
            return None
        if path == "/drip":  # each byte comes in time, and the whole never
            self.send_response(200)
            self.end_headers()
            return self._drip(png()[:100])
        if path == "/drip-head":
            return self._drip(b"HTTP/1.1 200 OK\r\nX-Filler: " + b"a" * 100)
        if path.startswith("/status/"):
            return self._send(int(path[8:]), b"")
        if path == "/picture-as-page":
            return self._send(200, png(), **{"Content-Type": "text/html"})
        if path == "/page-as-picture":
            return self._send(200, b"\n<!DOCTYPE html><p>log in", **{"Content-Type": "image/png"})
        if path in ("/a.png", "/picture"):
            return self._send(200, png(), **{"Content-Type": "image/png"})
        return self._send(404, b"")

    def _drip(self, data: bytes) -> None:
        with suppress(OSError):
            for byte in data:
                self.wfile.write(bytes([byte]))
                time.sleep(0.02)
        self.close_connection = True

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.mark.parametrize("path", ["/a.png", "/picture", "/to/0", "/to/4", "/picture-as-page"])
def test_an_address_is_read(server: str, path: str) -> None:
    assert (load_image(server + path) == PIXELS).all()


@pytest.mark.parametrize(
    ("path", "got"),
    [
        ("/nothing", "HTTP status 404"),
        ("/page", "a web page"),
        ("/page-as-picture", "a web page"),
        ("/status/204", "an empty file"),
        ("/status/302", "HTTP status 302"),  # to nowhere
        ("/status/304", "HTTP status 304"),
        ("/to/9", "more than 5 redirects"),
        ("/to-file", "an address of the kind file:"),
        ("/large", "a larger file"),
        ("/endless", "a larger file"),
        ("/silent", "no answer within"),
        ("/cut", "cut off"),
        ("/film", "not a picture"),
    ],
)
def test_what_cannot_be_had_is_said(
    server: str, path: str, got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "TIMEOUT_S", 0.7)
    with pytest.raises(DataError, match=got) as raised:
        load_image(server + path, limits=Limits(max_bytes=200_000))
    assert "Fix" in str(raised.value) and "requests" not in str(raised.value)


@pytest.mark.parametrize("path", ["/endless", "/drip", "/drip-head"])
def test_a_slow_answer_ends(server: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "TOTAL_S", 0.2)
    monkeypatch.setattr(addresses, "TIMEOUT_S", 1.0)
    with pytest.raises(DataError, match="no end within"):
        load_image(server + path)


def test_a_type_that_drips_is_not_waited_for(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "TOTAL_S", 0.2)
    assert is_picture_address(server + "/drip-head")


def test_blanks_around_an_address(server: str) -> None:
    assert (load_image(f"  {server}/a.png\n") == PIXELS).all()
    text = base64.b64encode(png()).decode()
    assert (load_image(f" data:image/png;base64,{text}\n") == PIXELS).all()


def test_offline_is_said() -> None:
    with pytest.raises(DataError, match="may be offline"):
        load_image("http://127.0.0.1:9/a.png")


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://a.example/b.png", "s3://bucket/a.jpg", "gs://b/a"]
)
def test_other_kinds_of_addresses_are_refused(address: str) -> None:
    assert is_address(address)
    with pytest.raises(DataError, match="an address of the kind"):
        load_image(address)


def test_paths_are_no_addresses(tmp_path: Path) -> None:
    assert not any(map(is_address, ("a.png", "C:/a.png", str(tmp_path), "data.png", "http.png")))


def test_a_picture_and_a_film_are_told_apart(server: str) -> None:
    assert is_picture_address("https://a.example/b/c.JPG?size=2")
    assert not is_picture_address("https://a.example/live.m3u8")
    assert is_picture_address(server + "/picture") and not is_picture_address(server + "/film")
    assert is_picture_address("http://127.0.0.1:9/unknown")  # its row will say why


@pytest.mark.parametrize("wrapped", [False, True])
def test_data_urls_and_base64(wrapped: bool) -> None:
    text = base64.b64encode(png()).decode()
    if wrapped:
        text = "\n".join(text[i : i + 76] for i in range(0, len(text), 76))
    for source in (text, text.rstrip("="), "data:image/png;base64," + text):
        assert (load_image(source) == PIXELS).all()
    held = io.BytesIO()
    Image.fromarray(PIXELS).save(held, "JPEG")
    jpeg = base64.urlsafe_b64encode(held.getvalue()).decode()
    assert jpeg.startswith("_9j_") and load_image(jpeg).shape == PIXELS.shape
    urlsafe = base64.urlsafe_b64encode(png()).decode()
    assert (load_image("data:image/png;base64," + urlsafe) == PIXELS).all()


def test_base64_as_python_gives_it() -> None:
    text = base64.b64encode(png())
    for source in (text, bytearray(text), base64.encodebytes(png()), b"data:;base64," + text):
        assert (load_image(source) == PIXELS).all()
    with pytest.raises(DataError, match="not a picture"):
        load_image(b"http://127.0.0.1/a.png")


def test_a_long_text_is_no_path() -> None:
    for text in (f'"{base64.b64encode(png()).decode()}"', str(png()), png().hex()):
        with pytest.raises(DataError, match="letters that no path can have; expected .* base64"):
            load_image(text)


def test_files_of_other_makes() -> None:
    class Whole:
        def read(self) -> bytes:
            return png()  # each time

    class Short:
        def __init__(self) -> None:
            self.held = io.BytesIO(png())

        def read(self, size: int = -1) -> bytearray:
            return bytearray(self.held.read(min(size, 100)))

    for source in (Whole(), Short()):
        assert (load_image(source) == PIXELS).all()  # type: ignore[arg-type]
    read = io.BytesIO(png())
    read.read()
    with pytest.raises(DataError, match="Fix: rewind it"):
        load_image(read)
    with pytest.raises(DataError, match="Fix: give array.tobytes"):
        load_image(np.frombuffer(png(), np.uint8))


def test_what_nobody_awaited_gets_a_sentence() -> None:
    async def content() -> bytes:
        return png()

    with pytest.raises(DataError, match="Fix: put await before the call"):
        load_image(content())  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["data:image/png;base64,@@@", "data:nothing", "data:,hello"])
def test_broken_data_urls_are_refused(source: str) -> None:
    with pytest.raises(DataError, match="data: URL"):
        load_image(source)


def test_nothing_repeats_what_came() -> None:
    long = "iVBORw" + "A" * 3_000_000
    for source in (long, "data:image/png;base64," + long, "x" * 3_000_000, b"\0" * 3_000_000):
        with pytest.raises(DataError) as raised:
            load_image(source)
        assert len(str(raised.value)) < 600
        assert len(name_of(source)) <= 210


def test_passwords_are_neither_shown_nor_written(server: str, tmp_path: Path) -> None:
    def with_login(path: str) -> str:
        return server.replace("://", "://ann:s3cret@") + path

    recognizer = mien.load(detector="none")
    sources = [with_login("/a.png"), with_login("/page"), "rtsp://ann:s3cret@127.0.0.1:1/live"]
    table = tmp_path / "faces.csv"
    answers = [
        CliRunner().invoke(
            app, ["predict", *sources, "--detector", "none", "--out", str(table), *more]
        )
        for more in ([], ["--resume"])
    ]
    frame = recognizer(sources[0])
    shown = "".join(answer.output for answer in answers) + repr(frame) + repr(frame.to_dict())
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "s3cret" not in shown + written
    assert written.count("ann:***@") >= len(sources)
    with pytest.raises(DataError, match=r"ann:\*\*\*@") as raised:
        load_image(sources[1])
    assert "s3cret" not in str(raised.value) + raised.value.where
    assert set(output_names(["rtsp://ann:s3cret@cam", "http://ann:s3cret@cam"], {}).values()) == {
        "rtsp-cam",
        "cam",
    }


@pytest.mark.parametrize(
    "plain", ["http://a:8000/b@c", "http://a:80?to=b@c", "ann:s3cret@host", "a: //b:c@d"]
)
def test_only_logins_of_addresses_are_starred_out(plain: str) -> None:
    assert without_password(plain) == plain
    assert without_password(f"{plain} rtsp://u:p@ss@h, x") == f"{plain} rtsp://u:***@h, x"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("RTSP://u:p@h/x", "RTSP://u:***@h/x"),
        ("rtsp://u:a@b:c@h:554/x", "rtsp://u:***@h:554/x"),
        ("rtsp://u:12:34@h", "rtsp://u:***@h"),
        ("rtsp://u:a/b@h/x", "rtsp://u:***@h/x"),
        ("rtsp://u:a?b#c@h", "rtsp://u:***@h"),
        ("rtsp://u:a%2Fb@h", "rtsp://u:***@h"),
        ("rtsp://u:a b@h", "rtsp://u:***@h"),
        ("rtsp://u%3Ap@h", "rtsp://u%3A***@h"),
        ("rtsp://:p@[::1]:554/x", "rtsp://:***@[::1]:554/x"),
        ("http://u:p@h/x@2.jpg", "http://u:***@h/x@2.jpg"),
        ("http://u:p@h, http://v:q@i", "http://u:***@h, http://v:***@i"),
        ("s3://ID:se/cr+et=@bucket/x", "s3://ID:***@bucket/x"),
        ("https://ghp_0123456789abcdefABCDEF@h/x", "https://***@h/x"),
        ("http://h/x?user=a&pwd=b&n=1", "http://h/x?user=a&pwd=***&n=1"),
        ("http://h/x?X-Amz-Signature=b&access_token=c", None),
        ("rtsp://h/user=a_password=b_stream=0", "rtsp://h/user=a_password=***"),
        ("srt://h:9000?passphrase=b", "srt://h:9000?passphrase=***"),
        ("http:/u:p@h/x", "http:/u:***@h/x"),  # as a Path shortens it
        ("s3://b?access_key=a&secret_key=b", "s3://b?access_key=a&secret_key=***"),
    ],
)
def test_logins_in_every_spelling(address: str, shown: str | None) -> None:
    shown = shown or "http://h/x?X-Amz-Signature=***&access_token=***"
    assert without_password(address) == without_password(shown) == shown
    error = DataError(f"{address}", got=f"no answer from {address}", expected="one", fix="wait")
    assert str(error).startswith(f"{shown}: got no answer from {shown}; expected one")
    assert output_names([address], {})[address] == output_names([shown], {})[shown]


def test_output_names_of_streams_are_names_everywhere() -> None:
    source = "rtsp://u:p@h:554/live/cam1?pwd=x&channel=2"
    assert output_names([source], {})[source] == "cam1"
    assert output_names(["srt://h:9000?passphrase=x"], {}) == {
        "srt://h:9000?passphrase=x": "srt-h-9000"
    }


def test_data_at_an_address_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"u:\*\*\*@h/x.csv: got an address.*download it first"):
        mien.load_dataset("http://u:p@h/x.csv")


@pytest.mark.parametrize(
    "plain",
    [
        "rtsp://cam:554: got nothing; write to a@b.c",
        "rtsp://cam:554, then a@b.c",
        "rtsp://ann@cam/x",
        "http://[::1]:80/x@y",
        "http://h/a?design=3&key=5",
        f"http://h/{'a' * 100_000}",
    ],
)
def test_addresses_without_secrets_stay(plain: str) -> None:
    assert without_password(plain) == plain


def test_the_suggested_command_has_no_password(server: str) -> None:
    address = server.replace("://", "://ann:s3cret@") + "/a.png"
    answer = CliRunner().invoke(app, ["predict", address, "--detector", "none"])
    assert "Next: mien predict" in answer.output and "s3cret" not in answer.output


def test_a_long_address_is_found_again_when_resumed() -> None:
    long = "https://h/" + "a" * 300 + "?size=1"
    assert name_of(long) == long


def test_names_of_what_has_no_name() -> None:
    assert name_of(b"abc") == "picture of 3 bytes"
    assert name_of(PIXELS) == "ndarray (20, 30, 3)"
    assert name_of(Path("a/b.png")) == str(Path("a/b.png"))
    assert name_of(Image.fromarray(PIXELS)) == "picture (Image)"
    single: list[object] = ["a.png", b"abc", PIXELS, Path("a"), io.BytesIO(), None, 3]
    assert all(map(is_one_picture, single))
    several: list[object] = [["a.png"], (b"a",), iter([]), PIXELS[None], {"a.png": 1}]
    assert not any(map(is_one_picture, several))


def test_asynchronous_files_get_a_sentence() -> None:
    class Asynchronous:
        async def read(self, size: int = -1) -> bytes:
            return b""

    class Later:
        def read(self, size: int = -1) -> object:
            return Asynchronous().read()

    for source in (Asynchronous(), Later()):
        with pytest.raises(DataError, match="await file.read"):
            load_image(source)  # type: ignore[arg-type]
