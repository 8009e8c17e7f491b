from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mien.errors import RunError
from mien.training import checkpoint
from mien.training.checkpoint import Checkpoint

ARRAYS = {
    "weights": np.arange(12, dtype=np.float32).reshape(3, 4),
    "steps": np.int64(7) * np.ones((), np.int64),
}


def save(folder: Path, *epochs: int) -> None:
    for epoch in epochs:
        arrays = {name: value + epoch for name, value in ARRAYS.items()}
        checkpoint.save(folder, Checkpoint(epoch, arrays, {"history": [epoch]}))


def test_round_trip_keeps_the_newest_two(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3)
    assert [path.name for path in checkpoint.epochs(tmp_path)] == ["epoch-0002", "epoch-0003"]
    found, damaged = checkpoint.newest(tmp_path)
    assert damaged == []
    assert found is not None and found.epoch == 3 and found.state == {"history": [3]}
    assert set(found.arrays) == set(ARRAYS)
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(found.arrays[name], value + 3)
        assert found.arrays[name].dtype == value.dtype


def test_nothing_there(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) == (None, [])


@pytest.mark.parametrize("name", ["arrays.npz", "state.json", "MANIFEST.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "delete"])
def test_a_damaged_newest_falls_back(tmp_path: Path, name: str, damage: str) -> None:
    save(tmp_path, 1, 2)
    path = tmp_path / "epoch-0002" / name
    content = path.read_bytes()
    if damage == "flip":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "delete":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "truncate" else b"")
    found, damaged = checkpoint.newest(tmp_path)
    assert found is not None and found.epoch == 1
    assert len(damaged) == 1 and "epoch-0002" in damaged[0]


def test_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    save(tmp_path, 1)
    path = tmp_path / "epoch-0001" / "arrays.npz"
    content = path.read_bytes()
    places = np.linspace(0, len(content) - 1, 20).astype(int)
    for at in places:
        path.write_bytes(content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :])
        with pytest.raises(RunError, match="another sha256"):
            checkpoint.read_verified(tmp_path / "epoch-0001")


def test_none_whole_is_an_error_and_never_a_silent_start(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    for folder in checkpoint.epochs(tmp_path):
        (folder / "arrays.npz").write_bytes(b"")
    with pytest.raises(RunError, match="only damaged checkpoints.*--fresh"):
        checkpoint.newest(tmp_path)


@pytest.mark.parametrize("call", ["fsync", "rename"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_disk_that_fills_at_any_call_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    save(tmp_path, 1)
    real, calls = getattr(os, call), []

    def full(*args: object) -> object:
        calls.append(args)
        if len(calls) > number:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        if call == "rename" and number > 0:
            save(tmp_path, 2)  # there is only one rename
            assert len(calls) == 1
            return
        with pytest.raises(RunError, match=r"a full disk .*Fix: free some"):
            save(tmp_path, 2)
    found, damaged = checkpoint.newest(tmp_path)
    assert found is not None and found.epoch == 1 and damaged == []
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001"]


def test_a_really_full_disk(tmp_path: Path) -> None:
    """On a real 1 MB file system, where this user may mount one."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        save(tmp_path, 1)
        big = Checkpoint(2, {"weights": np.random.default_rng(0).random(300_000)}, {})
        with pytest.raises(RunError, match="a full disk"):
            checkpoint.save(tmp_path, big)
        found, _ = checkpoint.newest(tmp_path)
        assert found is not None and found.epoch == 1
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_folder_that_cannot_be_written() -> None:
    with pytest.raises(RunError, match="got an error while writing"):
        save(Path("/proc/mien"), 1)


def test_text_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "history.jsonl"
    checkpoint.write_text(path, "old")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="a full disk"):
        checkpoint.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.glob(".*")) == []


def test_from_epoch_ten_thousand_on(tmp_path: Path) -> None:
    save(tmp_path, 9998, 9999, 10_000)
    assert [path.name for path in checkpoint.epochs(tmp_path)] == ["epoch-9999", "epoch-10000"]
    save(tmp_path, 10_001)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-10000", "epoch-10001"]
    found, damaged = checkpoint.newest(tmp_path)
    assert found is not None and found.epoch == 10_001 and damaged == []
