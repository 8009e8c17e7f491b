"""Turn text of any usual encoding into UTF-8 with line feeds, as the csv readers expect.

A spreadsheet's "Unicode text" is UTF-16, old Macintosh programs end lines with a carriage return,
and some spreadsheets begin with a line `sep=;`.
"""

from __future__ import annotations

import codecs
import io
import re
from typing import IO, Any

_HEAD_BYTES = 1 << 16  # from which the encoding is recognised
_CHUNK = 1 << 20
_SEP = re.compile(rb'"?sep=.?.?"?\r?\n?$', re.IGNORECASE)


def as_utf8(stream: Any) -> IO[bytes]:
    """The stream itself, or one that turns its text into UTF-8 with `\\n`.

    Args:
        stream: A binary stream with `peek`, as files and decompressors are.
    """
    head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    encoding = encoding_of(head)
    old_ends = encoding is None and b"\r" in head and b"\n" not in head
    if encoding is None and not old_ends:
        unchanged: IO[bytes] = stream
        return unchanged
    return io.BufferedReader(_Utf8Stream(stream, encoding or "latin-1", old_ends), _CHUNK)


def encoding_of(head: bytes) -> str | None:
    """`utf-16` and its variants, by byte order mark or zero bytes between letters; else None."""
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    start = head[:64]
    if len(start) >= 8 and not any(start[1::2]) and all(start[0::2]):
        return "utf-16-le"
    if len(start) >= 8 and not any(start[0::2]) and all(start[1::2]):
        return "utf-16-be"
    return None


def is_separator_line(line: bytes) -> bool:
    """Whether a first line is a spreadsheet's `sep=;`, which only names the delimiter."""
    return _SEP.match(line.removeprefix(codecs.BOM_UTF8).strip()) is not None


def decode_text(text: bytes) -> str:
    """The text, decoded as UTF-8, or else as Windows-1252."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")


class _Utf8Stream(io.RawIOBase):
    """A stream in another encoding, or with other line ends, read as UTF-8 with line feeds."""

    def __init__(self, stream: IO[bytes], encoding: str, old_ends: bool) -> None:
        self._stream, self._old_ends = stream, old_ends
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._keeps_bytes = encoding == "latin-1"
        self._buffer = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._buffer:
            chunk = self._stream.read(_CHUNK)
            if self._keeps_bytes:
                text = chunk
            else:
                text = self._decoder.decode(chunk, final=not chunk).encode("utf-8", "replace")
            self._buffer = text.replace(b"\r", b"\n") if self._old_ends else text
            if not chunk:
                break
        num = min(len(buffer), len(self._buffer))
        buffer[:num], self._buffer = self._buffer[:num], self._buffer[num:]
        return num

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
