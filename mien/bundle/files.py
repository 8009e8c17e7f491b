"""The three files of a bundle as bytes, read from a folder or a zip, and the arrays of its npz.

A zip may come from anywhere, so nothing is unpacked to disk, no link or device is followed, and no
file is read beyond its size limit. `mien.bundle.schema` checks what the bytes mean.
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
# Size limit of each file in bytes.
MAX_BYTES = {FACTS: 1 << 20, MODEL: 64 << 20, GOLDEN: 4 << 20}
MAX_ARRAYS = 9
_ZIP_OVERHEAD = 4096  # bytes of headers and directory, which three entries never exceed
_NPY_HEADER = re.compile(
    rb"\{'descr': '([^']{2,4})', 'fortran_order': False, 'shape': \(([0-9, ]{1,80})\), \} *\n"
)
# What zipfile raises for damaged files, found by experiment (tests/bundle/test_schema.py).
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    OSError,
)


def refuse_extra_files(where: Path, names: list[str]) -> None:
    # Hidden files such as .DS_Store do no harm: only the three files are ever read.
    extra = sorted(name for name in names if name not in MAX_BYTES and not name.startswith("."))
    if extra:
        raise BundleError(
            where,
            "files",
            got=f"the file {extra[0][:80]!r}",
            expected=f"only {', '.join(MAX_BYTES)}",
            fix="move the other files out of the folder",
        )


def refuse_foreign(target: Path) -> None:
    """Refuse to write a bundle over anything but a bundle, whole or damaged.

    Raises:
        BundleError: naming what is there.
    """

    def refuse(got: str) -> NoReturn:
        expected = "a new name, or a bundle to replace"
        raise BundleError(target, "path", got=got, expected=expected, fix="choose another path")

    if not target.name:
        refuse("no name")
    if target.is_dir():
        extra = sorted(set(os.listdir(target)) - {*MAX_BYTES, ".DS_Store"})
        if extra or target.suffix == ".zip":
            refuse(f"a folder with {extra[0][:80]!r} in it" if extra else "a folder")
    elif os.path.lexists(target):
        try:
            with zipfile.ZipFile(target) as archive:
                is_bundle = FACTS in archive.namelist()
        except (OSError, *_ZIP_ERRORS):
            is_bundle = False
        if not is_bundle or target.suffix != ".zip":
            refuse("a file that is not a bundle")


def move_into_place(bundle: Path, target: Path) -> None:
    """Rename the new bundle to the target, then delete an old one that was there.

    A folder cannot be replaced in one step. If the process is killed between the steps, the old
    folder remains beside the target as `.*.old`.

    Raises:
        OSError: if renaming fails; the old bundle is then still in place.
    """
    if not target.is_dir():
        os.replace(bundle, target)
        return
    backup = bundle.with_name(f"{bundle.name}.old")
    try:
        os.rename(target, backup)
        os.rename(bundle, target)
    finally:
        if os.path.lexists(backup) and not os.path.lexists(target):
            os.rename(backup, target)
        elif backup.is_symlink():
            backup.unlink()
        else:
            shutil.rmtree(backup, ignore_errors=True)


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
            got="a folder with none of a bundle's files",
            expected=f"{', '.join(MAX_BYTES)}",
        )
    refuse_extra_files(where, names)
    return {name: _read_file(where, name, MAX_BYTES[name], links=links) for name in MAX_BYTES}


def _read_file(where: Path, name: str, limit: int, *, links: bool) -> bytes:
    """The bytes of a regular file of at most `limit` bytes; links and devices are refused."""
    path = where / name if name else where
    field = name or "path"
    try:
        if not links and stat.S_ISLNK(os.lstat(path).st_mode):
            raise BundleError(
                where, field, got="a link", expected="a file", fix="put the file itself there"
            )
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        if not links:
            flags |= getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(
                    where, field, got="something that is not a regular file", expected="a file"
                )
            if status.st_size > limit:
                raise BundleError(
                    where, field, got=f"{status.st_size} bytes", expected=f"at most {limit}"
                )
            return file.read(status.st_size)
    except FileNotFoundError as error:
        raise BundleError(
            where, field, got="nothing: no such file", expected=f"the files {', '.join(MAX_BYTES)}"
        ) from error
    except OSError as error:
        raise BundleError(
            where, field, got=f"an error ({error.strerror})", expected="a readable file"
        ) from error


def read_zip(where: Path) -> dict[str, bytes]:
    """The files of a zip as bytes; nothing is unpacked to disk."""
    data = _read_file(where, "", sum(MAX_BYTES.values()) + _ZIP_OVERHEAD, links=True)

    def refuse(got: str, expected: str) -> NoReturn:
        raise BundleError(where, "zip", got=got, expected=expected)

    # zipfile trusts the counts in the end record, so they are checked first: a directory of a
    # million entries is refused before it is read.
    end = data[-22:]
    if len(end) < 22 or end[:4] != b"PK\x05\x06" or end[20:] != b"\0\0":
        refuse("a file that does not end like a zip", "a complete zip written by mien export")
    if data[-42:-38] == b"PK\x06\x07" or int.from_bytes(end[10:12], "little") > len(MAX_BYTES):
        refuse(f"{int.from_bytes(end[10:12], 'little')} entries", f"only {', '.join(MAX_BYTES)}")
    if int.from_bytes(end[12:16], "little") > _ZIP_OVERHEAD:
        refuse("a directory that is too long for three entries", "only three entries")
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
                refuse(f"the entries {names}", f"{', '.join(MAX_BYTES)}, each once")
            return {entry.filename: _unpack(archive, entry) for entry in entries}
    except _ZIP_ERRORS as error:
        raise BundleError(
            where, "zip", got=f"a damaged zip ({error})", expected="an intact one"
        ) from error


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{entry.filename[:80]} is encrypted or not deflated")
    with archive.open(entry) as file:
        # With a size, zipfile unpacks no more than that; without one it would unpack a whole zip
        # bomb before cutting it.
        data = file.read(entry.file_size)
    if len(data) != entry.file_size:
        raise zipfile.BadZipFile(f"{entry.filename[:80]} ends early")
    return data


def read_npz(where: Path, data: bytes) -> dict[str, np.ndarray]:
    """The arrays of an npz. Only uint8 and float32 are allowed, so nothing is unpickled.

    numpy's own reader allocates memory for any shape that a header declares; this one first
    compares the shape with the number of bytes.
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
                    where,
                    GOLDEN,
                    got=f"{len(entries)} arrays that are too many or too large",
                    expected=f"at most {MAX_ARRAYS} of {MAX_BYTES[GOLDEN]} bytes in all",
                )
            for entry in entries:
                arrays[entry.filename.removesuffix(".npy")] = _read_npy(_unpack(archive, entry))
    except _ZIP_ERRORS as error:
        raise BundleError(
            where, GOLDEN, got=f"a damaged file ({error})", expected="arrays as numpy saves them"
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
        little_endian = np.ascontiguousarray(array).astype(
            array.dtype.newbyteorder("<"), copy=False
        )
        np.lib.format.write_array(buffer, little_endian, version=(1, 0), allow_pickle=False)
        parts[f"{name}.npy"] = buffer.getvalue()
    return zip_bytes(parts)


def zip_bytes(contents: Mapping[str, bytes]) -> bytes:
    """A zip of these files. Equal contents give equal bytes, since entries carry no time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data, compress_type=zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
