"""Read the bytes of a picture from a path, an address, bytes or an open file, within limits."""

from __future__ import annotations

import inspect
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mien.errors import DataError, in_short, printable, without_password
from mien.vision.addresses import encoded_bytes, text_bytes, too_large
from mien.vision.formats import is_picture_name
from mien.vision.safety import bad_picture

_MAX_PATH = 255  # characters; a longer text that cannot be opened is hardly meant as a path


@dataclass(frozen=True)
class Limits:
    """Limits of a picture, checked before decoding.

    Attributes:
        max_bytes: Size of the file.
        max_pixels: Width times height.
        longest_side: Width or height, in pixels.
        max_scans: Scans of a JPEG, each of which takes as long as a whole picture. Real files have
            about ten.
    """

    max_bytes: int = 64_000_000
    max_pixels: int = 100_000_000
    longest_side: int = 32_768
    max_scans: int = 100


def bytes_of(source: object, limits: Limits) -> tuple[str, bytes]:
    """The name and the content of a path, an address, bytes or a file.

    Raises:
        DataError: if it cannot be read, is empty, or has more than `limits.max_bytes`.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        where = "picture"
        if len(source) > limits.max_bytes:
            raise too_large(where, limits.max_bytes)
        data = bytes(source)
        if (name_and_data := encoded_bytes(data, limits.max_bytes)) is not None:
            return _within_limits(*name_and_data, limits)
    elif isinstance(source, str | os.PathLike):
        where = os.fspath(source)
        if not isinstance(where, str):
            raise _no_source(source)
        if isinstance(source, str):
            name_and_data = text_bytes(source, limits.max_bytes)
            if name_and_data is not None:
                return _within_limits(*name_and_data, limits)
        data = _read_path(where, limits)
    elif hasattr(source, "read"):
        name = getattr(source, "name", None)
        where = name if isinstance(name, str) else "picture"
        if inspect.iscoroutinefunction(source.read):
            raise _asynchronous(source)
        data = _read_file(source, where, limits)
        if not data:
            raise bad_picture(where, "a file without bytes left", fix="rewind it: file.seek(0)")
    else:
        raise _no_source(source)
    return _within_limits(where, data, limits)


def _read_path(path: str, limits: Limits) -> bytes:
    """The content of a path, at most one byte more than allowed."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise bad_picture(path, "a folder", fix="name the pictures in it")
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            raise bad_picture(path, "a device", fix="name a file")
        if status.st_size > limits.max_bytes:
            raise too_large(path, limits.max_bytes)
        # Python allocates as much memory as it is asked to read.
        room = status.st_size if stat.S_ISREG(status.st_mode) else limits.max_bytes
        with open(path, "rb", opener=_without_waiting) as file:
            return file.read(room + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        if len(path) > _MAX_PATH and not is_picture_name(path):
            raise _no_path(path) from None
        if isinstance(error, FileNotFoundError):
            raise bad_picture(path, "nothing: no such file", fix="check the path") from None
        reason = getattr(error, "strerror", None) or error
        raise bad_picture(
            path, f"a file that cannot be read ({reason})", fix="check its permissions"
        ) from error


def _read_file(source: Any, where: str, limits: Limits) -> bytes:
    """The rest of an open file, at most one byte more than allowed.

    One read may return fewer bytes than were asked for; one without a size returns all of them.
    """
    content, takes_size = bytearray(), _takes_size(source.read)
    while len(content) <= limits.max_bytes:
        try:
            room = limits.max_bytes + 1 - len(content)
            chunk = source.read(room) if takes_size else source.read()
        except (OSError, ValueError) as error:
            raise bad_picture(
                where, f"a file that cannot be read ({error})", fix="open it again"
            ) from error
        if inspect.isawaitable(chunk):
            _close_coroutine(chunk)
            raise _asynchronous(source)
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise bad_picture(
                where, f"a file that yields {type(chunk).__name__}", fix="open it with mode 'rb'"
            )
        if not chunk:
            break
        content += chunk
        if not takes_size:
            break
    return bytes(content)


def _takes_size(read: Callable[..., Any]) -> bool:
    try:
        return bool(inspect.signature(read).parameters)
    except (TypeError, ValueError):  # written in C, without a signature
        return True


def _close_coroutine(awaitable: object) -> None:
    """Close a coroutine, or else Python warns that it was never awaited."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()


def name_of(source: Any) -> str:
    """A name for a picture: its path, its address without a password, or its kind; never its
    content, and at most 200 characters of a text that is neither.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return f"picture of {len(source):,} bytes"
    if isinstance(source, str):
        if len(source) <= 200 or source[:8].lower().startswith(("http://", "https://")):
            return without_password(source)
        if source[:5].lower() == "data:":
            return f"data: URL of {len(source):,} letters"
        return source if is_file(source) else in_short(source)
    if isinstance(source, os.PathLike):
        return printable(str(os.fspath(source)))
    for name in ("filename", "name"):
        if isinstance(getattr(source, name, None), str) and getattr(source, name):
            return in_short(getattr(source, name))
    shape = getattr(source, "shape", None)
    kind = type(source).__name__
    return f"{kind} {tuple(shape)}" if shape is not None else f"picture ({kind})"


def is_one_picture(source: Any) -> bool:
    """Whether a source is a single picture where several are expected."""
    one = isinstance(source, str | bytes | bytearray | memoryview | os.PathLike)
    is_array = isinstance(getattr(source, "ndim", None), int) and source.ndim < 4
    return one or is_array or hasattr(source, "read") or not hasattr(source, "__iter__")


def rereadable(source: Any, pixels: Any) -> Any:
    """The source itself, or its pixels if it cannot be read again (an open file or an address)."""
    if is_file(source) or not (isinstance(source, str) or hasattr(source, "read")):
        return source
    return pixels


def is_file(source: object) -> bool:
    """Whether a source is a path that exists."""
    try:
        return isinstance(source, str | os.PathLike) and os.path.exists(source)
    except (OSError, ValueError):
        return False


def _within_limits(where: str, data: bytes, limits: Limits) -> tuple[str, bytes]:
    if len(data) > limits.max_bytes:
        raise too_large(where, limits.max_bytes)
    if not data:
        raise bad_picture(where, "an empty file of 0 bytes")
    return where, data


def _without_waiting(path: str, flags: int) -> int:
    """Open a pipe without a writer as an empty file; `open` would wait for ever."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(descriptor, True)  # a pipe with a writer is read to its end
    return descriptor


def _asynchronous(source: Any) -> DataError:
    return DataError(
        "picture",
        got=f"a file that is read with await ({type(source).__name__})",
        expected="a path, bytes, or a file whose read() gives bytes at once",
        fix="give its content: await file.read()",
    )


def _no_path(text: str) -> DataError:
    return DataError(
        in_short(text),
        got=f"a text of {len(text):,} letters that no path can have",
        expected="a path, an address, a data: URL or the base64 of a picture",
        fix="give one of these alone, without quotes, or the bytes of the picture",
    )


def _no_source(source: Any) -> DataError:
    if inspect.isawaitable(source):
        _close_coroutine(source)
        return DataError(
            "picture",
            got=f"{type(source).__name__}, which nobody awaited",
            expected="what it gives",
            fix="put await before the call",
        )
    return DataError(
        "picture",
        got=f"{type(source).__name__}",
        expected="a path, an address, bytes, a binary file, an array or a PIL.Image.Image",
        fix="read the picture first",
    )
