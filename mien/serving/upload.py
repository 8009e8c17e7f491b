"""The pictures in a request's body: raw bytes, or a form with files. All in memory, all counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from mien.serving.limits import Limits
from mien.serving.problems import Problem
from mien.vision.header import declared_size
from mien.vision.safety import FORMATS, kind_of

FIELD = "file"
_MOST_FIELDS = 4  # of a form, besides its files
_OVERHEAD = 65_536  # bytes of a form around its files
_UNKNOWN_PIXELS = 16_000_000  # of a picture that does not tell its size at its beginning


async def read_picture(request: Request, limits: Limits) -> bytes:
    """The one picture of a request: its raw body, or the file in the field `file` of a form.

    Raises:
        Problem: if the body is too large, too slow, empty, no picture, or no such form.
    """
    if not _is_form(request):
        picture = await _read(request, limits.max_bytes, limits.body_s)
    else:
        body = await _read(request, limits.max_bytes + _OVERHEAD, limits.body_s)
        (picture,) = await _files(request, body, 1)
    check_picture(picture, limits)
    return picture


async def read_batch(request: Request, limits: Limits) -> list[bytes]:
    """The files in the fields `file` of a form; what is no picture is among them.

    Raises:
        Problem: if the body is too large, too slow, or no such form.
    """
    if not _is_form(request):
        raise _bad_form("another content type")
    most = limits.max_batch_bytes + _OVERHEAD
    body = await _read(request, most, limits.body_s)
    return await _files(request, body, limits.max_pictures)


def check_picture(picture: bytes, limits: Limits) -> None:
    """Refuse early what the first bytes reveal.

    Raises:
        Problem: for no bytes, too many bytes or pixels, and other files.
    """
    if not picture:
        raise Problem(
            "empty-body",
            "got 0 bytes; expected the bytes of a picture",
            f"send the picture as the body, or as the field `{FIELD}` of a form",
        )
    if len(picture) > limits.max_bytes:
        raise _too_large(limits.max_bytes)
    if kind_of(picture) is None:
        raise Problem(
            "not-a-picture",
            "got bytes that are not a picture; expected one of " + ", ".join(FORMATS),
            "send the file's own bytes, not base64, a path or an address",
        )
    width, height = declared_size(picture) or (0, 0)
    if width * height > limits.max_pixels:
        raise Problem(
            "too-many-pixels",
            f"got {width} x {height} pixels; expected at most {limits.max_pixels:,}",
            "send a smaller picture; GET /v1/model lists the limits",
        )


def places(picture: bytes, limits: Limits) -> int:
    """How many places of the queue a picture takes."""
    size = declared_size(picture)
    pixels = _UNKNOWN_PIXELS if size is None else min(size[0] * size[1], limits.max_pixels)
    return 1 + pixels // (limits.megapixels_a_place * 1_000_000)


async def _read(request: Request, most_bytes: int, most_s: float) -> bytes:
    """The body, counted while it comes."""
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > most_bytes:
        raise _too_large(most_bytes)
    parts, num_bytes = [], 0
    try:
        async with asyncio.timeout(most_s):
            async for part in request.stream():
                num_bytes += len(part)
                if num_bytes > most_bytes:
                    raise _too_large(most_bytes)
                parts.append(part)
    except TimeoutError:
        raise Problem(
            "body-too-slow",
            f"got only a part of the body within {most_s:g} s; expected all of it",
            "send it faster, or send a smaller picture",
            {"Connection": "close"},
        ) from None
    except ClientDisconnect:
        raise Problem(
            "broken-off", "got only a part of the body; expected all of it", "send it again"
        ) from None
    return b"".join(parts)


def _is_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "multipart/form-data"


class _InMemory(MultiPartParser):
    spool_max_size = 1 << 40  # the body is in memory already; no file is written


async def _files(request: Request, body: bytes, most: int) -> list[bytes]:
    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _InMemory(request.headers, whole(), max_files=most, max_fields=_MOST_FIELDS)
    form: FormData | None = None
    try:
        form = await parser.parse()
        files = [entry for entry in form.getlist(FIELD) if isinstance(entry, UploadFile)]
        if not files:
            raise _bad_form(f"no file in the field `{FIELD}`")
        return [await file.read() for file in files]
    except MultiPartException as error:
        raise _bad_form(error.message.rstrip(".")) from None
    except (LookupError, ValueError):  # for a form that the parser does not expect
        raise _bad_form("a form that cannot be read") from None
    finally:
        if form is not None:
            await form.close()


def _bad_form(got: str) -> Problem:
    return Problem(
        "bad-form",
        f"got {got}; expected multipart/form-data with files in the field `{FIELD}`",
        "let the HTTP library make the form; one picture can also be the raw body of /v1/faces",
    )


def _too_large(most_bytes: int) -> Problem:
    return Problem(
        "too-many-bytes",
        f"got a larger body; expected at most {most_bytes:,} bytes",
        "send a smaller picture; GET /v1/model lists the limits",
        {"Connection": "close"},
    )
