"""Text as spreadsheets and old systems write it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from mien.data.dataset import Dataset
from mien.data.encodings import as_utf8, encoding_of, is_separator_line
from mien.data.readers import load_dataset
from mien.labels import FER2013

LINES = "emotion,pixels,Usage\n" + "".join(
    f"{k % 7},{' '.join([str(10 * k)] * 2304)},{'Training' if k < 14 else 'PublicTest'}\n"
    for k in range(21)
)


def read(tmp_path: Path, data: bytes) -> Dataset:
    path = tmp_path / "faces.csv"
    path.write_bytes(data)
    return load_dataset(path, cache=False)


WRITTEN: dict[str, bytes] = {
    "as it is": LINES.encode(),
    "UTF-16 with tabs, as a spreadsheet's Unicode text": LINES.replace(",", "\t")
    .replace("\n", "\r\n")
    .encode("utf-16"),
    "UTF-16, the other way round": b"\xfe\xff" + LINES.encode("utf-16-be"),
    "UTF-16 without a mark": LINES.encode("utf-16-le"),
    "carriage returns alone": LINES.replace("\n", "\r").encode(),
    "sep=;": b"sep=;\r\n" + LINES.replace(",", ";").replace("\n", "\r\n").encode(),
    "no names of columns": LINES.split("\n", 1)[1].encode(),
    "mark and semicolons": b"\xef\xbb\xbf" + LINES.replace(",", ";").encode(),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_the_same_faces_in_any_encoding(tmp_path: Path, kind: str) -> None:
    dataset = read(tmp_path, WRITTEN[kind])
    assert len(dataset) == 21 and dataset.label_set == FER2013
    assert dataset.images[:, 5, 5, 0].tolist() == [10 * k for k in range(21)]
    assert dataset.labels.tolist() == [k % 7 for k in range(21)]
    assert dataset.splits.tolist() == [0] * 14 + [1] * 7


def test_names_in_western_windows_letters(tmp_path: Path) -> None:
    more = LINES + LINES.split("\n", 1)[1]
    dataset = read(tmp_path, more.replace("\n0,", "\nböse,").encode("cp1252"))
    assert dataset.label_set.names[-1] == "böse" and dataset.counts()[:, -1].sum() == 6


def test_a_first_row_is_not_taken_for_names_where_it_may_be_either(tmp_path: Path) -> None:
    wide = "".join(f"{k % 7},{','.join(['9'] * 2304)}\n" for k in range(14)).encode()
    with pytest.raises(Exception, match="Fix: write the column names in the first line"):
        read(tmp_path, wide)


def test_small_reads_give_the_same_bytes() -> None:
    text = "ärgerlich\r" * 40
    stream = as_utf8(io.BufferedReader(io.BytesIO(text.encode("utf-16"))))  # type: ignore[arg-type]
    assert stream.read(3) + b"".join(iter(lambda: stream.read(7), b"")) == text.encode()


def test_what_is_told_by_first_bytes() -> None:
    assert encoding_of(b"emotion,pixels") is None and encoding_of(b"") is None
    assert encoding_of("emotion,".encode("utf-16-be")) == "utf-16-be"
    assert encoding_of(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") is None
    assert is_separator_line(b"sep=;\r\n") and is_separator_line(b'\xef\xbb\xbf"sep=,"\n')
    assert not is_separator_line(b"separate,columns\n")


def fractions(scale: float, *, last: str = "") -> bytes:
    rows = [f"{k % 7}," + " ".join([f"{12 * k / scale:.6f}"] * 2304) for k in range(21)]
    return "\n".join(["emotion,pixels", *rows, *([last] if last else [])]).encode()


def test_fractions_of_one_are_scaled_and_others_rounded(tmp_path: Path) -> None:
    dataset = read(tmp_path, fractions(255))
    assert dataset.images[:, 0, 0, 0].tolist() == [12 * k for k in range(21)]
    assert "Pixels are fractions from 0 to 1, scaled to 0..255." in dataset.notes
    dataset = read(tmp_path, fractions(1.5))
    assert dataset.images[:, 0, 0, 0].tolist() == [8 * k for k in range(21)]
    white = read(tmp_path, fractions(255, last="3," + " ".join(["1.0"] * 2304)))
    assert white.images[-1].min() == 255 and white.images[0].max() == 0


def test_rows_of_another_scale_are_bad_rows(tmp_path: Path) -> None:
    data = fractions(255, last="3," + " ".join(["200"] * 2304))
    with pytest.raises(
        Exception, match="row 23: got pixels above 1; expected fractions from 0 to 1"
    ):
        read(tmp_path, data)
    path = tmp_path / "faces.csv"
    dataset = load_dataset(path, on_error="skip", cache=False)
    assert len(dataset) == 21 and [one.row for one in dataset.left_out] == [23]


def test_a_column_for_each_class(tmp_path: Path) -> None:
    names = ",".join(("pixels", *FER2013))
    rows = []
    for k in range(21):
        one_hot = ["1" if k % 7 == j else "0" for j in range(7)]
        rows.append(f"{' '.join([str(k)] * 2304)},{','.join(one_hot)}")
    rows.append(f"{' '.join(['99'] * 2304)},1,1,0,0,0,0,0")  # no single largest
    dataset = read(tmp_path, "\n".join([names, *rows]).encode())
    np.testing.assert_array_equal(dataset.labels, [*(k % 7 for k in range(21)), -1])
    assert any("label of the largest of the columns angry, disgust" in n for n in dataset.notes)


def test_columns_that_name_no_label_are_told(tmp_path: Path) -> None:
    text = LINES.replace("emotion,", "mood,")
    dataset = read(tmp_path, text.encode())
    assert set(dataset.labels.tolist()) == {-1}
    assert any("has no column of labels" in n and "mood, usage" in n for n in dataset.notes)
