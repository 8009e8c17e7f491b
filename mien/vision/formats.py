"""Names of picture files, one list for training and for use.

What a file really is decides its content, when it is decoded; a name only tells pictures from what
lies beside them.
"""

from __future__ import annotations

import os

PICTURE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"),
        *(".gif", ".pgm", ".ppm", ".pbm", ".pnm", ".apng", ".avif", ".avifs", ".heic", ".heif"),
        ".hif",
    )
)


def is_picture_name(name: str) -> bool:
    """Whether a path ends as a picture's does."""
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES
