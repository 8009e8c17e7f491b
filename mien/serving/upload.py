"""The pictures in a request's body: raw bytes, or a form with files. All in memory, all counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from mien.serving.limits import Limits
from mien.serving.problems import Problem

FIELD = "file"
_MOST_FIELDS = 4  # of a form, besides its files
_MOST_OVERHEAD = 65_536  # bytes of a form around its files


async def read_pictures(request: Request, limits: Limits, *, most: int = 1) -> list[bytes]:
    """The files of a request, at least one and at most so many.

    Args:
        request: With a raw body, which is one picture, or `multipart/form-data` with the field
            `file` (repeated for several pictures).
        limits: Bytes and seconds.
        most: Pictures that are allowed.

    Raises:
        Problem: if the body is too large, too slow, empty, or no such form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_form = kind == "multipart/form-data"
    allowed = limits.max_bytes * most + (_MOST_OVERHEAD if is_form else 0)
    body = await read_body(request, allowed, limits.body_s)
    pictures = await _files(request, body, most) if is_form else [body]
    for picture in pictures:
        if not picture:
            raise Problem(
                400,
                "empty-body",
                "got 0 bytes; expected the bytes of a picture",
                "send the picture as the body, or as the field `file` of a form",
            )
        if len(picture) > limits.max_bytes:
            raise _too_large(limits.max_bytes)
    return pictures


async def read_body(request: Request, most_bytes: int, most_s: float) -> bytes:
    """The body, counted while it comes.

    Raises:
        Problem: 413, 408, or 400 if the client went away.
    """
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most_bytes:
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
            408,
            "body-too-slow",
            f"got no whole body within {most_s:g} s",
            "send it faster, or send a smaller picture",
            {"Connection": "close"},
        ) from None
    except ClientDisconnect:
        raise Problem(
            400, "broken-off", "got only a part of the body; expected all of it", "send it again"
        ) from None
    return b"".join(parts)


class _InMemory(MultiPartParser):
    spool_max_size = 1 << 40  # the body is in memory already; no file is written


async def _files(request: Request, body: bytes, most: int) -> list[bytes]:
    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _InMemory(request.headers, whole(), max_files=most, max_fields=_MOST_FIELDS)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise _bad_form(error.message) from None
    except (KeyError, ValueError, UnicodeError):
        raise _bad_form("the form cannot be read") from None
    try:
        files = [one for one in form.getlist(FIELD) if isinstance(one, UploadFile)]
        if not files:
            raise _bad_form(f"no file in the field `{FIELD}`")
        return [await one.read() for one in files]
    finally:
        await form.close()


def _bad_form(got: str) -> Problem:
    return Problem(
        400,
        "bad-form",
        f"got {got}; expected multipart/form-data with a file in the field `{FIELD}`",
        "let the HTTP library make the form, or send the picture as the raw body",
    )


def _too_large(most_bytes: int) -> Problem:
    return Problem(
        413,
        "too-many-bytes",
        f"got more than {most_bytes:,} bytes",
        "send a smaller picture; GET /v1/model names the limits",
        {"Connection": "close"},
    )
