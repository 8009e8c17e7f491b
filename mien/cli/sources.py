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
    """The pictures, videos, addresses and cameras that arguments name, each once.

    Args:
        paths: Files, folders (searched with all their subfolders), patterns, addresses, cameras.
        say: Receives sentences for the user.

    Returns:
        Source -> its path relative to the folder that was searched, or to the fixed part of a
        pattern, with the folder's name if there are several; '' for other arguments.

    Raises:
        UsageError: if there is no picture and no video.
    """
    from mien.video.frames import is_video

    sources: dict[str, str] = {}
    num_folders = sum(path != STDIN and not is_address(path) and _is_many(path) for path in paths)
    empty = []
    for path in paths:
        if path == STDIN or is_address(path) or is_video(path) or _is_file(path):
            sources.setdefault(path, "")
        elif Path(path).is_dir() or glob.has_magic(path):
            files = (
                _files_in(path, say)
                if Path(path).is_dir()
                else sorted(glob.glob(path, recursive=True))
            )
            media = [file for file in files if is_picture_name(file) or is_video(file)]
            if not media:
                rest = f", only {counted(len(files), 'other file')}" if files else ""
                empty.append(f"no picture and no video in {path}{rest}")
            elif len(files) > len(media):
                say(
                    f"{path}: left out {counted(len(files) - len(media), 'file')} without the "
                    "name of a picture or video"
                )
            root = _root(path)
            prefix = os.path.basename(os.path.abspath(root)) if num_folders > 1 else ""
            for file in media:
                sources.setdefault(file, os.path.join(prefix, os.path.relpath(file, root)))
        else:
            sources.setdefault(path, "")  # its row will report that there is no such file
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


def _root(path: str) -> str:
    """A folder itself, or the part of a pattern before its first variable folder."""
    if os.path.isdir(path):
        return path
    parts = Path(path).parts[:-1]
    fixed_parts = list(itertools.takewhile(lambda part: not glob.has_magic(part), parts))
    return os.path.join(*fixed_parts) if fixed_parts else "."


def _files_in(folder: str, say: Say) -> list[str]:
    """All files in a folder and its subfolders, sorted.

    Links to folders are followed, but each folder is searched once. Unreadable folders are
    reported.
    """
    files: list[str] = []
    visited: set[str] = set()

    def unreadable(error: OSError) -> None:
        say(f"{error.filename}: cannot be read ({error.strerror}); its content is left out")

    for directory, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        real_path = os.path.realpath(directory)
        if real_path in visited:
            say(f"{directory}: left out, a link to a folder that was already searched")
            folders.clear()
            continue
        visited.add(real_path)
        folders.sort()
        files += [os.path.join(directory, name) for name in names]
    return sorted(files)
