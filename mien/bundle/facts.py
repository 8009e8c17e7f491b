"""Parse bundle.json, and read it field by field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from mien.bundle.files import FACTS
from mien.errors import BundleError


class Facts:
    """bundle.json, read field by field; each error names the field."""

    def __init__(self, where: Path, fields: Mapping[str, Any]) -> None:
        self.where = where
        self.fields = fields

    def refuse(self, name: str, got: object, expected: str) -> NoReturn:
        text = repr(got)
        raise BundleError(
            self.where,
            f"{FACTS}: {name}",
            got=text if len(text) < 100 else text[:97] + "...",
            expected=expected,
        )

    def get(
        self,
        name: str,
        kind: type | tuple[type, ...],
        expected: str,
        parent: Any = None,
        path: str = "",
    ) -> Any:
        values = self.fields if parent is None else parent
        if not isinstance(values, dict) or name not in values:
            self.refuse(path + name, None, expected)
        value = values[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.refuse(path + name, value, expected)
        return value

    def text(self, name: str, parent: Any = None, path: str = "") -> str:
        value: str = self.get(name, str, "a text of 1 to 200 characters", parent, path)
        if not 1 <= len(value) <= 200 or not value.isprintable():
            self.refuse(path + name, value, "a text of 1 to 200 characters")
        return value

    def number(
        self, name: str, low: float, high: float, parent: Any = None, path: str = ""
    ) -> float:
        expected = f"a number from {low:g} to {high:g}"
        value = self.get(name, (int, float), expected, parent, path)
        if not low <= value <= high:
            self.refuse(path + name, value, expected)
        return float(value)


def parse_json(where: Path, data: bytes) -> dict[str, Any]:
    """The object in bundle.json. Repeated names and numbers that are not finite are refused."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a name occurs twice in one object")
        return dict(pairs)

    def finite(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"the number {text[:20]}")
        return value

    try:
        fields = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=distinct,
            parse_float=finite,
            parse_constant=finite,
        )
    except (ValueError, RecursionError) as error:
        raise BundleError(
            where, FACTS, got=f"invalid JSON ({str(error)[:200]})", expected="a JSON object"
        ) from error
    if not isinstance(fields, dict):
        raise BundleError(where, FACTS, got=type(fields).__name__, expected="a JSON object")
    return fields
