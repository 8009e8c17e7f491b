"""Files that are often taken for pictures or data, by their first bytes, and what to do."""

from __future__ import annotations

LFS = b"version https://git-lfs"
LFS_POINTER = "a pointer of Git LFS", "run git lfs pull in its folder"
_HEAD = 64  # bytes that are looked at
_KINDS = {
    LFS: LFS_POINTER,
    b"PK\x03\x04": ("a zip archive or office document", "unpack it, and name the pictures in it"),
    b"\x1f\x8b": ("a gzip archive", "unpack it, and name the pictures in it"),
    b"Rar!": ("a rar archive", "unpack it, and name the pictures in it"),
    b"7z\xbc\xaf": ("a 7z archive", "unpack it, and name the pictures in it"),
    b"%PDF": ("a PDF", "save its pages as PNG"),
    b"8BPS": ("a Photoshop file", "save it as PNG"),
    b"<svg": ("an SVG drawing", "save it as PNG"),
    b"<!doctype html": ("a web page", "download the picture itself"),
    b"<html": ("a web page", "download the picture itself"),
}


def named(data: bytes) -> tuple[str, str] | None:
    """What a file is that is no picture, and the fix; None if its first bytes do not say."""
    head = data[:_HEAD].lstrip().lower()
    for first, what_and_fix in _KINDS.items():
        if head.startswith(first.lower()):
            return what_and_fix
    return None
