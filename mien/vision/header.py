"""The size that the first bytes of a picture declare, read without decoding.

It tells the cost of a picture before it is accepted; `image.decode` checks the size again.
"""

from __future__ import annotations

import re

_MAX_SEGMENTS = 1000  # of a JPEG before its frame
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers that hold a JPEG's size
_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})")


def declared_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, before rotation; None if the first bytes do not declare them."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _numbers(data, (16, 20), 4, "big")
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _numbers(data, (6, 8), 2, "little")
    if data.startswith(b"BM"):
        size = _numbers(data, (18, 22), 4, "little")  # a negative height means from the top down
        return size and (size[0], min(size[1], (1 << 32) - size[1]))
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    match = _PNM.match(data[:4096])
    return (int(match[1]), int(match[2])) if match else None


def _numbers(data: bytes, places: tuple[int, int], size: int, order: str) -> tuple[int, int] | None:
    if len(data) < places[1] + size:
        return None
    first, second = (
        int.from_bytes(data[at : at + size], "big" if order == "big" else "little") for at in places
    )
    return first, second


def _jpeg(data: bytes) -> tuple[int, int] | None:
    position = 2
    for _ in range(_MAX_SEGMENTS):
        while data[position : position + 1] == b"\xff":
            position += 1
        if position + 8 > len(data):
            return None
        if data[position] in _FRAMES:
            height, width = _numbers(data, (position + 4, position + 6), 2, "big") or (0, 0)
            return width, height
        position += 1 + max(2, int.from_bytes(data[position + 1 : position + 3], "big"))
        position = data.find(b"\xff", position, position + 65_536)
        if position < 0:
            return None
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return (
            1 + int.from_bytes(data[24:27], "little"),
            1 + int.from_bytes(data[27:30], "little"),
        )
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(data) >= 30:
        size = _numbers(data, (26, 28), 2, "little")
        return size and (size[0] & 0x3FFF, size[1] & 0x3FFF)
    return None
