"""Pictures that are not files: addresses (http, https), `data:` URLs and base64 text.

An address may lead anywhere, so size, time and redirects are limited, and only http and https are
accepted. `mien serve` never takes addresses from a request.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import threading
import time
import urllib.parse
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, TypeVar

from mien.errors import DataError, in_short
from mien.vision.formats import PICTURE_SUFFIXES

if TYPE_CHECKING:
    import requests

T = TypeVar("T")

TIMEOUT_S = 20.0  # to connect, and for each chunk
TOTAL_S = 120.0
MAX_REDIRECTS = 5
_WEB = ("http://", "https://")
_OTHER = re.compile(r"(?:file|ftp|ftps|sftp|s3|gs|smb|blob|javascript|about|chrome)://?", re.I)
_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w.+-]+=[^;,]*)*)(;base64)?,", re.I)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_MIN_BASE64 = 64  # characters; shorter texts are names
# First characters of pictures in base64: JPEG, PNG, GIF, RIFF (WebP), BMP, TIFF.
_HEADS = ("/9j/", "_9j_", "iVBORw", "R0lGOD", "UklGR", "Qk", "SUkq", "TU0A")
# First bytes of web pages, whatever type the server declares.
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<body")
_VIDEOS = frozenset(".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .flv .ogv .m3u8 .mpd".split())


def is_address(source: object) -> bool:
    """Whether a source is an address or `data:` URL, not a path."""
    if not isinstance(source, str):
        return False
    head = source[:64].lstrip()[:16]
    return head.lower().startswith((*_WEB, "data:")) or bool(_OTHER.match(head))


def is_picture_address(source: str) -> bool:
    """Whether an address leads to a picture and not to a video, by its suffix, or else by the type
    that the server declares. An address that cannot be reached counts as a picture.
    """
    source = source.strip()
    if not source[:8].lower().startswith(_WEB):
        return is_address(source)
    suffix = os.path.splitext(urllib.parse.urlsplit(source).path)[1].lower()
    if suffix in PICTURE_SUFFIXES or suffix in _VIDEOS:
        return suffix in PICTURE_SUFFIXES
    return _type_of(source) not in ("video", "audio")


def text_bytes(source: str, max_bytes: int) -> tuple[str, bytes] | None:
    """Name and content of an address, a `data:` URL or base64 text; None for anything else, such as
    a path.

    Raises:
        DataError: if it cannot be read: no network, another kind of address, too large, too slow.
    """
    if is_address(source):
        source = source.strip()
        if source[:5].lower() == "data:":
            return _data_url(source, max_bytes)
        return in_short(source), _fetch(source, max_bytes)
    if len(source) < _MIN_BASE64 or not source.lstrip().startswith(_HEADS):
        return None
    plain = "".join(source.split())
    if not _BASE64.fullmatch(plain) or _is_file(source):
        return None
    name = _name("base64", plain)
    return name, _decode_base64(plain, name, max_bytes)


def encoded_bytes(data: bytes, max_bytes: int) -> tuple[str, bytes] | None:
    """Name and content of a picture in bytes that are a `data:` URL or base64, such as those of
    `base64.b64encode`; None for anything else, such as an address.

    Raises:
        DataError: if the text is damaged or too large.
    """
    head = data[:64].lstrip()
    if head[:5].lower() == b"data:" or head.startswith(tuple(text.encode() for text in _HEADS)):
        return text_bytes(data.decode("latin-1"), max_bytes)
    return None


def _is_file(source: str) -> bool:
    try:
        return os.path.exists(source)
    except (OSError, ValueError):  # longer than a path may be
        return False


def _name(kind: str, text: str) -> str:
    return f"{kind} of {len(text):,} letters"


def _data_url(source: str, max_bytes: int) -> tuple[str, bytes]:
    head = _DATA.match(source[:400])
    name = _name("data: URL", source)
    if head is None:
        raise DataError(
            name,
            got=f"a data: URL that begins {in_short(source, 40)!r}",
            expected="one like data:image/png;base64,...",
            fix="copy the whole URL",
        )
    body = source[head.end() :]
    if head[3]:
        return name, _decode_base64("".join(urllib.parse.unquote(body).split()), name, max_bytes)
    return name, urllib.parse.unquote_to_bytes(body)


def _decode_base64(text: str, name: str, max_bytes: int) -> bytes:
    if len(text) * 3 // 4 > max_bytes + 2:
        raise too_large(name, max_bytes)
    try:
        plain = text.replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(
            name,
            got=f"text that is not base64 ({error})",
            expected="the base64 of a picture",
            fix="copy the whole text, or give the bytes of the picture",
        ) from error


class _Refused(Exception):
    def __init__(self, got: str, fix: str) -> None:
        super().__init__(got)
        self.got, self.fix = got, fix


def _fetch(address: str, max_bytes: int) -> bytes:
    """The contents of an address, at most `max_bytes`.

    Raises:
        DataError: as `text_bytes`.
    """
    import requests

    try:
        return _within_time(partial(_content, address, max_bytes))
    except _Refused as refused:
        got, fix = refused.got, refused.fix
    except (requests.RequestException, OSError, ValueError) as error:
        got, fix = _cause_and_fix(error)
    raise DataError(
        in_short(address),
        got=got,
        expected="an http or https address of a picture that can be reached",
        fix=fix,
    ) from None


def _within_time(work: Callable[[], T]) -> T:
    """The result of some work on the network, which may take `TOTAL_S`.

    A server may send a byte now and then, also of its headers, and no time-out of a socket ends
    that. So the work is done in another thread, which is abandoned if it takes longer.

    Raises:
        _Refused: after that time.
        Exception: as the work does.
    """
    results = list[T]()
    errors = list[Exception]()

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 - raised again in the waiting thread
            errors.append(error.with_traceback(None))  # its frames would keep the connection

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(TOTAL_S)
    if errors:
        raise errors.pop()
    if not results:
        raise _too_slow()
    return results[0]


def _content(address: str, max_bytes: int) -> bytes:
    import requests

    began = time.monotonic()
    with requests.Session() as session, _response(session, address, began) as response:
        length = response.headers.get("Content-Length", "")
        if length.isascii() and length.isdigit() and int(length) > max_bytes:
            raise too_large(in_short(address), max_bytes)
        content = bytearray()
        for chunk in response.iter_content(65_536):
            content += chunk
            if len(content) > max_bytes:
                raise too_large(in_short(address), max_bytes)
            if time.monotonic() - began > TOTAL_S:
                raise _too_slow()
    if content[:512].lstrip().lower().startswith(_PAGES):
        raise _Refused("a web page, not a picture", "copy the address of the picture itself")
    return bytes(content)


def _response(session: requests.Session, address: str, began: float) -> requests.Response:
    """The response after all redirects, each of which is checked."""
    for _ in range(MAX_REDIRECTS + 1):
        if not address[:8].lower().startswith(_WEB):
            kind = in_short(address.partition(":")[0], 20)
            raise _Refused(f"an address of the kind {kind}:", "give a file, or an http address")
        response = session.get(
            address,
            stream=True,
            timeout=TIMEOUT_S,
            allow_redirects=False,
            headers={"User-Agent": "mien", "Accept": "image/*,*/*;q=0.5"},
        )
        if not response.is_redirect:
            if not 200 <= response.status_code < 300:
                response.close()
                raise _Refused(f"HTTP status {response.status_code}", "check the address")
            return response
        address = urllib.parse.urljoin(address, response.headers["Location"])
        response.close()
        if time.monotonic() - began > TOTAL_S:
            raise _too_slow()
    raise _Refused(f"more than {MAX_REDIRECTS} redirects", "check the address in a browser")


def _too_slow() -> _Refused:
    return _Refused(f"no end within {TOTAL_S:.0f} s", "download it first")


def _cause_and_fix(error: Exception) -> tuple[str, str]:
    """The cause of an error, without names of libraries, and the fix."""
    import requests

    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT_S:.0f} s", "try again later, or download the file first"
    if isinstance(error, requests.exceptions.SSLError):
        return "a certificate that cannot be trusted", "check the address and this machine's clock"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "an answer that was cut off", "try again"
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return "an address that cannot be read", "check its spelling"
    if isinstance(error, requests.ConnectionError):
        return (
            "no connection (this machine may be offline, or the server unknown)",
            "check the network and the address, or give a file",
        )
    return "an answer that cannot be read", "download it in a browser, and give the file"


@lru_cache(maxsize=256)
def _type_of(address: str) -> str:
    """The main type of an address's content, such as `image`; '' if it cannot be reached."""
    import requests

    def content_type() -> str:
        with (
            requests.Session() as session,
            _response(session, address, time.monotonic()) as response,
        ):
            return str(response.headers.get("Content-Type", "")).lower()

    try:
        kind = _within_time(content_type)
        return "video" if "mpegurl" in kind else kind.partition("/")[0].strip()
    except (_Refused, requests.RequestException, OSError, ValueError):
        return ""


def too_large(name: str, max_bytes: int) -> DataError:
    """The error for a picture of more bytes than allowed."""
    return DataError(
        name,
        got="a larger file",
        expected=f"at most {max_bytes:,} bytes",
        fix="save the picture smaller",
    )
