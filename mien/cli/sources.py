"""Find the pictures, videos and cameras that the arguments of `mien predict` name."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mien.errors import UsageError, counted
from mien.results.names import STDIN
from mien.vision.addresses import is_address
from mien.vision.formats import is_picture_name

Say = Callable[[str], None]


def collect(paths: Sequence[str], *, say: Say) -> dict[str, str]:
    """The pictures, videos, addresses and cameras that arguments name, each once: files, folders
    with all below them, patterns.

    Returns:
        Each source with its path below the folder that was given (or from which a pattern begins
        to vary), '' where none was; with the folder's name where several were given.

    Raises:
        UsageError: for a folder or pattern that holds no picture and no video.
    """
    from mien.video.frames import is_video

    sources: dict[str, str] = {}
    num_folders = sum(
        given != STDIN and not is_address(given) and _is_many(given) for given in paths
    )
    empty = []
    for given in paths:
        if given == STDIN or is_address(given) or is_video(given) or _is_file(given):
            sources.setdefault(given, "")
        elif Path(given).is_dir() or glob.has_magic(given):
            files = (
                _below(given, say)
                if Path(given).is_dir()
                else sorted(glob.glob(given, recursive=True))
            )
            wanted = [one for one in files if is_picture_name(one) or is_video(one)]
            if not wanted:
                other = f", only {counted(len(files), 'other file')}" if files else ""
                empty.append(f"no picture and no video in {given}{other}")
            elif len(files) > len(wanted):
                say(
                    f"{given}: left out {counted(len(files) - len(wanted), 'file')} without the "
                    "name of a picture or video"
                )
            root = _root(given)
            inside = os.path.basename(os.path.abspath(root)) if num_folders > 1 else ""
            for one in wanted:
                sources.setdefault(one, os.path.join(inside, os.path.relpath(one, root)))
        else:
            sources.setdefault(given, "")  # its row will say that there is no such file
    if not sources:
        got = "; ".join(empty) or "no source"
        raise UsageError(
            f"predict: got {got}; expected at least one picture or video. Fix: name another file, "
            "folder or pattern"
        )
    for sentence in empty:
        say(sentence)
    return sources


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def _is_many(path: str) -> bool:
    return not _is_file(path) and (os.path.isdir(path) or glob.has_magic(path))


def _root(given: str) -> str:
    """The folder, or of a pattern the part before the first folder that varies."""
    if os.path.isdir(given):
        return given
    parts = Path(given).parts[:-1]
    plain = list(itertools.takewhile(lambda part: not glob.has_magic(part), parts))
    return os.path.join(*plain) if plain else "."


def _below(folder: str, say: Say) -> list[str]:
    """All files below a folder, sorted; links to folders are followed, each folder once, and
    folders that cannot be read are told.
    """
    files: list[str] = []
    seen: set[str] = set()

    def unreadable(error: OSError) -> None:
        say(f"{error.filename}: cannot be read ({error.strerror}); its content is left out")

    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            say(f"{place}: left out, a link to a folder that was already searched")
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        files += [os.path.join(place, name) for name in names]
    return sorted(files)
