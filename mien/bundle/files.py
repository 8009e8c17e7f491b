"""The three files of a bundle as bytes, read from a folder or a zip, and the arrays of its npz.

A zip may come from anywhere: nothing is unpacked to disk, no link or device is followed, and
nothing is read beyond its limit. What the bytes mean is checked in `mien.bundle.schema`.
"""

from __future__ import annotations

import io
import math
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np

from mien.errors import BundleError

FACTS, MODEL, GOLDEN = "bundle.json", "model.onnx", "golden.npz"
# The most bytes that each may have.
MAX_BYTES = {FACTS: 1 << 20, MODEL: 64 << 20, GOLDEN: 4 << 20}
MAX_ARRAYS = 9
_SLACK = 4096  # of a zip beyond its files: headers and directory of three entries
_NPY_HEADER = re.compile(
    rb"\{'descr': '([^']{2,4})', 'fortran_order': False, 'shape': \(([0-9, ]{1,80})\), \} *\n"
)
# What zipfile raises for damaged files, by experiment (tests/bundle/test_schema.py).
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    OSError,
)


def refuse_others(where: Path, names: list[str]) -> None:
    # Files of the desktop (.DS_Store) are not read, as nothing but the three is.
    others = sorted(name for name in names if name not in MAX_BYTES and not name.startswith("."))
    if others:
        raise BundleError(
            where,
            "files",
            got=f"the file {others[0][:80]!r}",
            expected=f"only {', '.join(MAX_BYTES)}",
            fix="move other files out of the folder",
        )


def refuse_foreign(target: Path) -> None:
    """Refuse to write a bundle over anything but a bundle, which may be a damaged one.

    Raises:
        BundleError: naming what is there.
    """

    def refuse(got: str) -> NoReturn:
        expected = "a new name, or a bundle to replace"
        raise BundleError(target, "path", got=got, expected=expected, fix="name another place")

    if not target.name:
        refuse("no name")
    if target.is_dir():
        others = sorted(set(os.listdir(target)) - {*MAX_BYTES, ".DS_Store"})
        if others or target.suffix == ".zip":
            refuse(f"a folder with {others[0][:80]!r} in it" if others else "a folder")
    elif os.path.lexists(target):
        try:
            with zipfile.ZipFile(target) as archive:
                known = FACTS in archive.namelist()
        except (OSError, *_ZIP_ERRORS):
            known = False
        if not known or target.suffix != ".zip":
            refuse("a file that is not a bundle")


def put(made: Path, target: Path) -> None:
    """Rename the new bundle to the target; an old one there is deleted only afterwards.

    A folder cannot be replaced in one step. If the process is killed between the two steps, the old
    folder remains beside it as `.*.old`.

    Raises:
        OSError: if that fails; the old bundle is then still there.
    """
    if not target.is_dir():
        os.replace(made, target)
        return
    old = made.with_name(f"{made.name}.old")
    try:
        os.rename(target, old)
        os.rename(made, target)
    finally:
        if os.path.lexists(old) and not os.path.lexists(target):
            os.rename(old, target)
        elif old.is_symlink():
            old.unlink()
        else:
            shutil.rmtree(old, ignore_errors=True)


def read_folder(where: Path, *, links: bool = False) -> dict[str, bytes]:
    names = os.listdir(where)
    if "run.json" in names:
        raise BundleError(
            where,
            "files",
            got="a run folder",
            expected="a bundle",
            fix=f"export it first: mien export {where} NAME.zip --data DATA",
        )
    if not MAX_BYTES.keys() & set(names):
        raise BundleError(
            where,
            "files",
            got="a folder with none of a bundle's",
            expected=f"{', '.join(MAX_BYTES)}",
        )
    refuse_others(where, names)
    return {name: _read_file(where, name, MAX_BYTES[name], links=links) for name in MAX_BYTES}


def _read_file(where: Path, name: str, limit: int, *, links: bool) -> bytes:
    """The bytes of a regular file of at most `limit` bytes; links and devices are refused."""
    path = where / name if name else where
    what = name or "path"
    try:
        if not links and stat.S_ISLNK(os.lstat(path).st_mode):
            raise BundleError(
                where, what, got="a link", expected="a file", fix="put the file itself there"
            )
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        if not links:
            flags |= getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(path, flags), "rb") as file:
            known = os.fstat(file.fileno())
            if not stat.S_ISREG(known.st_mode):
                raise BundleError(
                    where, what, got="something that is not a regular file", expected="a file"
                )
            if known.st_size > limit:
                raise BundleError(
                    where, what, got=f"{known.st_size} bytes", expected=f"at most {limit}"
                )
            return file.read(known.st_size)
    except FileNotFoundError as error:
        raise BundleError(
            where, what, got="nothing: no such file", expected=f"the files {', '.join(MAX_BYTES)}"
        ) from error
    except OSError as error:
        raise BundleError(
            where, what, got=f"an error ({error.strerror})", expected="a file to read"
        ) from error


def read_zip(where: Path) -> dict[str, bytes]:
    """The files of a folder or zip as bytes; nothing is unpacked to disk."""
    data = _read_file(where, "", sum(MAX_BYTES.values()) + _SLACK, links=True)

    def refuse(got: str, expected: str) -> NoReturn:
        raise BundleError(where, "zip", got=got, expected=expected)

    # The end record, checked before zipfile believes its counts: a directory of a million entries
    # is refused unread.
    end = data[-22:]
    if len(end) < 22 or end[:4] != b"PK\x05\x06" or end[20:] != b"\0\0":
        refuse("a file that does not end as a zip does", "a whole zip written by mien export")
    if data[-42:-38] == b"PK\x06\x07" or int.from_bytes(end[10:12], "little") > len(MAX_BYTES):
        refuse(f"{int.from_bytes(end[10:12], 'little')} entries", f"only {', '.join(MAX_BYTES)}")
    if int.from_bytes(end[12:16], "little") > _SLACK:
        refuse("a long directory", "three entries")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            for entry in entries:
                if entry.filename not in MAX_BYTES:
                    refuse(f"the entry {entry.filename[:80]!r}", f"only {', '.join(MAX_BYTES)}")
                if entry.file_size > MAX_BYTES[entry.filename]:
                    refuse(
                        f"{entry.filename} of {entry.file_size} bytes",
                        f"at most {MAX_BYTES[entry.filename]}",
                    )
                if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
                    refuse(f"{entry.filename} as a link or folder", "a file")
            names = [entry.filename for entry in entries]
            if sorted(names) != sorted(MAX_BYTES):
                refuse(f"the entries {names}", f"each once of {', '.join(MAX_BYTES)}")
            return {entry.filename: _unpack(archive, entry) for entry in entries}
    except _ZIP_ERRORS as error:
        raise BundleError(
            where, "zip", got=f"a damaged one ({error})", expected="a whole zip"
        ) from error


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{entry.filename[:80]} is encrypted or not packed by deflate")
    with archive.open(entry) as file:
        # With a size zipfile unpacks so much and no more; without one it unpacks all that a bomb
        # holds, then cuts.
        data = file.read(entry.file_size)
    if len(data) != entry.file_size:
        raise zipfile.BadZipFile(f"{entry.filename[:80]} ends early")
    return data


def read_npz(where: Path, data: bytes) -> dict[str, np.ndarray]:
    """The arrays of an npz: uint8 and float32 only, so there is nothing to unpickle.

    numpy's own reader allocates memory for whatever shape a header declares; this one checks the
    bytes first.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if (
                len(entries) > MAX_ARRAYS
                or sum(entry.file_size for entry in entries) > MAX_BYTES[GOLDEN]
            ):
                raise BundleError(
                    where, GOLDEN, got="too many or too large arrays", expected="a few small ones"
                )
            for entry in entries:
                arrays[entry.filename.removesuffix(".npy")] = _read_npy(_unpack(archive, entry))
    except _ZIP_ERRORS as error:
        raise BundleError(
            where, GOLDEN, got=f"a damaged one ({error})", expected="arrays as numpy saves them"
        ) from error
    return arrays


def _read_npy(data: bytes) -> np.ndarray:
    """One array in numpy's format, version 1.0:
    https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    end = 10 + int.from_bytes(data[8:10], "little")
    header = _NPY_HEADER.fullmatch(data[10:end])
    if data[:8] != b"\x93NUMPY\x01\x00" or header is None or header[1] not in (b"|u1", b"<f4"):
        raise ValueError("an array that is not uint8 or float32 in C order")
    shape = tuple(int(size) for size in header[2].split(b",") if size.strip())
    dtype = np.dtype(header[1].decode())
    if math.prod(shape) * dtype.itemsize != len(data) - end:
        raise ValueError(f"an array of {len(data) - end} bytes whose header says {shape}")
    return (
        np.frombuffer(data, dtype, offset=end)
        .reshape(shape)
        .astype(dtype.newbyteorder("="), copy=False)
    )


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    parts = {}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        np.lib.format.write_array(buffer, little, version=(1, 0), allow_pickle=False)
        parts[f"{name}.npy"] = buffer.getvalue()
    return zip_bytes(parts)


def zip_bytes(contents: Mapping[str, bytes]) -> bytes:
    """The zip of these files: equal for equal contents, since the entries have no time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data, compress_type=zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
