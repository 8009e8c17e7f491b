"""Archives: zip and tar, plain or compressed by gzip, bzip2 or xz; recognised by their content.

An archive may come from anyone. Members are counted and measured before anything is unpacked.
Absolute paths, paths that leave the folder, links and devices are refused. An archive that unpacks
to more than it declares, or to more than the disk holds, ends in a DataError. Files that file
managers add (`__MACOSX`, `.DS_Store`) are ignored. Archives inside an archive are unpacked into a
folder of the same name, at most two levels deep.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from mien.errors import DataError

MAX_MEMBERS = 2_000_000
MAX_BYTES = 100_000_000_000  # unpacked
MAX_RATIO = 1000  # unpacked bytes for each packed byte, checked above `_HARMLESS` bytes
_HARMLESS = 1_000_000_000
_MAX_DEPTH = 2  # of archives inside archives
_COPY_BYTES = 1 << 20  # copied at a time
SUFFIXES = (
    *(".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"),
    ".taz",
)
# First bytes of archives that are not read, and what they are.
_FOREIGN = {
    b"Rar!": "RAR",
    b"7z\xbc\xaf": "7-Zip",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x1f\x9d": "compress (.Z)",
    b"LZIP": "lzip",
}
DAMAGE = (
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
    NotImplementedError,
    RuntimeError,
)
LITTER = frozenset(("thumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r"))


@dataclass(frozen=True)
class Member:
    """A file in an archive: its path with `/`, its unpacked size, and how to open it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or a tar.

    Raises:
        DataError: for an archive of an unsupported kind.
        OSError: if the file cannot be read.
    """
    with open(path, "rb") as file:
        magic = file.read(8)
    for first, kind in _FOREIGN.items():
        if magic.startswith(first):
            raise DataError(
                path,
                got=f"a {kind} archive",
                expected="a zip or tar (plain, .gz, .bz2 or .xz)",
                fix="unpack it and name the folder",
            )
    return _is_zip(magic) or _is_tar(path)


def is_archive_name(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


@contextmanager
def members(path: Path) -> Iterator[list[Member]]:
    """The files in an archive, in its order; they can be opened inside the `with` block.

    Raises:
        DataError: for a damaged, encrypted, oversized or unsafe archive.
    """
    with open(path, "rb") as file:
        is_zip = _is_zip(file.read(8))
    with damage(path):
        if is_zip:
            with zipfile.ZipFile(path) as archive:
                yield _check_listing(path, list(_zip_members(archive, path)))
        else:
            with tarfile.open(path, "r:*") as tar:
                yield _check_listing(path, list(_tar_members(tar, path)))


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Unpack an archive into a temporary folder, which is removed at the end of the `with` block.

    Raises:
        DataError: as `members`, and where the disk has no room.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="mien-"))
    except OSError as error:
        raise _no_room(path, error) from error
    try:
        _unpack(path, folder, _MAX_DEPTH)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def named_as(folder: Path, path: Path) -> Iterator[None]:
    """Make errors about files in a temporary folder name their place in the archive."""
    try:
        yield
    except DataError as error:
        prefix = f"{folder}/"
        if not error.where.startswith(prefix) and error.where != str(folder):
            raise
        inside = error.where[len(prefix) :]
        raise DataError(
            f"{path}:{inside}" if inside else path,
            got=error.got,
            expected=error.expected,
            fix=error.fix,
            row=error.row,
        ) from error


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn what the decompressors raise for a damaged archive into a DataError."""
    try:
        yield
    except DAMAGE as error:
        raise DataError(
            path,
            got=f"a damaged or cut-off archive ({error})",
            expected="a whole zip or tar",
            fix="copy or download the file again",
        ) from error


def _is_zip(magic: bytes) -> bool:
    return magic[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def _is_tar(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:*"):
            return True
    except (*DAMAGE, OSError):
        return False


def _zip_members(archive: zipfile.ZipFile, path: Path) -> Iterator[Member]:
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        is_folder = info.is_dir() or info.filename.endswith("\\")  # as some Windows tools write it
        if is_folder or _is_litter(info.filename):
            continue
        if kind not in (0, stat.S_IFREG):
            raise _unsafe(path, info.filename, "a link or device")
        if info.flag_bits & 1:
            raise DataError(
                path,
                got="an encrypted zip",
                expected="a zip without a password",
                fix="unpack it and name the folder",
            )

        def open_it(info: zipfile.ZipInfo = info) -> IO[bytes]:
            return archive.open(info)

        yield Member(info.filename.replace("\\", "/"), info.file_size, open_it)


def _tar_members(tar: tarfile.TarFile, path: Path) -> Iterator[Member]:
    for info in tar:
        if info.isdir() or _is_litter(info.name):
            continue
        if not info.isreg() or info.issparse():
            raise _unsafe(path, info.name, "a link, device or sparse file")

        def open_it(info: tarfile.TarInfo = info) -> IO[bytes]:
            return cast(IO[bytes], tar.extractfile(info))

        yield Member(info.name, info.size, open_it)


def _check_listing(path: Path, listing: list[Member]) -> list[Member]:
    total = sum(member.size for member in listing)
    packed = max(1, path.stat().st_size)
    if len(listing) > MAX_MEMBERS or total > MAX_BYTES:
        raise DataError(
            path,
            got=f"{len(listing):,} files of {total:,} bytes in one archive",
            expected=f"at most {MAX_MEMBERS:,} files and {MAX_BYTES:,} bytes",
            fix="unpack it and name the folder",
        )
    if total > _HARMLESS and total > MAX_RATIO * packed:
        raise DataError(
            path,
            got=f"an archive of {packed:,} bytes that unpacks to {total:,}",
            expected=f"at most {MAX_RATIO:,} times its size",
            fix="if you trust it, unpack it yourself and name the folder",
        )
    for member in listing:
        place = PurePosixPath(member.name)
        if place.is_absolute() or ".." in place.parts or ":" in member.name[:2]:
            raise _unsafe(path, member.name, "a path outside the archive")
    return listing


def _unpack(path: Path, folder: Path, depth: int) -> None:
    nested: list[Path] = []
    with members(path) as listing:
        total = sum(member.size for member in listing)
        if total > shutil.disk_usage(folder).free:
            raise _no_room(path, f"{total:,} bytes to unpack")
        for member in listing:
            to = folder / PurePosixPath(member.name)
            try:
                to.parent.mkdir(parents=True, exist_ok=True)
                with member.open() as source, open(to, "wb") as target:
                    _copy(source, target, member.size)
            except OSError as error:
                raise _no_room(path, error) from error
            if depth and is_archive_name(to.name):
                nested.append(to)
    for archive in nested:
        if is_archive(archive):
            _unpack(archive, _folder_for(archive), depth - 1)
            archive.unlink()


def _folder_for(path: Path) -> Path:
    """`train.tar.gz` -> the folder `train` beside it."""
    name = path.name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    folder = path.with_name(name or "archive")
    if folder.exists() and not folder.is_dir():
        folder = path.with_name(f"{folder.name}-unpacked")
    folder.mkdir(exist_ok=True)
    return folder


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    """Copy `size` bytes, the size that the archive declares, and no more."""
    left = size
    while left and (block := source.read(min(_COPY_BYTES, left))):
        target.write(block)
        left -= len(block)
    if left:
        raise EOFError("a member ends early")


def _is_litter(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    hidden = (part.startswith(".") and part not in (".", "..") for part in parts)
    return any(hidden) or any(part.lower() in LITTER for part in parts)


def _unsafe(path: Path, name: str, what: str) -> DataError:
    return DataError(
        path,
        got=f"{what} ({name[:100]!r}) in an archive",
        expected="plain files with paths inside the archive",
        fix="if you trust it, unpack it yourself and name the folder",
    )


def _no_room(path: Path, error: object) -> DataError:
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return DataError(
        path,
        got=f"an archive that cannot be unpacked in {tempfile.gettempdir()} ({reason})",
        expected="enough room for its content",
        fix="free some space, or name another folder in TMPDIR",
    )
