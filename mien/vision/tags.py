"""Read directories of TIFF tags: those of TIFF pictures, of EXIF data, and of the index of an MPO.

Both byte orders, and BigTIFF with its wider numbers (https://www.awaresystems.be/imaging/tiff/).
"""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MAX_TAGS = 1000  # of a directory
ORIENTATION = 0x0112
_SHORT = 3  # the type of 2 bytes
# Bytes of a value of each type.
_TYPE_SIZES = {
    **{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2},
    **{9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8},
}


class Tag(NamedTuple):
    """An entry of a directory: its number, the type and number of its values, and their place."""

    number: int
    kind: int
    num_values: int
    place: int

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return _TYPE_SIZES.get(self.kind, 1) * self.num_values


def directory(data: bytes, base: int = 0, at: int | None = None) -> list[Tag]:
    """The tags of a directory, at most `MAX_TAGS` + 1; none if it cannot be read.

    Args:
        data: The file.
        base: The place of the TIFF data in the file, from which its offsets count.
        at: Offset of the directory; the first one by default.
    """
    head = data[base : base + 4]
    if head not in HEADS:
        return []
    order = "<" if head.startswith(b"II") else ">"
    length, entry, offset, width = ("Q", "HHQ", "Q", 8) if b"+" in head else ("H", "HHI", "I", 4)
    step = struct.calcsize(order + entry) + width
    tags = []
    try:
        if at is None:
            (at,) = struct.unpack_from(order + offset, data, base + width)
        (num,) = struct.unpack_from(order + length, data, base + at)
        start = base + at + struct.calcsize(order + length)
        num = min(num, (len(data) - start) // step, MAX_TAGS + 1)
        for place in range(start, start + num * step, step):
            number, kind, num_values = struct.unpack_from(order + entry, data, place)
            tag = Tag(number, kind, num_values, place + step - width)
            if tag.size > width:  # shorter values stand in the place of their offset
                (value,) = struct.unpack_from(order + offset, data, tag.place)
                tag = tag._replace(place=base + value)
            tags.append(tag)
    except (struct.error, OverflowError):
        return []
    return tags


def byte_order(data: bytes, base: int = 0) -> Literal["little", "big"]:
    """The order in which the TIFF data at a place writes its numbers."""
    return "little" if data.startswith(b"II", base) else "big"


def orientation(exif: bytes) -> int:
    """The orientation in a block of EXIF data, 1 to 8; 1 if there is none or it cannot be read."""
    for tag in directory(exif):
        if tag.number == ORIENTATION and tag.kind == _SHORT:
            number = int.from_bytes(exif[tag.place : tag.place + 2], byte_order(exif))
            return number if 1 <= number <= 8 else 1
    return 1
