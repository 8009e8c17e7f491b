"""Bombs and files that are two things at once are refused quickly and in little memory (service
tests 3 to 6 and 9).
"""

import io
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from mien.errors import DataError
from mien.vision.image import decode, load_image
from mien.vision.reading import Limits
from mien.vision.safety import inspect

ROOT = Path(__file__).parents[2]
FACE_SIDE = 64


def saved(form: str = "PNG", side: int = FACE_SIDE, **how: object) -> bytes:
    held = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(held, form, **how)
    return held.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width: int, height: int, depth: int = 1, colour: int = 0) -> bytes:
    """A whole black PNG; its rows compress to a thousandth."""
    packer, row = zlib.compressobj(1), bytes(1 + (width * depth + 7) // 8)
    body = (
        b"".join(packer.compress(row * min(512, height - top)) for top in range(0, height, 512))
        + packer.flush()
    )
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def png_with(*chunks: bytes) -> bytes:
    data = saved("PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def jpeg_of(width: int, height: int) -> bytes:
    data = bytearray(saved("JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_with_scans(number: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = saved("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * number + data[-2:]


def overlapping_exif(number: int) -> bytes:
    """A directory whose entries all name the same 60 kB."""
    entries = b"".join(struct.pack("<HHII", 40_000 + n, 7, 59_000, 8) for n in range(number))
    return b"II*\0" + struct.pack("<IH", 8, number) + entries + bytes(60_000)


def tiff_with_tags(number: int, count: int) -> bytes:
    data = saved("TIFF", 256)
    (at,) = struct.unpack_from("<I", data, 4)
    (own,) = struct.unpack_from("<H", data, at)
    entries = data[at + 2 : at + 2 + 12 * own]
    entries += b"".join(struct.pack("<HHII", 40_000 + n, 7, count, 8) for n in range(number))
    return (
        data[:4]
        + struct.pack("<I", len(data))
        + data[8:]
        + struct.pack("<H", own + number)
        + entries
        + bytes(4)
    )


MEGABYTE = zlib.compress(bytes(1_000_000), 9)


def bomb(head: bytes) -> bytes:
    return head + zlib.compress(bytes(50_000_000), 1)


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "png of 200 MP": (lambda: png_of(20_000, 10_000), "megapixels"),
    "png of 400 MP": (lambda: png_of(20_000, 20_000), "megapixels"),
    "jpeg of 200 MP": (lambda: jpeg_of(20_000, 10_000), "megapixels"),
    "65,535 x 1": (lambda: png_of(65_535, 1), "65,535 x 1"),
    "1 x 65,535": (lambda: png_of(1, 65_535), "1 x 65,535"),
    "png without pixels": (lambda: png_of(0, 5), "corrupt|0 x 5"),
    "jpeg without pixels": (lambda: jpeg_of(0, 5), "corrupt|0 x 5"),
    "iTXt": (lambda: png_with(chunk(b"iTXt", bomb(b"Key\0\1\0\0\0"))), "compressed text"),
    "zTXt": (lambda: png_with(chunk(b"zTXt", bomb(b"Key\0\0"))), "compressed text"),
    "iCCP": (lambda: png_with(chunk(b"iCCP", bomb(b"sRGB\0\0"))), "compressed text or profile"),
    "80 x 1 MB of zTXt": (
        lambda: png_with(*[chunk(b"zTXt", b"Key\0\0" + MEGABYTE)] * 80),
        "longer than 8 MB",
    ),
    "a million chunks": (lambda: png_with(chunk(b"tEXt", b"") * 1_000_000), "50,000 chunks"),
    "101 scans": (lambda: jpeg_with_scans(101), "100 scans"),
    "1,000 scans": (lambda: jpeg_with_scans(1_000), "100 scans"),
    "80,000 scans": (lambda: jpeg_with_scans(80_000), "100 scans"),
    "a million segments": (
        lambda: b"\xff\xd8" + b"\xff\xe5\0\2" * 1_000_000 + saved("JPEG")[2:],
        "segments",
    ),
    "nothing but a beginning": (lambda: b"\xff\xd8\xff" + bytes(20_000_000), "without pixels"),
    "20 MB of fill bytes": (lambda: b"\xff\xd8" + b"\xff" * 20_000_000, "fill bytes"),
    "fill bytes among the pixels": (lambda: saved("JPEG")[:-2] + b"\xff" * 9_000_000, "fill bytes"),
    "EXIF again and again": (
        lambda: b"\0\0\0\x18ftypavif" + b"II*\0\x08\0\0\0" * 1_000_000,
        "20 blocks",
    ),
    "junk before the segments": (
        lambda: b"\xff\xd8\xff\xe5\0\2" + bytes(9_000_000) + saved("JPEG")[2:],
        "between",
    ),
    "TIFF tags that overlap": (lambda: tiff_with_tags(900, 150_000), "longer than the file"),
    "TIFF of many tags": (lambda: tiff_with_tags(20_000, 4), "1,000 tags"),
    "GIF of a million comments": (
        lambda: saved("GIF")[:781] + b"!\xfe\x01a\0" * 1_000_000 + saved("GIF")[781:],
        "too many blocks",
    ),
    "GIF of tiny blocks": (
        lambda: saved("GIF")[:781] + b"!\xfe" + b"\1a" * 1_000_000 + b"\0",
        "too many blocks",
    ),
    "text for pixels": (lambda: b"P3 3000 1000 255\n" + b"0 " * 9_000_000, "written as text"),
    "a comment without end": (lambda: b"P5 #" + b"a" * 9_000_000, "not a picture"),
    "run lengths": (lambda: b"BM" + bytes(28) + b"\1\0\0\0" + bytes(9_000_000), "run-length"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_is_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, got = BOMBS[name]
    data = make()
    monkeypatch.setattr(ImageFile.ImageFile, "load", never)
    with pytest.raises(DataError, match=got):
        load_image(data)


def never(*given: object) -> None:
    raise AssertionError("the decoder was asked")


def test_limits_of_a_server_refuse_30_and_100_megapixels() -> None:
    for data in (png_of(6000, 5000), png_of(10_000, 10_000)):
        with pytest.raises(DataError, match="at most 25 megapixels"):
            load_image(data, limits=Limits(max_pixels=25_000_000))


@pytest.mark.parametrize(
    "name",
    ["png of 400 MP", "jpeg of 200 MP", "80 x 1 MB of zTXt", "iTXt", "TIFF tags that overlap"],
)
def test_a_bomb_needs_no_memory(name: str, tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(BOMBS[name][0]())
    code = """
import resource, sys
import numpy
from mien.errors import DataError
from mien.vision.image import load_image
load_image(numpy.zeros((9, 9, 4), "uint8"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load_image("bomb")
except DataError:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert float(done.stdout) < 30


def test_real_pictures_have_few_scans_and_their_texts_are_harmless() -> None:
    assert load_image(jpeg_with_scans(80)).shape == (FACE_SIDE, FACE_SIDE, 3)
    texts = (
        chunk(b"zTXt", b"Key\0\0" + MEGABYTE),
        chunk(b"iTXt", b"Key\0\0\0\0\0" + b"plain " * 1000),
    )
    assert load_image(png_with(*texts)).shape == (FACE_SIDE, FACE_SIDE, 3)
    damaged = (
        chunk(b"zTXt", b"Key\0\0" + b"no zlib"),
        chunk(b"iCCP", b"no end"),
        chunk(b"iTXt", b""),
    )
    assert load_image(png_with(*damaged)).shape == (FACE_SIDE, FACE_SIDE, 3)


def test_exif_bombs_never_reach_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Pillow would unfold to 300 MB is read for its orientation alone."""
    bomb = overlapping_exif(900)[:65_000]
    pictures = (
        saved("JPEG", exif=b"Exif\0\0" + bomb),
        png_with(chunk(b"eXIf", bomb)),
        saved("WEBP", exif=bomb),
    )
    monkeypatch.setattr(Image.Exif, "load", never)
    for data in pictures:
        assert load_image(data).shape == (FACE_SIDE, FACE_SIDE, 3)


def zipped() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a.txt", "text")
    return held.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_picture_with_a_document_after_it_is_refused(form: str) -> None:
    page = b"<html><script>alert(1)</script></html>"
    for tail in (
        zipped(),
        b"some bytes" + zipped(),
        page,
        b"\n <!DOCTYPE html>",
        b"%PDF-1.7",
        b"#!/bin/sh",
        b"<?php",
    ):
        with pytest.raises(DataError, match=f"a {form} with a document after"):
            load_image(saved(form) + tail)
    film = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40  # a telephone's moving photograph
    assert load_image(saved(form) + film).shape == (FACE_SIDE, FACE_SIDE, 3)


@pytest.mark.parametrize(
    "data",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7\n",
        b"SIMPLE  =                    T" + bytes(2880),
        b"8BPS\0\1" + bytes(100),
        b"\0\0\1\0\1\0",
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"GIF8",
        b"\xff\xd8",
        b"BM",
        b"P",
        zipped(),
    ],
)
def test_other_files_are_no_pictures(data: bytes) -> None:
    with pytest.raises(DataError, match="not a picture|corrupt picture"):
        load_image(data)


def test_what_the_pixels_do_not_need_is_left_out() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 8, "maker"
    for form in ("JPEG", "PNG"):
        data = (
            saved(form, exif=exif, comment=b"maker") if form == "JPEG" else saved(form, exif=exif)
        )
        assert b"maker" in data
        found = inspect(data, "a", max_scans=100)
        assert b"maker" not in found.data and found.orientation == 8 and found.kind == form
        assert decode(data).steps == ("turned",)
