"""Constants that several packages share: the side of a face, choices of options, the cache."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

FACE_SIDE = 48  # pixels; FER2013's own size
# Choices that the command line and the library share.
ON_ERROR = ("raise", "skip")
FACES = ("auto", "detect", "whole")  # mien.data.crop explains them
DETECTORS = ("auto", "yunet", "yunet-close", "mtcnn", "none")
COLUMNS = ("mien", "openface", "pyfeat")  # presets of a table's columns
FORMS = ("csv", "folder")  # file formats of drawn faces
RECIPES = ("small", "medium", "large", "champion", "everyday", "finetune")
CLASS_WEIGHTS = ("none", "sqrt", "balanced")
# Endings of file names, here so that files can be recognised without loading their readers.
ARRAY_SUFFIXES = (".npz", ".npy")
PARQUET_SUFFIXES = (".parquet", ".pq")


def cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """$MIEN_CACHE, or the user's cache folder as the system defines it.

    If that cannot be written, as in some containers, it is a temporary folder that is deleted when
    the process ends.
    """
    override = (os.environ if environ is None else environ).get("MIEN_CACHE")
    if override:
        return Path(os.path.expanduser(override))
    import platformdirs

    try:
        folder = platformdirs.user_cache_path("mien")
    except RuntimeError:  # no home folder and no entry for the user
        return _temporary()
    nearest_parent = next((path for path in (folder, *folder.parents) if path.exists()), None)
    is_writable = nearest_parent is not None and os.access(nearest_parent, os.W_OK)
    return folder if is_writable else _temporary()


@functools.cache
def _temporary() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="mien-")
    _temporary_folders.append(folder)
    return Path(folder.name)


_temporary_folders: list[tempfile.TemporaryDirectory[str]] = []  # deleted when Python exits
