"""Text as systems write it -> UTF-8 with lines ended by a line feed, as the csv readers expect.

A spreadsheet's "Unicode text" is UTF-16; old Macintosh programs end lines by a carriage return;
some spreadsheets begin with a line `sep=;`.
"""

from __future__ import annotations

import codecs
import io
import re
from typing import IO, Any

_LOOK = 1 << 16  # bytes by which the encoding is told
_CHUNK = 1 << 20
_SEP = re.compile(rb'"?sep=.?.?"?\r?\n?$', re.IGNORECASE)


def as_utf8(stream: Any) -> IO[bytes]:
    """The stream itself, or one that turns its text into UTF-8 with `\\n`.

    Args:
        stream: A binary stream with `peek`, as files and decompressors are.
    """
    head = stream.peek(_LOOK)[:_LOOK]
    encoding = encoding_of(head)
    old_ends = encoding is None and b"\r" in head and b"\n" not in head
    if encoding is None and not old_ends:
        found: IO[bytes] = stream
        return found
    return io.BufferedReader(_Decoded(stream, encoding or "latin-1", old_ends), _CHUNK)


def encoding_of(head: bytes) -> str | None:
    """`utf-16` and the like by byte order mark or by zeros beside letters; None: anything else."""
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    some = head[:64]
    if len(some) >= 8 and not any(some[1::2]) and all(some[0::2]):
        return "utf-16-le"
    if len(some) >= 8 and not any(some[0::2]) and all(some[1::2]):
        return "utf-16-be"
    return None


def is_separator_line(line: bytes) -> bool:
    """Whether a first line is a spreadsheet's `sep=;`, which only says what parts the columns."""
    return _SEP.match(line.removeprefix(codecs.BOM_UTF8).strip()) is not None


def decoded(text: bytes) -> str:
    """By UTF-8, else as Western Windows programs write."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")


class _Decoded(io.RawIOBase):
    """Another encoding, or other line ends, read as UTF-8 with line feeds."""

    def __init__(self, stream: IO[bytes], encoding: str, old_ends: bool) -> None:
        self._stream, self._old_ends = stream, old_ends
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._same = encoding == "latin-1"  # bytes stay what they are
        self._held = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held:
            chunk = self._stream.read(_CHUNK)
            if self._same:
                text = chunk
            else:
                text = self._decoder.decode(chunk, final=not chunk).encode("utf-8", "replace")
            self._held = text.replace(b"\r", b"\n") if self._old_ends else text
            if not chunk:
                break
        num = min(len(buffer), len(self._held))
        buffer[:num], self._held = self._held[:num], self._held[num:]
        return num

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
