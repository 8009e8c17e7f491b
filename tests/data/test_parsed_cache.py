"""The parsed cache: fast, never stale, and never in the way."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mien.constants import cache_dir
from mien.data import parsed_cache as cache_module
from mien.data.parsed_cache import KEEP, Cache
from mien.data.readers import load_dataset

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_csv(path: Path, value: int) -> Path:
    """A csv of fixed size whatever the value (100..255)."""
    pixels = " ".join([str(value)] * 2304)
    path.write_text(
        "emotion,pixels,Usage\n" + "".join(f"{label},{pixels},Training\n" for label in range(7))
    )
    return path


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files count as left alone after 50 ms instead of two seconds, and wait as long."""
    monkeypatch.setattr(cache_module, "SETTLED_NS", 50_000_000)
    time.sleep(0.08)


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "parsed").iterdir())


def test_the_second_read_maps_the_first(tmp_path: Path, folder: Path) -> None:
    path = write_csv(tmp_path / "fer2013.csv", 100)
    first = load_dataset(path)
    assert not isinstance(first.images, np.memmap) and len(entries(folder)) == 1
    second = load_dataset(path)
    assert isinstance(second.images, np.memmap)
    assert second.fingerprint == first.fingerprint and second.notes == first.notes
    assert second.source == str(path)
    np.testing.assert_array_equal(second.rows, first.rows)


def test_no_cache_means_none(tmp_path: Path, folder: Path) -> None:
    load_dataset(write_csv(tmp_path / "fer2013.csv", 100), cache=False)
    assert not folder.exists()


@pytest.mark.parametrize("settled", [False, True])
def test_other_content_of_equal_size_and_time_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settled: bool
) -> None:
    path = write_csv(tmp_path / "fer2013.csv", 100)
    if settled:
        settle(monkeypatch)
    before = os.stat(path)
    assert load_dataset(path).images[0, 0, 0, 0] == 100
    with open(path, "r+b") as file:  # in place: the same inode
        file.seek(0)
        file.write(path.read_bytes().replace(b"100", b"123"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = os.stat(path)
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )
    assert np.unique(load_dataset(path).images).tolist() == [123]


def test_a_settled_file_is_not_hashed_again(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "fer2013.csv", 100)
    load_dataset(path)
    assert not (
        folder / "index"
    ).exists()  # just written: a change within the clock's tick could go unseen
    settle(monkeypatch)
    load_dataset(path)
    remembered = list((folder / "index").iterdir())
    assert len(remembered) == 1
    known = json.loads(remembered[0].read_text())
    remembered[0].write_text(json.dumps({**known, "sha256": "0" * 64}))
    assert Cache(folder).file_key([path]) != Cache(tmp_path / "other").file_key(
        [path]
    )  # so the index was believed
    remembered[0].write_text("{not json")
    assert Cache(folder).file_key([path]) == Cache(tmp_path / "other").file_key([path])


def test_without_a_trustworthy_ctime_the_whole_file_is_hashed(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "fer2013.csv", 100)
    settle(monkeypatch)
    monkeypatch.setattr(cache_module, "_trusted", lambda stat, now_ns: False)
    load_dataset(path)
    assert isinstance(load_dataset(path).images, np.memmap)
    assert not (folder / "index").exists()


def test_a_moved_or_copied_file_finds_its_entry(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "fer2013.csv", 100)
    load_dataset(path)
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere" / "fer2013.csv")
    dataset = load_dataset(moved)
    assert isinstance(dataset.images, np.memmap) and dataset.source == str(moved)


@pytest.mark.parametrize(
    "name", ["images.npy", "labels.npy", "splits.npy", "rows.npy", "meta.json"]
)
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "empty"])
def test_a_damaged_entry_is_read_anew_and_replaced(
    tmp_path: Path, folder: Path, name: str, damage: str
) -> None:
    path = write_csv(tmp_path / "fer2013.csv", 100)
    good = load_dataset(path)
    victim = entries(folder)[0] / name
    content = victim.read_bytes()
    if damage == "missing":
        victim.unlink()
    elif damage == "flipped":
        victim.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    else:
        victim.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    again = load_dataset(path)
    if (name, damage) != ("meta.json", "flipped"):  # a flipped letter of a note does no harm
        assert any("damaged entry" in note for note in again.notes)
    assert again.fingerprint == good.fingerprint
    third = load_dataset(path)
    assert isinstance(third.images, np.memmap) and third.fingerprint == good.fingerprint
    assert len(entries(folder)) == 1


def test_a_cache_that_cannot_be_written_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "fer2013.csv", 100)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        dataset = load_dataset(path)
        assert len(dataset) == 7
        assert sum("could not be kept" in note for note in dataset.notes) == 1
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_is_a_note(tmp_path: Path, folder: Path) -> None:
    """A limit on the size of files makes the system refuse to write, as a full disk does."""
    path = write_csv(tmp_path / "fer2013.csv", 100)
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "from mien.data.readers import load_dataset\n"
        "print(len(d := load_dataset(sys.argv[1])), *d.notes)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.startswith("7 ") and "File too large" in done.stdout
    assert entries(folder) == []


def test_what_was_read_with_rows_left_out_is_not_kept(tmp_path: Path, folder: Path) -> None:
    path = write_csv(tmp_path / "fer2013.csv", 100)
    with open(path, "a") as file:
        file.write("9,1,Training\n")
    assert len(load_dataset(path, on_error="skip").left_out) == 1
    assert not folder.joinpath("parsed").exists()


def test_several_processes_at_once(tmp_path: Path, folder: Path) -> None:
    path = write_csv(tmp_path / "fer2013.csv", 100)
    code = (
        "import sys\nfrom mien.data.readers import load_dataset\n"
        "for _ in range(5): print(load_dataset(sys.argv[1]).fingerprint)\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60)[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert {word for words in said for word in words} == {
        load_dataset(path, cache=False).fingerprint
    }
    assert sum(map(len, said)) == 15
    assert len(entries(folder)) == 1


def test_the_entries_used_longest_ago_make_room(tmp_path: Path, folder: Path) -> None:
    paths = [write_csv(tmp_path / f"{value}.csv", value) for value in range(100, 100 + KEEP + 2)]
    for age, path in enumerate(paths):
        known = set(entries(folder)) if folder.exists() else set()
        load_dataset(path)
        (new,) = set(entries(folder)) - known
        os.utime(new, (1_000_000_000 + age, 1_000_000_000 + age))
    load_dataset(write_csv(tmp_path / "last.csv", 250))
    assert len(entries(folder)) == KEEP
    assert isinstance(load_dataset(paths[-1]).images, np.memmap)
    assert not isinstance(load_dataset(paths[0]).images, np.memmap)


def test_where_the_cache_is(tmp_path: Path) -> None:
    assert cache_dir({"MIEN_CACHE": str(tmp_path)}) == tmp_path
    assert cache_dir({}).name == "mien"
