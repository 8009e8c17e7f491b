"""What was read of pictures is kept: never stale, and never in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.constants import cache_dir
from mien.data import pictures
from mien.data.face_cache import MAX_ENTRIES, key_of
from mien.data.readers import load_dataset

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "faces"


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each reading decoded."""
    found: list[int] = []
    real = pictures.read_pictures

    def counted(sources, **how):  # type: ignore[no-untyped-def]
        found.append(len(sources))
        return real(sources, **how)

    monkeypatch.setattr(pictures, "read_pictures", counted)
    return found


def save(path: Path, value: int) -> Path:
    """A picture of fixed size whatever the value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((48, 48), value, np.uint8)).save(path, "BMP")
    return path


def make(root: Path, value: int = 100) -> Path:
    for label in ("happy", "sad"):
        save(root / "train" / label / "a.bmp", value)
        save(root / "test" / label / "b.bmp", value + 1)
    return root


def test_the_second_read_decodes_nothing(tmp_path: Path, decodings: list[int]) -> None:
    root = make(tmp_path / "faces")
    first, second = load_dataset(root), load_dataset(root)
    assert decodings == [4]
    assert second.fingerprint == first.fingerprint and second.notes == first.notes
    assert second.source == str(root) and second.files is not None
    np.testing.assert_array_equal(second.rows, first.rows)
    np.testing.assert_array_equal(second.images, first.images)


def test_no_cache_means_none(tmp_path: Path, folder: Path, decodings: list[int]) -> None:
    root = make(tmp_path / "faces")
    assert len(load_dataset(root, cache=False)) == len(load_dataset(root, cache=False)) == 4
    assert decodings == [4, 4] and not folder.exists()


def test_other_content_of_equal_size_and_time_is_read_anew(tmp_path: Path) -> None:
    root = make(tmp_path / "faces")
    victim = root / "test" / "happy" / "b.bmp"
    before = victim.stat()
    assert np.unique(load_dataset(root).images).tolist() == [100, 101]
    save(victim, 201)
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = victim.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert np.unique(load_dataset(root).images).tolist() == [100, 101, 201]
    save(root / "test" / "happy" / "c.bmp", 202)
    assert len(load_dataset(root)) == 5


def test_a_moved_or_packed_folder_finds_its_entry(tmp_path: Path, decodings: list[int]) -> None:
    root = make(tmp_path / "faces")
    first = load_dataset(root)
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for path in root.rglob("*.bmp"):
            archive.write(path, path.relative_to(root))
    moved = root.rename(tmp_path / "elsewhere")
    assert load_dataset(moved).source == str(moved)
    assert load_dataset(tmp_path / "faces.zip").fingerprint == first.fingerprint
    assert decodings == [4]


def test_how_pictures_are_read_is_in_the_key(tmp_path: Path, decodings: list[int]) -> None:
    root = make(tmp_path / "faces")
    assert [load_dataset(root, side=side).images.shape[1] for side in (48, 64, 48)] == [48, 64, 48]
    assert decodings == [4, 4]
    array = np.zeros((1, 2, 2), np.uint8)
    assert key_of([array[0]], ["a"], []) != key_of([array[0].reshape(1, 4)], ["a"], [])
    assert key_of([b"x"], ["a"], []) != key_of([b"x"], ["b"], [])
    assert key_of([tmp_path / "absent"], ["a"], []) is None


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_entry_is_read_anew_and_replaced(
    tmp_path: Path, folder: Path, damage: str, decodings: list[int]
) -> None:
    root = make(tmp_path / "faces")
    good = load_dataset(root)
    (victim,) = folder.iterdir()
    content = victim.read_bytes()
    middle = len(content) // 2  # in the images
    damaged = {
        "truncated": content[:middle],
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "empty": b"",
    }
    victim.write_bytes(damaged[damage])
    for _ in range(2):
        np.testing.assert_array_equal(load_dataset(root).images, good.images)
    assert decodings == [4, 4] and list(folder.iterdir()) == [victim]


def test_a_cache_that_cannot_be_written_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(tmp_path / "faces")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        dataset = load_dataset(root)
        assert len(dataset) == 4
        assert sum("could not be cached" in note for note in dataset.notes) == 1
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_is_a_note(tmp_path: Path, folder: Path) -> None:
    """A limit on the size of files makes the system refuse to write, as a full disk does."""
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "from mien.data.readers import load_dataset\n"
        "print(len(d := load_dataset(sys.argv[1])), *d.notes)\n"
    )
    command = [sys.executable, "-c", code, str(make(tmp_path / "faces"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.startswith("4 ") and "could not be cached" in done.stdout
    assert list(folder.iterdir()) == []


def test_pictures_of_which_one_could_not_be_read_are_not_kept(tmp_path: Path, folder: Path) -> None:
    root = make(tmp_path / "faces")
    (root / "train" / "sad" / "z.png").write_bytes(b"no picture")
    assert len(load_dataset(root, on_error="skip").left_out) == 1
    assert not folder.exists()


def test_pictures_that_change_while_they_are_read_are_not_kept(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(tmp_path / "faces")
    real = pictures.read_pictures

    def disturbed(sources, **how):  # type: ignore[no-untyped-def]
        yield from real(sources, **how)
        save(root / "test" / "happy" / "b.bmp", 201)

    monkeypatch.setattr(pictures, "read_pictures", disturbed)
    assert any("changed while" in note for note in load_dataset(root).notes)
    assert not folder.exists()


def test_several_processes_at_once(tmp_path: Path, folder: Path) -> None:
    root = make(tmp_path / "faces")
    code = (
        "import sys\nfrom mien.data.readers import load_dataset\n"
        "for _ in range(5): print(load_dataset(sys.argv[1]).fingerprint)\n"
    )
    command = [sys.executable, "-c", code, str(root)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)
    ]
    printed = [process.communicate(timeout=60)[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sum(map(len, printed)) == 15
    assert {one for ones in printed for one in ones} == {load_dataset(root).fingerprint}
    assert len(list(folder.iterdir())) == 1


def test_the_entries_used_longest_ago_make_room(
    tmp_path: Path, folder: Path, decodings: list[int]
) -> None:
    roots = [make(tmp_path / f"faces{n}", 100 + n) for n in range(MAX_ENTRIES)]
    for age, root in enumerate(roots):
        known = set(folder.iterdir()) if folder.exists() else set()
        load_dataset(root)
        (new,) = set(folder.iterdir()) - known
        os.utime(new, (1_000_000_000 + age, 1_000_000_000 + age))
    load_dataset(roots[0])  # used now
    load_dataset(make(tmp_path / "last", 250))
    assert len(list(folder.iterdir())) == MAX_ENTRIES and decodings == [4] * (MAX_ENTRIES + 1)
    load_dataset(roots[0])
    load_dataset(roots[1])
    assert decodings == [4] * (MAX_ENTRIES + 2)


def test_where_the_cache_is(tmp_path: Path) -> None:
    assert cache_dir({"MIEN_CACHE": str(tmp_path)}) == tmp_path
    assert cache_dir({}).name == "mien"
