"""Archives: read as what they hold, refused where they cannot be trusted."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data import archives
from mien.data.archives import is_archive, unpacked
from mien.data.convert import convert
from mien.data.dataset import Dataset
from mien.data.readers import load_dataset
from mien.errors import DataError

MODES = {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}


def tar_of(path: Path, mode: str, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def png(value: int) -> bytes:
    held = io.BytesIO()
    Image.new("L", (48, 48), value).save(held, "PNG")
    return held.getvalue()


PICTURES = {
    f"faces/{label}/{n}.png": png(60 * k + n)
    for k, label in enumerate(("angry", "happy", "sad"))
    for n in range(2)
}


@pytest.mark.parametrize("suffix", MODES)
def test_fer2013_as_the_competition_packed_it(tmp_path: Path, faces: Dataset, suffix: str) -> None:
    table = convert(faces, tmp_path / "fer2013.csv").read_bytes()
    path = tar_of(
        tmp_path / f"fer2013.{suffix}",
        MODES[suffix],
        {"fer2013/README": b"hello", "fer2013/fer2013.csv": table, "._fer2013.csv": b"\0"},
    )
    dataset = load_dataset(path)
    assert np.array_equal(dataset.images, faces.images)
    assert np.array_equal(dataset.splits, faces.splits)


@pytest.mark.parametrize("suffix", ["bz2", "xz", "gz"])
def test_one_packed_csv(tmp_path: Path, faces: Dataset, suffix: str) -> None:
    import bz2
    import gzip
    import lzma

    pack = {"bz2": bz2.compress, "xz": lzma.compress, "gz": gzip.compress}[suffix]
    table = convert(faces, tmp_path / "fer2013.csv").read_bytes()
    (tmp_path / f"mine.csv.{suffix}").write_bytes(pack(table))
    assert np.array_equal(load_dataset(tmp_path / f"mine.csv.{suffix}").images, faces.images)


@pytest.mark.parametrize("kind", ["zip", *MODES])
def test_pictures_with_litter_beside_them(tmp_path: Path, kind: str) -> None:
    files = {
        **PICTURES,
        "__MACOSX/faces/angry/._0.png": b"\0",
        "faces/.DS_Store": b"\0",
        "faces/angry/Thumbs.db": b"\0",
    }
    path = tmp_path / f"faces.{kind}"
    zip_of(path, files) if kind == "zip" else tar_of(path, MODES[kind], files)
    dataset = load_dataset(path)
    assert len(dataset) == 6 and dataset.files is not None
    assert dataset.images[:, 0, 0, 0].tolist() == [0, 1, 60, 61, 120, 121]
    assert dataset.files[0] == "angry/0.png"


def test_archives_in_archives(tmp_path: Path) -> None:
    inner = {name.removeprefix("faces/"): data for name, data in PICTURES.items()}
    train = zip_of(tmp_path / "train.zip", inner).read_bytes()
    test = tar_of(tmp_path / "t.tar", "w", inner).read_bytes()
    path = zip_of(tmp_path / "all.zip", {"train.zip": train, "test.tar": test})
    dataset = load_dataset(path)
    assert dataset.counts().sum(axis=1).tolist() == [6, 0, 6]


def bomb(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("happy/big.png", "w", force_zip64=True) as file:
            for _ in range(1100):
                file.write(bytes(1_000_000))
    return path


def linked(path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("happy/passwd.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    return path


def linked_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("happy/passwd.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return path


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "climbs": (lambda p: zip_of(p, {"../happy/1.png": png(1)}), "a path outside"),
    "climbs by tar": (lambda p: tar_of(p, "w", {"a/../../happy/1.png": png(1)}), "a path outside"),
    "absolute": (lambda p: tar_of(p, "w", {"/tmp/happy/1.png": png(1)}), "a path outside"),
    "drive": (lambda p: zip_of(p, {"c:/happy/1.png": png(1)}), "a path outside"),
    "link": (linked, "a link, device"),
    "link in zip": (linked_zip, "a link or device"),
    "cut off": (
        lambda p: Path(p.write_bytes(tar_of(p, "w:gz", PICTURES).read_bytes()[:-60]) and p),
        "damaged or cut-off",
    ),
    "rar": (lambda p: Path(p.write_bytes(b"Rar!\x1a\x07\x01\x00" + bytes(90)) and p), "a RAR"),
    "7z": (lambda p: Path(p.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(90)) and p), "a 7-Zip"),
    "bomb": (bomb, "unpacks to 1,100,000,000"),
}


@pytest.mark.parametrize("case", BAD)
def test_untrusted_archives(tmp_path: Path, case: str) -> None:
    make, got = BAD[case]
    with pytest.raises(DataError, match=got):
        load_dataset(make(tmp_path / "data.archive"))
    assert [path.name for path in tmp_path.iterdir()] == ["data.archive"]


def test_limits_count_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 5)
    with pytest.raises(DataError, match="6 files of"):
        load_dataset(zip_of(tmp_path / "faces.zip", PICTURES))


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "faces.zip", PICTURES)
    with unpacked(path) as folder:
        assert len(list(folder.rglob("*.png"))) == 6
    assert not folder.exists()


def test_errors_name_the_place_in_the_archive(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "faces.zip", {**PICTURES, "faces/sad/broken.png": b"no"})
    with pytest.raises(DataError) as caught:
        load_dataset(path)
    assert caught.value.where == f"{path}:faces/sad/broken.png"
    dataset = load_dataset(path, on_error="skip")
    assert [one.where for one in dataset.left_out] == [f"{path}:faces/sad/broken.png"]


def test_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("emotion,pixels\n")
    assert not is_archive(tmp_path / "a.csv")


def test_folders_with_backslashes(tmp_path: Path) -> None:
    files = {f"faces\\{name}\\": b"" for name in ("angry", "happy")}
    files |= {f"faces\\{name}\\{k}.png": png(k) for name in ("angry", "happy") for k in range(3)}
    assert len(load_dataset(zip_of(tmp_path / "faces.zip", files))) == 6
