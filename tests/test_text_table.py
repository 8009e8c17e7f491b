"""Tables as plain text."""

from __future__ import annotations

import pytest

from mien.text_table import aligned


def test_columns_are_as_wide_as_their_longest_cell() -> None:
    rows = [["class", "faces", "share"], ["surprise", "7", "1 %"], ["sad", "12,345", ""]]
    assert aligned(rows) == [
        "class      faces  share",
        "surprise       7    1 %",
        "sad       12,345",
    ]
    assert aligned([["a", "long"], ["bcd", "e"]], num_left=2) == ["a    long", "bcd  e"]


def test_a_row_that_lacks_a_cell_is_refused() -> None:
    with pytest.raises(ValueError):
        aligned([["a", "b"], ["c"]])
