"""Checkpoints that survive `kill -9`, full disks and flipped bits.

A checkpoint is a folder `epoch-0007/` with `arrays.npz`, `state.json` and `MANIFEST.json`, which
holds the SHA-256 of the other two. The folder is written under a temporary name, flushed to disk
and renamed, so that no incomplete checkpoint ever has its final name. (Keras' own backup callback
overwrites in place and does not save the state of dropout.)
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
KEEP = 2  # checkpoints
_NAME = re.compile("epoch-[0-9]{4,}")


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch: arrays by name, and values that JSON can store."""

    epoch: int
    arrays: dict[str, np.ndarray]
    state: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write `folder/epoch-NNNN` and delete all but the newest two checkpoints.

    Returns:
        The new folder.

    Raises:
        RunError: if the disk is full or the folder cannot be written. The older checkpoints stay.
    """
    target = folder / f"epoch-{checkpoint.epoch:04d}"
    write_verified(target, checkpoint.arrays, {"epoch": checkpoint.epoch, **checkpoint.state})
    for old in epochs(folder)[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest undamaged checkpoint, and a description of each newer one that is damaged.

    Returns:
        None instead of a checkpoint if there are none.

    Raises:
        RunError: if all checkpoints are damaged.
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
    """Write arrays and state as the folder `target`, in one atomic rename.

    Raises:
        RunError: if the disk is full or the folder cannot be written; older files stay as they are.
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
        # What may be there is damaged, or belongs to no checkpoint.
        shutil.rmtree(target, ignore_errors=True)
        os.rename(temporary, target)
        _flush(target.parent)
    except OSError as error:
        raise cannot_write(
            target.parent, error, "the checkpoints written before are whole"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_verified(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the arrays and state of a folder that `write_verified` wrote.

    Raises:
        RunError: if a file is missing or has another SHA-256 than when it was written.
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
    """Replace a small text file (UTF-8) atomically.

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
    """Delete the temporary files of a killed process; the caller must hold the folder's lock."""
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
        return  # Windows cannot flush folders
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cannot_write(path: Path, error: OSError, kept: str) -> RunError:
    """The error for a failed write; `kept` tells the user what is still there."""
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
