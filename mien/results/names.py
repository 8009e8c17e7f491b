"""Names of output files, in the same subfolders as their sources."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from mien.errors import without_password
from mien.results.resume import shortened

STDIN = "-"
_LOGIN = re.compile(r"://[^\s/?#]*@")  # user and password in an address
_ODD = re.compile(r'[\\/:*?"<>|\0]')  # letters that names of files cannot have everywhere
# The files written about a source called `NAME`.
_COPY = re.compile(r"(.+)-marked(?:\.jpg|\.mp4|\.part\.mp4)", re.DOTALL)
_HEATMAP = re.compile(r"(.+)-face[0-9]+\.png", re.DOTALL)
_TIMELINE = re.compile(r"(.+)_persons/(?:person-[0-9]+|overview)\.png", re.DOTALL)


def output_names(sources: Sequence[str], relative: Mapping[str, str]) -> dict[str, str]:
    """Name the output files of each source, without an ending.

    A source keeps its own name, with a number if another has the same, and with its folders
    (`a/b/name`) if it was found by searching a folder. A very long name is cut to leave room for
    endings.

    Args:
        sources: Paths, addresses, cameras, `-`.
        below: Source -> its path relative to the folder that was searched, if any.

    Returns:
        Source -> name.
    """
    names: dict[str, str] = {}
    used_names: set[str] = set()
    for source in sources:
        plain = _LOGIN.sub("://", without_password(source))
        *folders, stem = _path_parts(relative.get(source, ""), plain)
        name, number = "/".join([*map(shortened, folders), shortened(stem)]), 1
        while name.lower() in used_names:
            number += 1
            name = "/".join([*map(shortened, folders), shortened(f"{stem}-{number}")])
        used_names.add(name.lower())
        names[source] = name
    return names


def _path_parts(relative: str, source: str) -> list[str]:
    if relative:
        path = PurePath(relative)
        return [*(part for part in path.parts[:-1] if part not in ("..", "/", "\\")), path.stem]
    if source == STDIN:
        return ["stdin"]
    if source[:5].lower() == "data:":
        return ["data"]
    if source[:8].lower().startswith(("http://", "https://")):
        parts = urllib.parse.urlsplit(source)
        stem = PurePath(urllib.parse.unquote(parts.path)).stem or parts.netloc
        return [_ODD.sub("-", stem) or "address"]
    if "://" in source:
        return [_ODD.sub("-", Path(source.partition("?")[0].replace("://", "-")).stem)]
    return [Path(source.replace(":", "-")).stem]


def earlier_outputs(
    names: Mapping[str, str], videos: Iterable[str], folders: Sequence[Path]
) -> dict[str, None]:
    """The sources that an earlier run wrote, which must not be analysed.

    They lie in a folder that this run writes to, and are named like an output file of one of its
    sources.
    """
    output_folders = {folder.resolve() for folder in folders}
    video_sources = set(videos)
    # Names without folders, since folders depend on which sources were passed.
    video_names = {
        name.rpartition("/")[2] for source, name in names.items() if source in video_sources
    }
    picture_names = {
        name.rpartition("/")[2] for source, name in names.items() if source not in video_sources
    }
    kinds = (
        (_COPY, video_names | picture_names),
        (_HEATMAP, picture_names),
        (_TIMELINE, video_names),
    )
    outputs: dict[str, None] = {}
    for source in names if output_folders else ():
        path = Path(source).resolve() if source != STDIN and "://" not in source else None
        for folder in output_folders.intersection(path.parents) if path is not None else ():
            assert path is not None  # noqa: S101 - for the type checker
            name = path.relative_to(folder).as_posix()
            if any(
                (match := pattern.fullmatch(name)) and match[1].rpartition("/")[2] in source_names
                for pattern, source_names in kinds
            ):
                outputs[source] = None
    return outputs
