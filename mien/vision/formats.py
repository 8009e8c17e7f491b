"""Names of picture files, for training and for recognition.

Names only tell pictures from other files; the content decides the format.
"""

from __future__ import annotations

import os

PICTURE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"),
        *(".gif", ".pgm", ".ppm", ".pbm", ".pnm", ".apng", ".avif", ".avifs", ".heic", ".heif"),
        ".hif",
        ".mpo",
    )
)


def is_picture_name(name: str) -> bool:
    """Whether a path has the suffix of a picture."""
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES
