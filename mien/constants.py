"""What several folders need and none owns: the side of a face, the cache folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

FACE_SIDE = 48  # pixels; FER2013's own size


def cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """$MIEN_CACHE, or the user's cache folder as the system defines it."""
    named = (os.environ if environ is None else environ).get("MIEN_CACHE")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("mien")
