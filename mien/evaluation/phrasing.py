"""Format numbers and names as text: percentages, intervals, lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def percent(rate: float | None) -> str:
    """0.6234 -> `62.3 %`; None -> `n/a`."""
    return "n/a" if rate is None else f"{100 * rate:.1f} %"


def points(difference: float | None) -> str:
    """0.0312 -> `3.1 points`, of percentage."""
    return "n/a" if difference is None else f"{100 * difference:z.1f} points"


def decimal(value: float | None, digits: int = 3) -> str:
    return "n/a" if value is None else f"{value:z.{digits}f}"


def count(value: float | None) -> str:
    """28709 -> `28,709`."""
    return "n/a" if value is None else f"{value:,.0f}"


def short(value: float | None) -> str:
    """117_000_000 -> `117 M`."""
    if value is None:
        return "n/a"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def interval(
    estimate: Mapping[str, float | None] | None, *, rate: bool = True, dash: str = "\u2013"
) -> str:
    """`65.4-68.4` for rates (in percent), `0.912-0.987` otherwise; empty without an interval."""
    if estimate is None or estimate["low"] is None or estimate["high"] is None:
        return ""
    low, high = estimate["low"], estimate["high"]
    return f"{100 * low:z.1f}{dash}{100 * high:z.1f}" if rate else f"{low:z.3f}{dash}{high:z.3f}"


def p_value(p: float | None) -> str:
    return "p n/a" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([*([", ".join(names[:-1])] if names[:-1] else []), *names[-1:]])


def sentence(text: str) -> str:
    """The text with a capital first letter and a full stop at the end."""
    ended = not text or text.endswith((".", "!", "?", ":"))
    return text[:1].upper() + text[1:] + ("" if ended else ".")


def plural(number: int, what: str) -> str:
    """`1 pair`, `2 pairs`."""
    return f"{count(number)} {what}{'' if number == 1 else 's'}"
