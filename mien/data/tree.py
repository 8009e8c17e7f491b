"""The files of a folder and its subfolders, before any is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from mien.data.archives import LITTER
from mien.vision.formats import is_picture_name

_MAX_LEVELS = 8  # of folders that are searched
Parts = tuple[str, ...]


@dataclass
class Tree:
    """The content of a folder and its subfolders, as sorted tuples of path parts."""

    pictures: list[Parts] = field(default_factory=list)
    others: list[Parts] = field(default_factory=list)
    folders: list[Parts] = field(default_factory=list)
    loops: list[Parts] = field(default_factory=list)


def walk(folder: Path) -> Tree:
    """The content of a folder, without hidden files and those that file managers add. Links are
    followed, except to a folder above.
    """
    tree = Tree()
    unread: list[tuple[Parts, frozenset[tuple[int, int]]]] = [((), frozenset())]
    while unread:
        parts, above = unread.pop()
        place = Path(folder, *parts)
        status = os.stat(place)
        identity = status.st_dev, status.st_ino
        if identity in above:
            tree.loops.append(parts)
            continue
        with os.scandir(place) as scan:
            for entry in scan:
                here = (*parts, entry.name)
                if _is_litter(entry.name):
                    continue
                if _is_folder(entry):
                    tree.folders.append(here)
                    unread.append((here, above | {identity}))
                elif is_picture_name(entry.name):
                    tree.pictures.append(here)
                else:
                    tree.others.append(here)
    for paths in (tree.pictures, tree.others, tree.folders, tree.loops):
        paths.sort()
    return tree


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; reading it as a picture says so
        return False


def holds_pictures(folder: Path) -> bool:
    """Whether any subfolder contains a picture; like `walk`, but stops at the first."""
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not _is_litter(name)]
        if len(Path(place).parts) > len(folder.parts) + _MAX_LEVELS:
            folders.clear()
        pictures = (name for name in names if is_picture_name(name) and not _is_litter(name))
        if Path(place) != folder and any(pictures):
            return True
    return False
