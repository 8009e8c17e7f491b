"""The vectorised parser gives what the naive reader gives, and refuses everything that is not
exact.
"""

import re

import numpy as np
import pytest

from mien.data.pixels import PIXELS, BadRow, parse_block, parse_row


def naive(fields: list[bytes]) -> np.ndarray:
    return np.array([[int(token) for token in field.split()] for field in fields])


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_naive_reader_whatever_the_spacing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    high = (256, 10, 2, 256, 101, 256)[seed]
    fields = []
    for _ in range(int(rng.integers(1, 9))):
        tokens = [str(value) for value in rng.integers(0, high, PIXELS)]
        for index in rng.integers(0, PIXELS, 40):
            tokens[index] = tokens[index].rjust(int(rng.integers(1, 4)), "0")
        gaps = [" " * int(width) for width in rng.choice([1, 1, 1, 2, 5], PIXELS)]
        text = "".join(token + gap for token, gap in zip(tokens, gaps, strict=True))
        fields.append(
            (" " * int(rng.integers(0, 3)) + text.rstrip() + " " * int(rng.integers(0, 3))).encode()
        )
    parsed = parse_block(fields)
    assert parsed is not None and parsed.dtype == np.uint8 and parsed.shape == (len(fields), PIXELS)
    np.testing.assert_array_equal(parsed, naive(fields))
    np.testing.assert_array_equal(parse_row(fields[0]), naive(fields[:1])[0])


def test_every_value_is_read_with_and_without_leading_zeros() -> None:
    tokens = [b"%d" % value for value in range(256)] + [b"%03d" % value for value in range(256)]
    field = b" ".join((tokens * 5)[:PIXELS])
    parsed = parse_block([field])
    assert parsed is not None
    np.testing.assert_array_equal(parsed, naive([field]))


@pytest.mark.parametrize("place", [0, 1000, PIXELS - 1])
def test_every_number_that_is_too_large_is_refused_wherever_it_stands(place: int) -> None:
    tokens = [b"7"] * PIXELS
    for value in (
        *range(256, 300),
        *range(300, 1000, 25),
        999,
        1000,
        1255,
        2559,
        2560,
        9999,
        10_000,
    ):
        tokens[place] = b"%d" % value
        field = b" ".join(tokens)
        assert parse_block([field]) is None, value
    with pytest.raises(BadRow, match=f"'10000' as pixel {place + 1:,}"):
        parse_row(field)


@pytest.mark.parametrize(
    ("token", "got"),
    [
        (b"256", "'256' as pixel 5"),
        (b"-1", "'-1' as pixel 5"),
        (b"abc", "'abc' as pixel 5"),
        (b"1.0", "'1.0' as pixel 5"),
        (b"1e1", "'1e1' as pixel 5"),
        (b"+7", "'+7' as pixel 5"),
        (b"1_0", "'1_0' as pixel 5"),
        (b"nan", "'nan' as pixel 5"),
        (b"\x00", "'\\x00' as pixel 5"),
        (b"9" * 5000, "'9999999"),
        ("\u0663".encode(), "'\u0663' as pixel 5"),  # an Arabic-Indic three, a digit to str.isdigit
        (b"\xe9", "bytes that are not UTF-8 text"),
    ],
)
def test_a_bad_value_is_refused_and_named(token: bytes, got: str) -> None:
    tokens = [b"7"] * PIXELS
    tokens[4] = token
    field = b" ".join(tokens)
    good = b" ".join([b"7"] * PIXELS)
    assert parse_block([good, field, good]) is None
    with pytest.raises(BadRow, match=re.escape(got)):
        parse_row(field)


@pytest.mark.parametrize("count", [0, 1, 2303, 2305, 4608])
def test_a_wrong_number_of_pixels_is_refused_and_named(count: int) -> None:
    field = b" ".join([b"7"] * count)
    assert parse_block([field]) is None
    with pytest.raises(BadRow, match=f"{count:,} pixels"):
        parse_row(field)


def test_one_row_too_long_does_not_make_up_for_one_too_short() -> None:
    fields = [b" ".join([b"7"] * count) for count in (2303, 2305)]
    assert parse_block(fields) is None
