"""Decimal text to pixels: the inner loop of reading FER2013 as csv.

83 million decimal numbers become bytes here. `parse_block` does it in some fifteen numpy passes
over a few hundred kilobytes at a time and accepts only exact input. If a block contains anything
else, `parse_row` reads it again row by row and says what is wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.dataset import LEAVE_OUT

PIXELS = FACE_SIDE * FACE_SIDE
_SIDES = range(8, 513)  # of a picture in a row of numbers
_SIDES_READ = f"{_SIDES[0]} to {_SIDES[-1]} pixels a side, gray or RGB"
_SAMPLE = 64  # rows from which the order of the colours is recognised


@dataclass(frozen=True)
class Shape:
    """The shape of the picture in a row of numbers: `side` x `side` pixels, gray or RGB."""

    side: int
    channels: int = 1

    @property
    def size(self) -> int:
        """How many numbers the row has."""
        return self.side * self.side * self.channels

    def __str__(self) -> str:
        colours = "" if self.channels == 1 else " pixels of red, green and blue"
        return f"{self.side} x {self.side}{colours}"


FER2013_ROW = Shape(FACE_SIDE)


def shape_of(size: int) -> Shape | None:
    """The shape of a row of `size` numbers; None if they are not a picture. The shape is unique: no
    number is both a square and three times a square.
    """
    for channels in (1, 3):
        side = math.isqrt(size // channels)
        if side in _SIDES and side * side * channels == size:
            return Shape(side, channels)
    return None


def pictures_of(rows: np.ndarray, shape: Shape) -> tuple[np.ndarray, list[str]]:
    """Rows (N, size) as (N, S, S) or RGB (N, S, S, 3), and a note on the order of colours.

    The colours of a pixel are neighbours, as `image.ravel()` writes them, or each colour is a plane
    of its own: the order that gives the smoother pictures is right.
    """
    side = shape.side
    if shape.channels == 1:
        return rows.reshape(-1, side, side), []
    pixels = rows.reshape(-1, side, side, 3)
    planes = np.moveaxis(rows.reshape(-1, 3, side, side), 1, 3)
    by_plane = _roughness(planes) < _roughness(pixels)
    note = f"Rows of {shape.size:,} numbers were read as {shape}, in this order"
    return (planes, [f"{note}, colour by colour."]) if by_plane else (pixels, [f"{note}."])


def _roughness(pictures: np.ndarray) -> float:
    some = pictures[:_SAMPLE].astype(np.float32)
    return sum(float(np.abs(np.diff(some, axis=axis)).sum()) for axis in (1, 2))


class BadRow(Exception):
    """What is wrong with one row; it becomes a DataError or a LeftOut."""

    def __init__(self, got: str, expected: str, fix: str = f"correct the row, or {LEAVE_OUT}"):
        super().__init__(got)
        self.got, self.expected, self.fix = got, expected, fix


def parse_block(fields: list[bytes], size: int = PIXELS) -> np.ndarray | None:
    """Pixel fields of several rows -> uint8 (rows, size), or None if any row needs a closer look.

    Accepts only spaces and numbers of one to three digits up to 255, `size` in each field.
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
        if np.count_nonzero(ends[start:stop]) != size:
            return None
        start = stop
    return np.compress(ends, hundreds).reshape(len(fields), size)


def parse_row(pixels: bytes, shape: Shape | None = None) -> np.ndarray:
    """uint8 (size,) of one pixel field, slowly.

    Args:
        pixels: Numbers separated by spaces.
        shape: The shape of the other rows; None stands for FER2013's.

    Raises:
        BadRow: saying what is wrong.
    """
    expected_shape = shape or FER2013_ROW
    tokens = pixels.split()
    values = np.zeros(len(tokens), np.uint8)
    for index, token in enumerate(tokens):
        if not token.isdigit() or len(token) > 18 or int(token) > 255:
            raise BadRow(f"{quoted(token)} as pixel {index + 1:,}", "whole numbers from 0 to 255")
        values[index] = int(token)
    if len(tokens) != expected_shape.size:
        others = ", as in other rows" if shape else f", or of another square, {_SIDES_READ}"
        expected = f"{expected_shape.size:,} pixels, {expected_shape}{others}"
        raise BadRow(f"{len(tokens):,} pixels", expected)
    return values


def quoted(field: bytes) -> str:
    try:
        text = field.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"bytes that are not UTF-8 text (0x{field[error.start]:02x})"
    return repr(text if len(text) <= 40 else text[:37] + "...")
