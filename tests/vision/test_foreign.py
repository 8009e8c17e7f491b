"""Files that are often taken for pictures are named, with what to do."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from mien.data.table_rows import rows_to_predict
from mien.errors import DataError
from mien.vision.foreign import LFS, named
from mien.vision.image import load_image


def zipped() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a.png", b"1")
    return held.getvalue()


@pytest.mark.parametrize(
    ("data", "got", "fix"),
    [
        (zipped(), "a zip archive or office document", "unpack it"),
        (b"\n <!DOCTYPE html><html>", "a web page", "download the picture itself"),
        (b"%PDF-1.7 ...", "a PDF", "save its pages"),
        (LFS + b".github.com/spec/v1\n", "a pointer of Git LFS", "git lfs pull"),
        (b"hello", "a file that is not a picture", "replace or remove"),
    ],
)
def test_the_error_names_it(data: bytes, got: str, fix: str) -> None:
    with pytest.raises(DataError) as caught:
        load_image(data)
    assert caught.value.got.startswith(got) and caught.value.fix.startswith((fix, f"run {fix}"))


def test_others_are_not_named() -> None:
    assert named(b"") is None and named(b"version 2") is None and named(b"\xff\xd8\xff") is None


def test_a_pointer_in_the_place_of_a_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(LFS + b".github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(DataError, match="a pointer of Git LFS.*git lfs pull"):
        rows_to_predict([str(tmp_path / "a.csv")])
