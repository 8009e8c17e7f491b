"""Checkpoints that survive `kill -9`, full disks and flipped bits.

A checkpoint is a folder `epoch-0007/` with `arrays.npz`, `state.json` and `MANIFEST.json`, which
holds the sha256 of the other two and is written last. The folder is written under a temporary name,
flushed to disk and renamed, so it is there whole or not at all. (Keras' own backup callback
overwrites in place and leaves the dropout state out.)
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import RunError

MANIFEST = "MANIFEST.json"
RESTORE = "restore the folder from a copy, or train again with --fresh"
KEEP = 2
_NAME = re.compile("epoch-[0-9]{4,}")  # four digits at least, more from epoch 10,000 on


@dataclass(frozen=True)
class Checkpoint:
    """State after a whole epoch: arrays by name, and JSON-able facts."""

    epoch: int
    arrays: dict[str, np.ndarray]
    state: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write `folder/epoch-NNNN` and drop all but the newest two.

    Raises:
        RunError: if the disk is full or the folder cannot be written; what was there before is
            untouched.
    """
    target = folder / f"epoch-{checkpoint.epoch:04d}"
    write_verified(target, checkpoint.arrays, {"epoch": checkpoint.epoch, **checkpoint.state})
    for old in epochs(folder)[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that verifies, and a sentence for each newer one that does not.

    Raises:
        RunError: if there are checkpoints but none verifies.
    """
    damaged = []
    for path in reversed(epochs(folder)):
        try:
            arrays, state = read_verified(path)
        except RunError as error:
            damaged.append(str(error).partition("; expected")[0])
            continue
        return Checkpoint(int(state.pop("epoch")), arrays, state), damaged
    if damaged:
        raise RunError(
            f"{folder}: got only damaged checkpoints ({'; '.join(damaged)}); expected a whole one. "
            f"Fix: {RESTORE}"
        )
    return None, []


def epochs(folder: Path) -> list[Path]:
    """The checkpoint folders, oldest first."""
    folders = [path for path in folder.glob("epoch-*") if _NAME.fullmatch(path.name)]
    return sorted(folders, key=lambda path: int(path.name[6:]))


def write_verified(
    target: Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]
) -> None:
    """Write arrays and state as the folder `target`: it is there whole or not at all.

    Raises:
        RunError: if the disk is full or the folder cannot be written; what was there before is
            untouched.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        np.savez(temporary / "arrays.npz", allow_pickle=False, **arrays)
        (temporary / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
        hashes = {name: _sha256(temporary / name) for name in ("arrays.npz", "state.json")}
        (temporary / MANIFEST).write_text(json.dumps(hashes, indent=1), encoding="utf-8")
        for path in (*temporary.iterdir(), temporary):
            _flush(path)
        shutil.rmtree(
            target, ignore_errors=True
        )  # only ever a damaged one, or one that no checkpoint names
        os.rename(temporary, target)
        _flush(target.parent)
    except OSError as error:
        raise cannot_write(
            target.parent, error, "the checkpoints written before are whole"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_verified(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and state of a folder that `write_verified` wrote.

    Raises:
        RunError: if a file is missing or its bytes are not those that were written.
    """
    try:
        hashes = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        for name in ("arrays.npz", "state.json"):
            if _sha256(folder / name) != hashes[name]:
                raise RunError(
                    f"{folder / name}: got another sha256 than when it was written; expected the "
                    f"same. Fix: {RESTORE}"
                )
        with np.load(folder / "arrays.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return arrays, json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        name = Path(error.filename).name
        raise RunError(
            f"{folder}: got no {name}; expected a complete folder. Fix: {RESTORE}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{folder}: got files that cannot be read ({error}); expected whole ones. Fix: "
            f"{RESTORE}"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Replace a small text file atomically.

    Raises:
        RunError: if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        _flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise cannot_write(path, error, "what was there before is untouched") from error


def sweep(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left; call it under a lock."""
    for path in folder.glob(".*.tmp*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows has no handle for a folder to flush
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cannot_write(path: Path, error: OSError, kept: str) -> RunError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path if path.is_dir() else path.parent).free // 2**20
        return RunError(
            f"{path}: got a full disk ({free} MB free; {kept}); expected more space. Fix: free "
            "some, then run the same command"
        )
    return RunError(
        f"{path}: got an error while writing ({error.strerror}; {kept}); expected a folder for the "
        "run. Fix: choose another folder with --out"
    )
