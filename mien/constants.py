"""Constants that several parts share: the side of a face, choices of options, the cache folder."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

FACE_SIDE = 48  # pixels; FER2013's own size
# Words that the command line and the library share.
ON_ERROR = ("raise", "skip")
FACES = ("auto", "detect", "whole")  # mien.data.crop says what each does
DETECTORS = ("auto", "yunet", "yunet-close", "mtcnn", "none")
COLUMNS = ("mien", "openface", "pyfeat")  # names of a table's columns
FORMS = ("csv", "folder")  # of drawn faces
RECIPES = ("small", "medium", "large", "champion", "robust", "swa", "everyday", "finetune")
CLASS_WEIGHTS = ("none", "sqrt", "balanced")
# Ends of names, here so that a name can be told without loading the readers.
ARRAY_SUFFIXES = (".npz", ".npy")
PARQUET_SUFFIXES = (".parquet", ".pq")


def cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """$MIEN_CACHE, or the user's cache folder as the system defines it.

    Without a writable home folder, as in a container, it is a temporary folder that is deleted when
    the process ends.
    """
    named = (os.environ if environ is None else environ).get("MIEN_CACHE")
    if named:
        return Path(os.path.expanduser(named))
    import platformdirs

    try:
        folder = platformdirs.user_cache_path("mien")
    except RuntimeError:  # no home folder and no entry for the user
        return _temporary()
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    is_writable = existing is not None and os.access(existing, os.W_OK)
    return folder if is_writable else _temporary()


@functools.cache
def _temporary() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="mien-")
    _kept.append(folder)
    return Path(folder.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []  # deleted when Python exits
