"""Directories of TIFF tags in every byte order and width."""

from __future__ import annotations

import struct

import pytest

from mien.vision.tags import MAX_TAGS, ORIENTATION, Tag, directory, orientation


def written(order: str, big: bool, tags: list[tuple[int, int, int, bytes]]) -> bytes:
    """TIFF data with one directory; values that do not fit lie behind it."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + ("HHQ" if big else "I"), *((8, 0, 16) if big else (8,)))
    width = 8 if big else 4
    entries, values = b"", b""
    start = len(head) + (8 if big else 2) + len(tags) * (20 if big else 12)
    for number, kind, count, value in tags:
        entries += struct.pack(order + ("HHQ" if big else "HHI"), number, kind, count)
        if len(value) <= width:
            entries += value.ljust(width, b"\0")
        else:
            entries += struct.pack(order + ("Q" if big else "I"), start + len(values))
            values += value
    return head + struct.pack(order + ("Q" if big else "H"), len(tags)) + entries + values


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_tags_of_every_order_and_width(order: str, big: bool) -> None:
    turned = struct.pack(order + "H", 6)
    data = written(order, big, [(256, 2, 20, b"a" * 20), (ORIENTATION, 3, 1, turned)])
    for base in (0, 5):
        tags = directory(bytes(base) + data, base)
        assert [tag[:3] for tag in tags] == [(256, 2, 20), (ORIENTATION, 3, 1)]
        assert tags[0].size == 20 and tags[1].size == 2
        assert (bytes(base) + data)[tags[0].place :] == b"a" * 20
    assert orientation(data) == 6


def test_what_cannot_be_read_has_no_tags() -> None:
    data = written("<", False, [(ORIENTATION, 3, 1, b"\x09\0")])
    assert directory(data) == [Tag(ORIENTATION, 3, 1, 18)]
    assert orientation(data) == 1  # 9 is none
    assert directory(data[:9]) == directory(b"II") == directory(b"GIF89a") == []
    assert len(directory(written("<", False, [(1, 1, 1, b"\0")] * 2000))) == MAX_TAGS + 1
