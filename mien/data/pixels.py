"""Decimal text to pixels: the inner loop of reading FER2013 as csv.

83 million decimal numbers become bytes here. `parse_block` does it in some fifteen numpy passes
over a few hundred kilobytes at a time and accepts only exact input. If a block contains anything
else, `parse_row` reads it again row by row and says what is wrong.
"""

from __future__ import annotations

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.dataset import LEAVE_OUT

PIXELS = FACE_SIDE * FACE_SIDE


class BadRow(Exception):
    """What is wrong with one row; it becomes a DataError or a LeftOut."""

    def __init__(self, got: str, expected: str, fix: str = f"correct the row, or {LEAVE_OUT}"):
        super().__init__(got)
        self.got, self.expected, self.fix = got, expected, fix


def parse_block(fields: list[bytes]) -> np.ndarray | None:
    """Pixel fields of several rows -> uint8 (rows, 2304), or None if any row needs a closer look.

    Accepts only spaces and numbers of one to three digits up to 255, 2,304 in each field.
    """
    text = np.frombuffer(b"   " + b" ".join(fields) + b" ", np.uint8)
    digit = text - np.uint8(48)  # a space becomes 240
    is_digit = digit < 10
    if np.count_nonzero(is_digit) + np.count_nonzero(digit == 240) != len(text):
        return None
    flag = is_digit.view(np.uint8)
    digit *= flag
    # From here on, position i of each array belongs to byte i + 3.
    here, before, before2, before3 = is_digit[3:-1], is_digit[2:-2], is_digit[1:-3], is_digit[:-4]
    three = here & before
    three &= before2
    if np.any(three & before3):
        return None
    hundreds = digit[1:-3] * three
    if hundreds.max(initial=0) > 2:
        return None
    low = digit[2:-2] * np.uint8(10)
    low += digit[3:-1]
    hundreds *= np.uint8(100)
    hundreds += low
    if np.any(hundreds < low):  # 256..299 wrapped around
        return None
    ends = here > is_digit[4:]  # the last digit of each number
    start = 0
    for part in fields:
        stop = start + len(part) + 1
        if np.count_nonzero(ends[start:stop]) != PIXELS:
            return None
        start = stop
    return np.compress(ends, hundreds).reshape(len(fields), PIXELS)


def parse_row(pixels: bytes) -> np.ndarray:
    """One pixel field -> uint8 (2304,), slowly; raises a BadRow that says what is wrong."""

    tokens = pixels.split()
    values = np.zeros(len(tokens), np.uint8)
    for index, token in enumerate(tokens):
        if not token.isdigit() or len(token) > 18 or int(token) > 255:
            raise BadRow(f"{shown(token)} as pixel {index + 1:,}", "whole numbers from 0 to 255")
        values[index] = int(token)
    if len(tokens) != PIXELS:
        raise BadRow(f"{len(tokens):,} pixels", f"{PIXELS:,} pixels, {FACE_SIDE} x {FACE_SIDE}")
    return values


def shown(field: bytes) -> str:
    try:
        text = field.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"bytes that are not UTF-8 text (0x{field[error.start]:02x})"
    return repr(text if len(text) <= 40 else text[:37] + "...")
