"""The csv forms of FER2013: which files belong together, how they are packed, what their header
says.

    fer2013.csv          emotion,pixels,Usage          the archive of the competition
    icml_face_data.csv   emotion, Usage, pixels        the same rows; two column names begin with a
    blank train.csv, test.csv  emotion,pixels and pixels     the competition's own; the test rows
    carry no label

each plain, as .gz or inside a .zip. Columns are found by name, in any order.
"""

from __future__ import annotations

import csv
import gzip
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from mien.data.dataset import SPLITS
from mien.errors import DataError

NAMES = ("fer2013.csv", "icml_face_data.csv")
PAIR = ("train.csv", "test.csv")
SUFFIXES = ("", ".gz", ".zip")
ALLOWED = "one of the forms " + ", ".join((*NAMES, "train.csv + test.csv")) + ", plain, .gz or .zip"
LONGEST = 1 << 20  # bytes in a line; a FER2013 line has at most 9,230


@dataclass(frozen=True)
class Header:
    """Where the columns of one csv file are, and what its rows mean.

    Attributes:
        width: Number of columns.
        pixels, emotion, usage: Column positions; None where the file has no such column.
        split: Position in `SPLITS` of every row when there is no Usage column.
    """

    width: int
    pixels: int
    emotion: int | None
    usage: int | None
    split: int
    notes: tuple[str, ...] = ()


def plain_name(path: str | os.PathLike[str]) -> str:
    """`Train.CSV.gz` -> `train.csv`."""
    name = os.path.basename(os.fspath(path)).lower()
    return name.removesuffix(".gz").removesuffix(".zip")


def companions(path: Path) -> list[Path]:
    """The csv files that belong together: `train.csv` and `test.csv` side by side, else the file
    itself.
    """
    if plain_name(path) not in PAIR:
        return [path]
    beside = {
        entry.name.lower(): entry for entry in sorted(path.parent.iterdir()) if entry.is_file()
    }
    found = []
    for name in PAIR:
        if name == plain_name(path):
            found.append(path)
        else:
            found += [beside[name + suffix] for suffix in SUFFIXES if name + suffix in beside][:1]
    return found


def peek(path: Path) -> Header:
    """The header of a csv file, .gz or .zip, with nothing else read; raises DataError where it is
    not FER2013's.
    """
    name, stream = next(streams(path))
    with stream, damage(os.fspath(path)):
        return read_header(stream.readline(LONGEST), os.fspath(path), name or path.name)


@contextmanager
def damage(where: str) -> Iterator[None]:
    """Turn what the decompressors and the disk raise into DataError."""
    try:
        yield
    except (
        EOFError,
        zlib.error,
        gzip.BadGzipFile,
        zipfile.BadZipFile,
        NotImplementedError,
    ) as error:
        raise DataError(
            where,
            came=f"a damaged or cut-off archive ({error})",
            expected="a whole .gz or .zip file",
            mend="copy or download the file again",
        ) from error
    except OSError as error:
        raise DataError(
            where,
            came=f"a file that cannot be read ({error.strerror or error})",
            expected=ALLOWED,
            mend="check that the file exists and that you may read it",
        ) from error


def streams(path: Path) -> Iterator[tuple[str | None, IO[bytes]]]:
    """The csv streams in a file: (name inside the archive or None, stream). Told by content, not by
    file name.
    """
    with damage(os.fspath(path)):
        with open(path, "rb") as file:
            magic = file.read(4)
        if magic[:2] == b"\x1f\x8b":
            yield None, cast(IO[bytes], gzip.open(path, "rb"))
        elif magic[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            with zipfile.ZipFile(path) as archive:
                for member in _members(archive, path):
                    yield member.filename, archive.open(member)
        else:
            yield None, open(path, "rb")


def _members(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    inside = {
        plain_name(info.filename): info
        for info in archive.infolist()
        if info.filename.lower().endswith(".csv")
        and not info.filename.startswith(("__MACOSX", "."))
    }
    chosen = [inside[name] for name in NAMES if name in inside][:1]
    chosen = chosen or [inside[name] for name in PAIR if name in inside]
    if not chosen and len(inside) == 1:
        chosen = list(inside.values())
    if not chosen:
        listing = ", ".join(info.filename for info in archive.infolist()[:5]) or "nothing"
        raise DataError(
            path,
            came=f"a zip that holds {listing}" + (", ..." if len(archive.infolist()) > 5 else ""),
            expected="a zip with fer2013.csv, icml_face_data.csv, train.csv and test.csv, or a single csv",
            mend="unpack it and name the folder of pictures or the csv file inside",
        )
    if any(info.flag_bits & 1 for info in chosen):
        raise DataError(
            path, came="an encrypted zip", expected="a zip without password", mend="unpack it first"
        )
    return chosen


def read_header(line: bytes, where: str, name: str) -> Header:
    notes = []
    if line.startswith(b"\xef\xbb\xbf"):
        line = line[3:]
        notes.append(f"{Path(name).name} begins with a byte order mark, which was ignored.")
    if not line.strip():
        raise DataError(
            where,
            came="an empty file",
            expected="a header with the columns emotion, pixels, Usage",
            mend=f"name {ALLOWED}",
        )
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            where,
            row=1,
            came=f"bytes that are not UTF-8 text (0x{line[error.start]:02x} at byte {error.start + 1})",
            expected="a csv file in UTF-8",
            mend=f"save it as UTF-8, or name {ALLOWED}",
        ) from error
    if len(line) >= LONGEST:
        raise DataError(
            where,
            row=1,
            came="no line end in the first megabyte",
            expected="a header line",
            mend=f"name {ALLOWED}",
        )
    given = next(csv.reader([text]))
    shown = ", ".join(repr(column.strip()) for column in given[:6]) + (
        ", ..." if len(given) > 6 else ""
    )
    columns = [column.strip().lower() for column in given]
    stem = plain_name(name).removesuffix(".csv")
    split = {"train": "training", "test": "test"}.get(stem)
    needed = ["pixels"]
    needed += ["usage"] if split is None else []
    needed += ["emotion"] if stem != "test" or "usage" in columns else []
    for column in needed:
        if column not in columns:
            raise DataError(
                where,
                row=1,
                came=f"the columns {shown[:300]}",
                expected=f"a column {column.replace('usage', 'Usage')!r} (of emotion, pixels, Usage; in any order)",
                mend="write the column names in the first line, parted by commas; "
                "only files called train.csv and test.csv may go without Usage",
            )
    for column in ("pixels", "emotion", "usage"):
        if columns.count(column) > 1:
            raise DataError(
                where,
                row=1,
                came=f"the column {column!r} twice",
                expected="each column once",
                mend="remove one",
            )
    place = {column: index for index, column in enumerate(columns)}
    return Header(
        len(columns),
        place["pixels"],
        place.get("emotion"),
        place.get("usage"),
        SPLITS.index(split or "training"),
        tuple(notes),
    )
