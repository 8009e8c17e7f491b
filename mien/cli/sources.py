"""Find the pictures, videos and cameras that the arguments of `mien predict` name."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mien.errors import UsageError
from mien.predict import STDIN, counted
from mien.vision.formats import is_picture_name

Say = Callable[[str], None]


def collect(paths: Sequence[str], *, say: Say) -> list[str]:
    """The pictures, videos and cameras that arguments name, each once: files, folders with all
    below them, patterns.

    Raises:
        UsageError: for a folder or pattern that holds no picture and no video.
    """
    from mien.video.frames import is_video

    sources: dict[str, None] = {}
    for given in paths:
        if given == STDIN or is_video(given) or Path(given).is_file():
            sources[given] = None
        elif Path(given).is_dir() or glob.has_magic(given):
            files = (
                _below(given, say)
                if Path(given).is_dir()
                else sorted(glob.glob(given, recursive=True))
            )
            wanted = [one for one in files if is_picture_name(one) or is_video(one)]
            if not wanted:
                say(f"{given}: holds no picture and no video; {counted(len(files), 'other file')}")
            elif len(files) > len(wanted):
                say(
                    f"{given}: left out {counted(len(files) - len(wanted), 'file')}, by name neither picture nor video"
                )
            sources |= dict.fromkeys(wanted)
        else:
            sources[given] = None  # its row will say that there is no such file
    if not sources:
        raise UsageError(
            f"{', '.join(paths)}: came no picture and no video; expected at least one. "
            "To mend: name another file, folder or pattern"
        )
    return list(sources)


def _below(folder: str, say: Say) -> list[str]:
    """All files below a folder, sorted; links to folders are followed, each folder once, and
    folders that cannot be read are told.
    """
    files: list[str] = []
    seen: set[str] = set()

    def unreadable(error: OSError) -> None:
        say(f"{error.filename}: cannot be read ({error.strerror}); what is in it is left out")

    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            say(f"{place}: a link to a folder that was looked at already; left out")
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        files += [os.path.join(place, name) for name in names]
    return sorted(files)
