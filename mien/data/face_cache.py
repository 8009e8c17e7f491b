"""A cache of faces cut from pictures, since decoding many and finding their faces takes minutes.

An entry is an .npz file without pickles, written under a temporary name and renamed. Its name is a
hash of the contents of the pictures and of the settings, so an entry is never stale. Damaged
entries count as absent: numpy verifies each array by the checksum in the file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import uuid
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.constants import cache_dir
from mien.data.dataset import Cropped, LeftOut
from mien.errors import UsageError

FORMAT = 5  # raise it whenever the reader gives other results
MAX_ENTRIES = 8  # FER2013 as pictures takes 83 MB
PictureSource = Path | bytes | np.ndarray  # a file, its content, or uint8 (H, W), (H, W, 1 or 3)


@dataclass
class FacesRead:
    """The faces read from some pictures.

    Attributes:
        images: uint8 (N, S, S, 1).
        rows: Index of the picture of each face, int64 (N,).
        notes, left_out, cropped: As in Dataset.
    """

    images: np.ndarray
    rows: np.ndarray
    notes: list[str]
    left_out: list[LeftOut]
    cropped: Cropped | None


def key_of(
    sources: Sequence[PictureSource], names: Sequence[str], settings: Sequence[object]
) -> str | None:
    """The key of pictures, their names and the settings; None if a picture cannot be read."""
    digest = hashlib.sha256(json.dumps([FORMAT, list(settings)]).encode())
    try:
        for source, name in zip(sources, names, strict=True):
            digest.update(repr(name).encode())
            digest.update(_content_hash(source))
    except OSError:
        return None  # the reader reports why
    return digest.hexdigest()[:40]


def load_entry(key: str) -> FacesRead | None:
    """The entry of a key; None if there is none."""
    entry = _folder() / f"{key}.npz"
    try:
        with open(entry, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays["meta"].tobytes())
        cropped = meta["cropped"]
        if cropped is not None:
            named = zip(cropped.pop("examples"), arrays["thumbnails"], strict=True)
            examples = tuple((file, what, picture) for (file, what), picture in named)
            cropped = Cropped(**cropped, faces_px=arrays["faces_px"], examples=examples)
        left_out = [LeftOut(*one) for one in meta["left_out"]]
        read = FacesRead(arrays["images"], arrays["rows"], meta["notes"], left_out, cropped)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, UsageError):
        return None
    with suppress(OSError):
        os.utime(entry)  # recently used entries stay longest
    return read


def store_entry(key: str, read: FacesRead) -> str | None:
    """Write an entry; returns the reason if it could not be written, else None."""
    folder = _folder()
    temporary = folder / f".new-{uuid.uuid4().hex}"
    arrays = {"images": read.images, "rows": read.rows}
    facts = None
    if (cropped := read.cropped) is not None:
        arrays["faces_px"] = cropped.faces_px
        arrays["thumbnails"] = np.array([picture for _, _, picture in cropped.examples], np.uint8)
        facts = {
            "detector": cropped.detector,
            "num_pictures": cropped.num_pictures,
            "num_none": cropped.num_none,
            "num_several": cropped.num_several,
            "examples": [[file, what] for file, what, _ in cropped.examples],
        }
    left_out = [dataclasses.astuple(one) for one in read.left_out]
    meta = json.dumps({"notes": read.notes, "left_out": left_out, "cropped": facts})
    arrays["meta"] = np.frombuffer(meta.encode(), np.uint8)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(temporary, folder / f"{key}.npz")
        newest_first = sorted(folder.iterdir(), key=lambda path: -path.stat().st_mtime)
        for path in newest_first[MAX_ENTRIES:]:
            path.unlink(missing_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return None


def _folder() -> Path:
    return cache_dir() / "faces"


def _content_hash(source: PictureSource) -> bytes:
    if isinstance(source, Path):
        if not source.is_file():  # a pipe would wait for ever
            raise FileNotFoundError(source)
        with open(source, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    if isinstance(source, np.ndarray):
        shape = f"{source.dtype} {source.shape} ".encode()
        return hashlib.sha256(shape + source.tobytes()).digest()
    return hashlib.sha256(source).digest()
