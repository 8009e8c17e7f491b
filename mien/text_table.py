"""Tables as plain text, for terminals and text files."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], *, num_left: int = 1) -> list[str]:
    """Rows of equal length as lines, with two spaces between columns.

    Args:
        rows: The cells of each row.
        num_left: The number of columns that are aligned left; the others are aligned right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column < num_left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
