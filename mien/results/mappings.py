"""Read-only mappings for results, whose errors list the known names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

import numpy as np

Value = TypeVar("Value")


class ReadOnly(dict[str, Value]):
    """A dict that cannot be changed, but hashed, pickled and written as JSON.

    >>> ReadOnly(happy=0.75, sad=0.25)["joy"]
    Traceback (most recent call last):
    KeyError: "got 'joy'; expected one of happy, sad"
    """

    def __missing__(self, name: object) -> NoReturn:
        raise KeyError(f"got {name!r}; expected one of {', '.join(self)}")

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(
            "got a change to a read-only mapping; expected only reading. Fix: change a copy, "
            "dict(...)"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


class Probabilities(ReadOnly[float]):
    """Label -> probability in label order; `np.asarray` makes it a float32 row (K,).

    >>> np.asarray(Probabilities(happy=0.75, sad=0.25))
    array([0.75, 0.25], dtype=float32)
    """

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(list(self.values()), np.float32 if dtype is None else dtype)


def values_by_name(names: tuple[str, ...], row: Any) -> Mapping[str, float]:
    """A row of numbers (K,) as label -> number."""
    return {name: float(value) for name, value in zip(names, row, strict=True)}
