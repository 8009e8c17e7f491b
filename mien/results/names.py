"""Names of output files, in the same subfolders as their sources."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from mien.results.resume import fitting

STDIN = "-"
# The files written about a source called `NAME`.
_COPY = re.compile(r"(.+)-marked(?:\.jpg|\.mp4|\.part\.mp4)", re.DOTALL)
_MAP = re.compile(r"(.+)-face[0-9]+\.png", re.DOTALL)
_TIMELINE = re.compile(r"(.+)_persons/(?:person-[0-9]+|overview)\.png", re.DOTALL)


def output_names(sources: Sequence[str], below: Mapping[str, str]) -> dict[str, str]:
    """A name without an ending for the output files of each source: its own name, numbered if two
    are the same, with folders (`a/b/name`) if it was found in a given folder.

    A very long name is cut, so that there is room for endings.

    Args:
        sources: Paths, addresses, cameras, `-`.
        below: The path of a source below the given folder, if there is one.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for source in sources:
        *folders, last = _plain(below.get(source, ""), source)
        name, number = "/".join([*map(fitting, folders), fitting(last)]), 1
        while name.lower() in taken:
            number += 1
            name = "/".join([*map(fitting, folders), fitting(f"{last}-{number}")])
        taken.add(name.lower())
        names[source] = name
    return names


def _plain(below: str, source: str) -> list[str]:
    if below:
        path = PurePath(below)
        return [*(part for part in path.parts[:-1] if part not in ("..", "/", "\\")), path.stem]
    if source == STDIN:
        return ["stdin"]
    if source[:5].lower() == "data:":
        return ["data"]
    if source[:8].lower().startswith(("http://", "https://")):
        parts = urllib.parse.urlsplit(source)
        stem = PurePath(urllib.parse.unquote(parts.path)).stem or parts.netloc
        return [re.sub(r'[\\/:*?"<>|\0]', "-", stem) or "address"]
    return [Path(source.replace("://", "-").replace(":", "-")).stem]


def written_by_us(
    names: Mapping[str, str], videos: Iterable[str], folders: Sequence[Path]
) -> dict[str, None]:
    """The sources that an earlier run wrote, which must not be analysed as the user's own.

    They lie where this run writes to, and have the name of an output file of one of its sources.
    """
    places = {folder.resolve() for folder in folders}
    films = set(videos)
    # Without their folders, which depend on the other sources.
    about_films = {name.rpartition("/")[2] for one, name in names.items() if one in films}
    about_pictures = {name.rpartition("/")[2] for one, name in names.items() if one not in films}
    about = (
        (_COPY, about_films | about_pictures),
        (_MAP, about_pictures),
        (_TIMELINE, about_films),
    )
    ours: dict[str, None] = {}
    for source in names if places else ():
        path = Path(source).resolve() if source != STDIN and "://" not in source else None
        for place in places.intersection(path.parents) if path is not None else ():
            assert path is not None  # noqa: S101 - for the type checker
            name = path.relative_to(place).as_posix()
            if any(
                (match := pattern.fullmatch(name)) and match[1].rpartition("/")[2] in known
                for pattern, known in about
            ):
                ours[source] = None
    return ours
