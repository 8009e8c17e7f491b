"""Read files by path or by address: s3://, gs://, file:// and others that pyarrow supports."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mien.errors import DataError, MissingExtraError, UsageError
from mien.vision.reading import Limits

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.I)
_WEB = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp")


def is_remote(source: str) -> bool:
    """Whether a source is an address that pyarrow must read, that is, not a web address."""
    scheme = _SCHEME.match(source)
    return scheme is not None and scheme[1].lower() not in _WEB


def root_of(address: str) -> str:
    """The scheme and the bucket or server of an address: `s3://bucket`."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.partition('?')[0].partition('/')[0]}"


def split_query(address: str) -> tuple[str, str]:
    """An address without its query, and the query after the `?`."""
    plain, _, query = address.partition("?")
    return plain.rstrip("/"), query


def opened(address: str, query: str = "") -> tuple[Any, str]:
    """The `pyarrow.fs.FileSystem` of an address, and the path in it.

    Args:
        address: A local path, or an address.
        query: The query after its `?`, such as `region=eu-central-1`.

    Raises:
        UsageError: if pyarrow cannot open the address.
        MissingExtraError: if pyarrow is not installed.
    """
    try:
        from pyarrow import fs
    except ImportError:
        raise MissingExtraError("pyarrow", "ray") from None
    if _SCHEME.match(address) is None:
        return fs.LocalFileSystem(), os.path.abspath(address)
    try:
        system, place = fs.FileSystem.from_uri(f"{address}?{query}" if query else address)
    except (OSError, ValueError, TypeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{address}: got an address that pyarrow cannot open ({reason}); "
            "expected a folder, s3://, gs:// or file://. Fix: check its spelling and the login"
        ) from None  # its text has the address, and so the password
    return system, place


def listed(address: str, query: str = "") -> list[str]:
    """The addresses of all files below an address, sorted; for a file, its own address.

    Raises:
        UsageError: if there is nothing, or it cannot be read.
    """
    from pyarrow import fs

    system, place = opened(address, query)
    scheme = address.partition("://")[0]
    try:
        info = system.get_file_info(place)
        if info.type == fs.FileType.File:
            return [address]
        below = system.get_file_info(fs.FileSelector(place, recursive=True))
    except OSError as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{address}: got what cannot be listed ({reason}); expected a folder or bucket that "
            "can be read. Fix: check its spelling and the login"
        ) from error
    return sorted(f"{scheme}://{file.path}" for file in below if file.type == fs.FileType.File)


def read(source: str, queries: Mapping[str, str], limits: Limits) -> bytes:
    """The bytes of a remote file.

    Raises:
        DataError: if it cannot be read, or is larger than `limits.max_bytes`.
    """
    system, place = opened(source, queries.get(root_of(source), ""))
    try:
        with system.open_input_stream(place) as file:
            data = bytes(file.read(limits.max_bytes + 1))
    except OSError as error:
        raise _unreadable(source, error) from error
    if len(data) > limits.max_bytes:
        raise DataError(
            source,
            got="a file of more bytes",
            expected=f"at most {limits.max_bytes:,} bytes",
            fix="save it smaller",
        )
    return data


def pieces(source: str, queries: Mapping[str, str]) -> Iterator[bytes]:
    """The bytes of a remote file, one MiB at a time.

    Raises:
        DataError: if it cannot be read.
    """
    system, place = opened(source, queries.get(root_of(source), ""))
    try:
        with system.open_input_stream(place) as file:
            while piece := file.read(1 << 20):
                yield bytes(piece)
    except OSError as error:
        raise _unreadable(source, error) from error


def _unreadable(source: str, error: OSError) -> DataError:
    reason = " ".join(str(error).split())[:200]
    return DataError(
        source,
        got=f"a file that cannot be read ({reason})",
        expected="a picture or video",
        fix="check its name and the login",
    )
