"""Check the parameters of a request: a misspelt one is refused, never ignored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.datastructures import QueryParams

from mien.errors import in_short, meant
from mien.serving.problems import Problem

PARAMETERS = ("faces", "mode", "max_side", "prior")  # of every route that recognises
_HINT = "the page /api lists all parameters"


def expect_parameters(query: QueryParams, known: Sequence[str]) -> None:
    """Check the names in the query of an address.

    Raises:
        Problem: if one is unknown, or given twice.
    """
    names = [name for name, _ in query.multi_items()]
    for name in names:
        if name not in known:
            detail = f"got the parameter {in_short(repr(name))}; expected one of {', '.join(known)}"
            raise Problem("invalid-parameter", detail, meant(name, known, _HINT))
        if names.count(name) > 1:
            detail = f"got the parameter {name} {names.count(name)} times; expected it once"
            raise Problem("invalid-parameter", detail, "give it once")


def invalid_parameter(error: Mapping[str, Any]) -> Problem:
    """The problem for an error of pydantic."""
    name = ".".join(str(part) for part in error["loc"][1:])
    limits: Mapping[str, Any] = error.get("ctx") or {}
    if error["type"] == "missing":
        return Problem("invalid-parameter", f"got no parameter {name}; expected it", _HINT)
    if "ge" in limits:
        expected = f"at least {limits['ge']:g}"
    elif "le" in limits:
        expected = f"at most {limits['le']:g}"
    else:  # such as "Input should be 'fast' or 'best'"
        expected = str(error["msg"]).partition(" should ")[2].partition(", unable")[0]
        expected = expected.removeprefix("be ").removeprefix("have ")
    detail = f"got {name}={in_short(repr(error['input']))}; expected {expected}"
    return Problem("invalid-parameter", detail, _HINT)
