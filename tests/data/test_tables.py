"""Text tables of any system, and texts that are none."""

from __future__ import annotations

import pytest

from mien.data.tables import column, read_table
from mien.errors import DataError

ROWS = [["a.png", "happy"], ["b.png", "sad"]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_delimiters_line_ends_and_encodings(delimiter: str, end: str, encoding: str) -> None:
    lines = [delimiter.join(row) for row in (["File", "Label"], *ROWS)]
    assert read_table(end.join(lines).encode(encoding), "t.csv") == (["file", "label"], ROWS)


def test_a_bad_row_is_named_by_its_line() -> None:
    with pytest.raises(DataError, match="got 3 fields; expected 2") as caught:
        read_table(b'file,label\n\n"a\nb.png",happy\nc.png,sad,x\n', "t.csv")
    assert caught.value.row == 5


def test_columns_are_found_whatever_joins_their_words() -> None:
    assert column(["image-id", "emotion label"], ["emotion_label"], "t.csv", "the label") == 1
    with pytest.raises(DataError, match="a column with the label, named emotion"):
        column(["file"], ["emotion"], "t.csv", "the label")
