"""The parsed cache: what was read once is mapped into memory the next time.

An entry is a folder of .npy files and a meta.json with a checksum for each, written aside, flushed
to the disk and renamed into place; nothing in it is pickled. Its key is a hash of the source's
bytes, so an entry can be of no use but never stale.

Hashing 300 MB takes a moment, so an index remembers the hash of each file together with its device,
inode, size, mtime, ctime and some sampled blocks. That is sound because of the ctime: every change
of a file's content or times sets it, and no program can set it back without moving the system's
clock. A clock ticks coarsely, so a hash is remembered only when the file had been left alone for
`SETTLED_NS` before it was read: a later change then gets a later ctime. Where there is no such
ctime (Windows, or a filesystem that gives none) the file is hashed in full every time. What
escapes: a program that has held the file mapped for writing since before it was read and writes on
without the system noticing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from mien.data.dataset import Cropped, Dataset, LeftOut
from mien.errors import DataError, UsageError
from mien.labels import LabelSet

FORMAT = 5  # a change of the reader's meaning must raise it
SETTLED_NS = 2_000_000_000  # coarser than any filesystem's clock (FAT: 2 s)
KEEP = 8  # entries; a full FER2013 takes 83 MB
_ARRAYS = ("images", "labels", "splits", "rows")
_SAMPLES = 16
_SAMPLE_BYTES = 4096


class Cache:
    """Parsed data sets in one folder; safe with several processes at once.

    Nothing here raises when the folder cannot be read or written: `read` then finds nothing, and
    `write` says what was in the way.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file_key(self, files: Sequence[Path], how: Sequence[object] = ()) -> str:
        """Key of the content of some files, and of how they are read; their names count too, as
        they tell train from test.

        Raises:
            OSError: if a file cannot be read.
        """
        return _key([[[path.name.lower(), self._digest(path)] for path in files], list(how)])

    def listing_key(
        self, root: Path, pictures: Sequence[Path], how: Sequence[object] = ()
    ) -> str | None:
        """Key of a folder of pictures, from the names, sizes and times of all, and of how they are
        read; None where times cannot be trusted.
        """
        now = time.time_ns()
        parts: list[list[object]] = []
        for path in pictures:
            stat = os.stat(path)
            if not _trusted(stat, now):
                return None
            parts.append([path.relative_to(root).as_posix(), *_identity(stat)])
        return _key([os.fspath(root.resolve()), parts, list(how)])

    def read(self, key: str, source: str) -> tuple[Dataset | None, bool]:
        """(Dataset, False), (None, False) where there is no entry, (None, True) where there is a
        damaged one.

        The images are a read-only memory map; every array is checked against its checksum.
        """
        entry = self._entry(key)
        if not entry.exists():
            return None, False
        try:
            meta = json.loads((entry / "meta.json").read_text("utf-8"))
            arrays = {
                name: np.load(
                    entry / f"{name}.npy",
                    mmap_mode="r" if name == "images" else None,
                    allow_pickle=False,
                )
                for name in meta["crc32"]
            }
            intact = all(_crc32(array) == meta["crc32"][name] for name, array in arrays.items())
            dataset = Dataset(
                **{name: arrays[name] for name in _ARRAYS},
                label_set=LabelSet(tuple(meta["labels"])),
                source=source,
                notes=tuple(meta["notes"]),
                left_out=tuple(LeftOut(*one) for one in meta["left_out"]),
                files=None if meta["files"] is None else np.array(meta["files"], object),
                groups=None if meta["groups"] is None else np.array(meta["groups"], object),
                numbered=bool(meta["numbered"]),
                cropped=None
                if meta["cropped"] is None
                else _cropped(meta["cropped"], arrays["faces_px"], arrays["thumbnails"]),
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError, UsageError, DataError):
            return None, True
        if not intact:
            return None, True
        with suppress(OSError):
            os.utime(entry)  # what is used is kept by `_prune`
        return dataset, False

    def write(self, key: str, dataset: Dataset) -> str | None:
        """Keep a data set; None, or why it could not be kept."""
        entry = self._entry(key)
        made = entry.parent / f".new-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            made.mkdir(parents=True)
            arrays = {name: np.ascontiguousarray(getattr(dataset, name)) for name in _ARRAYS}
            if (cropped := dataset.cropped) is not None:
                arrays["faces_px"] = cropped.faces_px
                arrays["thumbnails"] = np.array(
                    [picture for _, _, picture in cropped.examples], np.uint8
                )
            for name, array in arrays.items():
                with open(made / f"{name}.npy", "wb") as file:
                    # np.save would say "16128 requested and 3968 written" of a full disk; this says
                    # why.
                    np.lib.format.write_array_header_1_0(
                        file, np.lib.format.header_data_from_array_1_0(array)
                    )
                    file.write(array.data)
                    file.flush()
                    os.fsync(file.fileno())
            meta = {
                "crc32": {name: _crc32(array) for name, array in arrays.items()},
                "labels": list(dataset.label_set),
                "notes": list(dataset.notes),
                "left_out": [[one.where, one.row, one.reason] for one in dataset.left_out],
                "files": None if dataset.files is None else dataset.files.tolist(),
                "groups": None if dataset.groups is None else dataset.groups.tolist(),
                "numbered": dataset.numbered,
                "cropped": None
                if cropped is None
                else {
                    "detector": cropped.detector,
                    "num_pictures": cropped.num_pictures,
                    "num_none": cropped.num_none,
                    "num_several": cropped.num_several,
                    "examples": [[file, what] for file, what, _ in cropped.examples],
                },
            }
            _write_json(made / "meta.json", meta)
            self._put(made, entry)
            self._prune()
        except OSError as error:
            shutil.rmtree(made, ignore_errors=True)
            return error.strerror or str(error)
        return None

    def _entry(self, key: str) -> Path:
        return self.folder / "parsed" / key

    def _put(self, made: Path, entry: Path) -> None:
        """Rename into place; an entry that is there, damaged or written by another process just
        now, makes room.
        """
        old = made.with_name(made.name.replace(".new-", ".old-"))
        try:
            if entry.exists():
                os.rename(entry, old)
            os.rename(made, entry)
        except OSError:
            if not entry.exists():
                raise
            shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)

    def _prune(self) -> None:
        """Remove the entries used longest ago, and what a killed process left a day ago."""
        aged = []
        for path in (self.folder / "parsed").iterdir():
            try:
                aged.append((path.stat().st_mtime, path))
            except OSError:
                continue  # another process removed it
        entries = sorted((pair for pair in aged if not pair[1].name.startswith(".")), reverse=True)
        left = [
            pair for pair in aged if pair[1].name.startswith(".") and pair[0] < time.time() - 86_400
        ]
        for _, path in entries[KEEP:] + left:
            shutil.rmtree(path, ignore_errors=True)

    def _digest(self, path: Path) -> str:
        """sha256 of a file, from the index where that is sound."""
        remembered = (
            self.folder
            / "index"
            / (hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32] + ".json")
        )
        with open(path, "rb") as file:
            now = time.time_ns()
            stat = os.fstat(file.fileno())  # after open: network filesystems look anew then
            mark = [*_identity(stat), _sampled(file, stat.st_size)] if _trusted(stat, now) else None
            try:
                known = json.loads(remembered.read_text("utf-8"))
                if mark is not None and known["mark"] == mark and known["format"] == FORMAT:
                    return str(known["sha256"])
            except (OSError, ValueError, KeyError, TypeError):
                pass  # not remembered, or not readable: both mean hashing
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if mark is not None and _identity(os.fstat(file.fileno())) == _identity(stat):
                try:
                    remembered.parent.mkdir(parents=True, exist_ok=True)
                    made = remembered.with_name(f".new-{os.getpid()}-{uuid.uuid4().hex}")
                    _write_json(made, {"format": FORMAT, "mark": mark, "sha256": digest})
                    os.replace(made, remembered)
                except OSError:
                    pass  # `write` meets the same obstacle and says so
        return digest


def _cropped(meta: dict[str, Any], faces_px: np.ndarray, thumbnails: np.ndarray) -> Cropped:
    named = zip(meta.pop("examples"), thumbnails, strict=True)
    return Cropped(
        **meta,
        faces_px=faces_px,
        examples=tuple((file, what, picture) for (file, what), picture in named),
    )


def _crc32(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data)


def _key(parts: object) -> str:
    return hashlib.sha256(json.dumps([FORMAT, parts]).encode()).hexdigest()[:40]


def _identity(stat: os.stat_result) -> list[int]:
    return [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _trusted(stat: os.stat_result, now_ns: int) -> bool:
    """Whether any later change must show in the ctime; on Windows it is the time of creation."""
    return os.name != "nt" and 0 < stat.st_ctime_ns < now_ns - SETTLED_NS


def _sampled(file: IO[bytes], size: int) -> str:
    """Hash of head, tail and evenly spread blocks; a second witness beside the ctime."""
    digest = hashlib.sha256()
    for step in range(_SAMPLES):
        file.seek(max(0, size - _SAMPLE_BYTES) * step // (_SAMPLES - 1))
        digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def _write_json(path: Path, value: object) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
