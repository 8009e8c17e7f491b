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

    def visit(place: Path, parts: Parts, above: frozenset[str]) -> None:
        real = os.path.realpath(place)
        if real in above:
            tree.loops.append(parts)
            return
        with os.scandir(place) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in LITTER:
                continue
            here = (*parts, entry.name)
            if _is_folder(entry):
                tree.folders.append(here)
                visit(place / entry.name, here, above | {real})
            elif is_picture_name(entry.name):
                tree.pictures.append(here)
            else:
                tree.others.append(here)

    visit(folder, (), frozenset())
    for paths in (tree.pictures, tree.others, tree.folders):
        paths.sort()
    return tree


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; reading it as a picture says so
        return False


def holds_pictures(folder: Path) -> bool:
    """Whether any subfolder contains a picture."""
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if len(Path(place).parts) > len(folder.parts) + _MAX_LEVELS:
            folders.clear()
        if Path(place) != folder and any(map(is_picture_name, names)):
            return True
    return False
