"""Read pictures from the body of a request, raw or as a form, in memory and with limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from mien.serving.limits import Limits
from mien.serving.parameters import PARAMETERS
from mien.serving.problems import Problem
from mien.vision.header import declared_size
from mien.vision.safety import FORMATS, kind_of

FIELD = "file"
_MOST_FIELDS = 4  # of a form, besides its files
_OVERHEAD = 65_536  # bytes of a form around its files
_UNKNOWN_PIXELS = 16_000_000  # assumed for pictures without a size in their header


async def read_picture(request: Request, limits: Limits) -> bytes:
    """The picture of a request: its raw body, or the file in the field `file` of a form.

    Raises:
        Problem: if the body is too large, too slow, empty, or neither a picture nor such a form.
    """
    if not _is_form(request):
        picture = await _read(request, limits.max_bytes, limits.body_s)
    else:
        body = await _read(request, limits.max_bytes + _OVERHEAD, limits.body_s)
        (picture,) = await _files(request, body, 1)
    check_picture(picture, limits)
    return picture


async def read_batch(request: Request, limits: Limits) -> list[bytes]:
    """The files in the fields `file` of a form, not checked to be pictures.

    Raises:
        Problem: if the body is too large, too slow, or not such a form.
    """
    if not _is_form(request):
        raise _bad_form("another content type")
    most = limits.max_batch_bytes + _OVERHEAD
    body = await _read(request, most, limits.body_s)
    return await _files(request, body, limits.max_pictures)


def check_picture(picture: bytes, limits: Limits) -> None:
    """Check a picture by its first bytes, before it is decoded.

    Raises:
        Problem: if it is empty, too large, has too many pixels, or is not a picture.
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
    """The number of places in the queue that a picture takes."""
    size = declared_size(picture)
    pixels = _UNKNOWN_PIXELS if size is None else min(size[0] * size[1], limits.max_pixels)
    return 1 + pixels // (limits.megapixels_a_place * 1_000_000)


async def _read(request: Request, most_bytes: int, most_s: float) -> bytes:
    """The body, whose bytes are counted while they arrive."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most_bytes:
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
    spool_max_size = 1 << 40  # never write a file: the body is already in memory


async def _files(request: Request, body: bytes, most: int) -> list[bytes]:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _InMemory(request.headers, chunks(), max_files=most, max_fields=_MOST_FIELDS)
    form: FormData | None = None
    try:
        form = await parser.parse()
        return [await file.read() for file in _pictures(form)]
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise _too_many_files(most) from None
        raise _bad_form(error.message.rstrip(".")) from None
    except (LookupError, ValueError):  # the parser raises them for some malformed forms
        raise _bad_form("a form that cannot be read") from None
    finally:
        if form is not None:
            await form.close()


def _pictures(form: FormData) -> list[UploadFile]:
    """The files of a form; whatever else a client may have meant to be heeded is refused."""
    files = []
    for name, entry in form.multi_items():
        if isinstance(entry, UploadFile) and name == FIELD:
            files.append(entry)
        elif isinstance(entry, UploadFile):
            raise _bad_form("a file in another field")
        elif name == FIELD:
            raise _bad_form(f"a field `{FIELD}` without a file name")
        elif name in PARAMETERS:
            raise Problem(
                "bad-form",
                f"got {name} in the form; expected parameters in the address",
                f"ask for /v1/faces?{name}=... instead",
            )
    if not files:
        raise _bad_form(f"no file in the field `{FIELD}`")
    return files


def _too_many_files(most: int) -> Problem:
    if most == 1:
        detail = "got several files; expected one"
        return Problem("bad-form", detail, "send several pictures to /v1/faces:batch")
    detail = f"got more than {most} files; expected at most {most}"
    return Problem("bad-form", detail, "send them in several requests")


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
