"""Find the published weights of other projects, which are not part of mien.

In this order: the folder in an environment variable, an installed package, the cache, a download
that is verified by its checksum.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.constants import cache_dir
from mien.errors import DataError, DownloadError
from mien.vision.yunet_weights import fetch


@dataclass(frozen=True)
class Weights:
    """Files in an archive that another project publishes.

    Attributes:
        name: Name of the weights, and of their folder in the cache.
        url: Address of the archive, a `.tar.gz`.
        sha256: SHA-256 of the archive.
        megabytes: Size of the archive.
        files: Path of a file in the archive -> its SHA-256.
        variable: Environment variable that may name a folder with these files.
    """

    name: str
    url: str
    sha256: str
    megabytes: int
    files: Mapping[str, str]
    variable: str


def folder_with(weights: Weights, installed: Sequence[Path] = ()) -> Path:
    """A folder with the undamaged files, downloaded into the cache if they are nowhere else.

    Args:
        weights: The files.
        installed: Folders of installed packages that may hold them.

    Raises:
        DataError: if the environment variable names a folder without them.
        DownloadError: if they cannot be downloaded.
    """
    if named := os.environ.get(weights.variable):
        path = Path(os.path.expanduser(named))
        if wrong := _wrong(path, weights):
            raise DataError(
                path,
                got=wrong,
                expected=f"{', '.join(map(_base, weights.files))} of {weights.url}",
                fix=f"name a folder with these files in {weights.variable}, or unset it and mien "
                "downloads them",
            )
        return path
    cached = cache_dir() / "models" / weights.name
    complete = (folder for folder in (*installed, cached) if not _wrong(folder, weights))
    return next(complete, None) or _download(weights, cached)


def _base(member: str) -> str:
    return member.rpartition("/")[2]


def _wrong(folder: Path, weights: Weights) -> str:
    """What is wrong with the files in a folder, or ''."""
    for member, sha256 in weights.files.items():
        try:
            found = hashlib.sha256((folder / _base(member)).read_bytes()).hexdigest()
        except OSError as error:
            return f"{_base(member)}: {(error.strerror or str(error)).lower()}"
        if found != sha256:
            return f"{_base(member)} with another checksum, {found[:16]}"
    return ""


def _download(weights: Weights, kept: Path) -> Path:
    """Download the archive and move its verified files to the folder `kept` in one rename."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{kept.name}-", dir=kept.parent) as scratch:
            archive = Path(scratch) / "archive"
            reason = fetch(weights.url, weights.sha256, archive)
            if not reason:
                unpacked = Path(scratch) / "files"
                unpacked.mkdir()
                with tarfile.open(archive) as members:
                    for member in weights.files:
                        content = members.extractfile(member)
                        (unpacked / _base(member)).write_bytes(content.read() if content else b"")
                shutil.rmtree(kept, ignore_errors=True)  # a damaged copy
                unpacked.rename(kept)
                return kept
    except KeyError as error:
        reason = f"an archive without {error.args[0].split(chr(39))[1]}"
    except OSError as error:
        raise DownloadError(
            f"{kept.parent}: got {error.strerror or error}; expected a folder to keep "
            f"{weights.name}'s weights in. Fix: free some space, or name another folder in "
            "MIEN_CACHE"
        ) from error
    raise DownloadError(
        f"{weights.name}: got no weights ({weights.url.split('/')[2]}: {reason}); expected one "
        f"download of {weights.megabytes} MB. Fix: connect once to the internet; or bring "
        f"{weights.url}, unpack it, and name the folder that holds "
        f"{' and '.join(map(_base, weights.files))} in {weights.variable}"
    )
