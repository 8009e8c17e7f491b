"""Pictures that mean harm, strings that look like paths, and what is in the log afterwards."""

from __future__ import annotations

import re
import struct
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from encoded import encoded
from running_server import Server, StartServer

NAME = "SECRETNAME"  # in every file name and form field; must be in no log


@pytest.fixture(scope="module")
def seeds() -> list[bytes]:
    """Whole pictures of several kinds."""
    generator = np.random.default_rng(0)
    colour = generator.integers(0, 256, (40, 30, 3), np.uint8)
    kinds = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
    return [encoded(colour, kind) for kind in kinds] + [encoded(colour[:, :, 0], "PNG")]


def mutated(seeds: list[bytes], count: int) -> list[bytes]:
    """Flipped bytes, cuts, repeats, and halves of two pictures."""
    generator, made = np.random.default_rng(1), []
    for number in range(count):
        data = bytearray(seeds[number % len(seeds)])
        for _ in range(int(generator.integers(1, 8))):
            place = int(generator.integers(0, len(data)))
            way = number // len(seeds) % 4
            if way == 0:
                data[place] = int(generator.integers(0, 256))
            elif way == 1:
                del data[place + 4 :]
            elif way == 2:
                data[place:place] = data[place // 2 : place // 2 + 50]
            else:
                other = seeds[int(generator.integers(0, len(seeds)))]
                data[place:] = other[place:]
            if not data:
                data = bytearray(b"\0")
        made.append(bytes(data))
    return made


@pytest.mark.slow
def test_two_thousand_mutated_pictures(server: Server, seeds: list[bytes]) -> None:
    found: Counter[int] = Counter()
    longest_s = 0.0
    with server.client() as client:
        for _ in range(30):  # so that memory has its size
            client.post("/v1/faces", content=seeds[0])
        before_mb = server.resident_mb()
        for picture in mutated(seeds, 2000):
            began = time.monotonic()
            answer = client.post("/v1/faces", content=picture)
            longest_s = max(longest_s, time.monotonic() - began)
            found[answer.status_code] += 1
            if answer.status_code != 200:
                problem = answer.json()
                assert problem["request_id"] and problem["hint"]
                said = (problem["detail"] + problem["hint"]).replace("/v1/", "")
                assert not re.search(r"/\w+/|File \"|Traceback|\.py|0x[0-9a-f]{6}", said), said
        assert client.get("/healthz").status_code == 200
    assert set(found) <= {200, 400, 413, 415, 422}
    assert found[200] > 100 and found[422] > 100  # both ways are taken
    assert server.resident_mb() - before_mb < 60


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width: int, height: int, rows: bytes = b"", *more: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head), *more, chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bombs() -> dict[str, tuple[bytes, set[int]]]:
    """Small files that would be dear to decode, and how they may be answered."""
    text = b"Comment\0\0" + zlib.compress(b"a" * 50_000_000, 9)
    jpeg = encoded(np.full((64, 64, 3), 90, np.uint8), "JPEG")
    scan = jpeg[jpeg.index(b"\xff\xda") : -2]
    size = jpeg.index(b"\xff\xc0") + 5
    large = bytearray(jpeg)
    large[size : size + 4] = struct.pack(">HH", 20_000, 20_000)
    return {
        "a PNG of 400 megapixels": (png(20_000, 20_000, b"\0" * 1_000_000), {413}),
        "a PNG of 65,000 x 1": (png(65_000, 1, b"\0" * 65_001), {422}),
        "a PNG of 0 x 5": (png(0, 5), {422}),
        "a PNG whose pixels are missing": (png(4000, 5000), {422}),
        "a PNG with a text of 50 MB": (png(8, 8, b"\0" * 72, chunk(b"zTXt", text)), {422}),
        "a PNG with 60,000 chunks": (png(8, 8, b"\0" * 72, chunk(b"teSt", b"") * 60_000), {422}),
        "a JPEG of 400 megapixels": (bytes(large), {413}),
        "a JPEG of 1,000 scans": (jpeg[:-2] + scan * 1000 + b"\xff\xd9", {422}),
        "a GIF of 65,535 x 65,535": (b"GIF89a\xff\xff\xff\xff\0\0\0;", {413}),
        "a BMP of 2^31 "
        "pixels": (b"BM" + b"\0" * 16 + struct.pack("<ii", 46_341, -46_341) + b"\0" * 30, {413}),
        "a PPM of many pixels": (b"P6 99999 99999 255\n", {413}),
        "a PNG and a zip": (png(8, 8, b"\0" * 72) + b"PK\x03\x04" + b"\0" * 60, {422}),
        "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", {415}),
        "a PDF": (b"%PDF-1.7", {415}),
        "a FITS": (b"SIMPLE  =                    T", {415}),
        "a PSD": (b"8BPS\0\1", {415}),
    }  # fmt: skip


@pytest.mark.parametrize("name", bombs())
def test_bombs_are_refused_before_they_cost(server: Server, name: str) -> None:
    data, allowed = bombs()[name]
    with server.client() as client:
        client.post("/v1/faces", content=png(8, 8, b"\0" * 72))
        before_mb = server.resident_mb()
        answer = client.post("/v1/faces", content=data)
    assert answer.status_code in allowed
    assert answer.json()["hint"]
    assert server.resident_mb() - before_mb < 80


KIND = "multipart/form-data; boundary=b"
PART = b"--b\r\nContent-Disposition: form-data; name="
FORMS = {
    "no boundary": ("multipart/form-data", b"x"),
    "an empty boundary": ("multipart/form-data; boundary=", b"--\r\n"),
    "a boundary of 300": ("multipart/form-data; boundary=" + "a" * 300, b"x"),
    "no end": (KIND, PART + b'"file"; filename="a"\r\n\r\nabc'),
    "a thousand fields": (KIND, (PART + b'"x"\r\n\r\n1\r\n') * 1000 + b"--b--\r\n"),
    "two files": (KIND, (PART + b'"file"; filename="a"\r\n\r\n1\r\n') * 2 + b"--b--\r\n"),
    "a header of 10 kB": (KIND, b"--b\r\nX: " + b"a" * 10_000 + b"\r\n\r\n1\r\n--b--\r\n"),
    "a path for a picture": (KIND, PART + b'"file"\r\n\r\n/etc/passwd\r\n--b--\r\n'),
    "an odd charset": (KIND + "; charset=zzz", PART + b'"\xff"\r\n\r\n1\r\n--b--\r\n'),
    "a picture without a file name": (KIND, PART + b'"file"\r\n\r\n\x89PNG\r\n\x1a\n\r\n--b--\r\n'),
    "a preamble": (KIND, b"a" * 1_000_000 + b"--b--\r\n"),
}


@pytest.mark.parametrize("name", FORMS)
def test_bad_forms_are_told(server: Server, name: str) -> None:
    kind, body = FORMS[name]
    with server.client() as client:
        answer = client.post("/v1/faces", content=body, headers={"content-type": kind})
    assert answer.status_code in (400, 413, 415), answer.text
    assert answer.json()["code"] in ("bad-form", "too-many-bytes", "not-a-picture")


def test_nothing_of_a_request_is_in_the_log_or_on_disk(
    start_server: StartServer, drawn: list[bytes], tmp_path: Path
) -> None:
    """Names, labels and probabilities; and no file is made, in the temporary folder either."""
    private = start_server(TMPDIR=str(tmp_path))
    answers = []
    with private.client() as client:
        for picture in drawn:
            form = {"file": (f"{NAME}.png", picture, "image/png")}
            answers.append(client.post("/v1/faces", files=form).json())
            assert client.post(f"/v1/faces?{NAME}={NAME}", files=form).status_code == 422
            client.post(f"/{NAME}", content=picture)
            client.get(f"/{NAME}?{NAME}", headers={"user-agent": NAME, "referer": NAME})
            client.post("/v1/faces", files={"file": (NAME, b"no picture")})
            client.post("/v1/faces", content=picture[:300], headers={"x-file": NAME})
        large = np.random.default_rng(0).integers(0, 256, (1200, 1000, 3), np.uint8)
        large_form = {"file": (NAME, encoded(large))}
        assert client.post("/v1/faces", files=large_form).status_code == 200  # 3.6 MB
    assert private.stop() == 0  # so that the log is whole
    assert len(answers) == 7 and all(len(answer["faces"]) == 1 for answer in answers)
    assert list(tmp_path.rglob("*")) == []
    assert [path.name for path in private.log.parent.iterdir()] == ["log"]
    text = private.log.read_text()
    assert text.count("POST /v1/faces 200") == 8
    assert NAME not in text
    for answer in answers:
        (face,) = answer["faces"]
        assert face["label"] not in text
        for number in face["probabilities"].values():
            assert f"{number:.4f}" not in text
