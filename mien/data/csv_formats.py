"""The csv formats of FER2013: which files belong together, and how they are compressed.

    fer2013.csv            emotion,pixels,Usage         in the archive of the competition
    icml_face_data.csv     emotion, Usage, pixels       the same rows; two column names begin with a
                                                        space
    train.csv, test.csv    emotion,pixels and pixels    the competition's own; the test rows have no
                                                        label

Each may be plain, .gz, .bz2 or .xz, or inside a zip or tar. Columns are found by name, in any
order (`mien.data.csv_header`).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mien.data.archives import DAMAGE, Member, is_archive, members
from mien.data.csv_header import LONGEST, Header, read_header
from mien.data.encodings import as_utf8, is_separator_line
from mien.errors import DataError
from mien.vision.foreign import LFS, LFS_POINTER
from mien.vision.formats import is_picture_name

NAMES = ("fer2013.csv", "icml_face_data.csv")
PAIR = ("train.csv", "val.csv", "valid.csv", "validation.csv", "test.csv")
SUFFIXES = ("", ".gz", ".zip", ".bz2", ".xz", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_PACKED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
ALLOWED = (
    "one of the forms "
    + ", ".join((*NAMES, "train.csv + test.csv"))
    + ", plain, .gz, or in a zip or tar"
)


def plain_name(path: str | os.PathLike[str]) -> str:
    """`Train.CSV.gz` -> `train.csv`."""
    name = os.path.basename(os.fspath(path)).lower()
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if suffix and name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def companions(path: Path) -> list[Path]:
    """The csv files that belong together: `train.csv`, `val.csv` and `test.csv`, or else the file
    itself.
    """
    if plain_name(path) not in PAIR:
        return [path]
    beside = {
        entry.name.lower(): entry for entry in sorted(path.parent.iterdir()) if entry.is_file()
    }
    files = []
    for name in PAIR:
        if name == plain_name(path):
            files.append(path)
        else:
            files += [beside[name + suffix] for suffix in SUFFIXES if name + suffix in beside][:1]
    return files


def peek(path: Path) -> Header:
    """Read only the header of a csv file, .gz or .zip; raises DataError if it is not FER2013's."""
    first = next(streams(path), None)
    if first is None:
        with members(path) as listing:
            raise nothing_inside(path, listing)
    name, stream = first
    with stream, damage(os.fspath(path)):
        line, _ = first_line(stream)
        return read_header(line, os.fspath(path), name or path.name, ALLOWED)


def first_line(stream: IO[bytes]) -> tuple[bytes, int]:
    """The line of column names, and its number: 2 below a spreadsheet's `sep=;`."""
    line = stream.readline(LONGEST)
    return (stream.readline(LONGEST), 2) if is_separator_line(line) else (line, 1)


@contextmanager
def damage(where: str) -> Iterator[None]:
    """Turn errors of decompressors and of the disk into a DataError."""
    try:
        yield
    except (*DAMAGE, gzip.BadGzipFile) as error:
        raise DataError(
            where,
            got=f"a damaged or cut-off archive ({error})",
            expected="a whole .gz, zip or tar",
            fix="copy or download the file again",
        ) from error
    except OSError as error:
        raise DataError(
            where,
            got=f"a file that cannot be read ({error.strerror or error})",
            expected=ALLOWED,
            fix="check that the file exists and that you may read it",
        ) from error


def streams(path: Path) -> Iterator[tuple[str | None, IO[bytes]]]:
    """The csv streams in a file, recognised by content: (name in the archive or None, stream)."""
    with damage(os.fspath(path)):
        with open(path, "rb") as file:
            magic = file.read(len(LFS))
        if magic == LFS:
            got, fix = LFS_POINTER
            raise DataError(path, got=got, expected=ALLOWED, fix=fix)
        if is_archive(path):
            with members(path) as listing:
                for member in csv_members(listing):
                    yield member.name, as_utf8(member.open())
        else:
            opener = next((o for m, o in _PACKED.items() if magic.startswith(m)), open)
            yield None, as_utf8(opener(path, "rb"))


def csv_members(listing: list[Member]) -> list[Member]:
    """The csv files of FER2013 in an archive: by name, or the only csv if there are no pictures."""
    inside = {
        plain_name(member.name): member
        for member in listing
        if member.name.lower().endswith(".csv")
    }
    for names in (*((name,) for name in NAMES), PAIR):
        if chosen := [inside[name] for name in names if name in inside]:
            return chosen
    alone = len(inside) == 1 and not any(is_picture_name(member.name) for member in listing)
    return list(inside.values()) if alone else []


def nothing_inside(path: Path, listing: list[Member]) -> DataError:
    """The error for an archive without data."""
    names = ", ".join(member.name for member in listing[:5]) or "nothing"
    return DataError(
        path,
        got=f"an archive that holds {names}" + (", ..." if len(listing) > 5 else ""),
        expected="fer2013.csv, icml_face_data.csv, train.csv and test.csv, a single csv, or "
        "pictures as label/picture",
        fix="unpack it and name the csv file or the folder of pictures inside",
    )
