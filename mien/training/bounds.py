"""The values that a field of a recipe may have."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mien.errors import meant


@dataclass(frozen=True)
class Bounds:
    """The values that a field may have.

    Attributes:
        expected: In words.
        hold: Whether a value is one of them.
        words: All of them, where they are a few words.
    """

    expected: str
    hold: Callable[[Any], bool]
    words: tuple[str, ...] = ()

    def fix(self, value: Any) -> str:
        return meant(str(value), self.words, "correct the value")


def at_least(low: int) -> Bounds:
    return Bounds(f"at least {low}", lambda value: value >= low)


def up_to(high: float) -> Bounds:
    return Bounds(f"0 to {high}", lambda value: 0 <= value <= high)


def one_of(*choices: str | int) -> Bounds:
    words = tuple(str(one) for one in choices if one != "")
    return Bounds(f"one of {', '.join(words)}", lambda value: value in choices, words)


BELOW_ONE = Bounds("at least 0 and less than 1", lambda value: 0 <= value < 1)
SHARE = Bounds("more than 0 and at most 1", lambda value: 0 < value <= 1)
RATE = Bounds("more than 0 and less than 1", lambda value: 0 < value < 1)
SEED = Bounds("less than 2^32", lambda value: value < 2**32)
SIDE = Bounds("0 or 32 to 512", lambda value: value == 0 or 32 <= value <= 512)
NAME = Bounds(
    "letters, digits, '_', '-' and '.': a folder's name",
    lambda value: re.fullmatch(r"\w[\w.-]*", value) is not None,
)
ZOOM = Bounds(
    "a smallest scale in (0, 1] and a largest from 1 to 10",
    lambda value: 0 < value[0] <= 1 <= value[1] <= 10,
)
