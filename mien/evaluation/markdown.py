"""The report as Markdown: the same numbers as report.json, for a repository or a terminal."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from mien.evaluation import findings, phrasing


def markdown(
    truth: Mapping[str, Any],
    pictures: Mapping[str, Any],
    scores: Sequence[tuple[str, str, bool]],
    caution: str,
) -> str:
    """The text of report.md, from the template report.md.j2.

    Args:
        truth: `Evaluation.to_dict()`.
        pictures: The result of `report.draw`; referred to as `pictures/<file>`.
        scores: Key, name on the page, whether in percent.
        caution: The closing paragraph.
    """
    import jinja2
    from markupsafe import Markup

    def escaped(value: Any) -> Any:
        return value if isinstance(value, Markup) else Markup(_escaped(str(value)))

    environment = jinja2.Environment(
        autoescape=True,  # macros then return Markup, which is not escaped again
        undefined=jinja2.StrictUndefined,
        finalize=escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["sentence"] = phrasing.sentence
    file = resources.files("mien.evaluation").joinpath("report.md.j2")
    return environment.from_string(file.read_text(encoding="utf-8")).render(
        t=truth,
        w=phrasing,
        pictures=pictures,
        measured=lambda n: [split for split in truth["measured"] if n["splits"][split]],
        scores=scores,
        table=findings.table(truth),
        caution=caution,
    )


def _escaped(text: str) -> str:
    """Text that Markdown and HTML leave as it is, on one line."""
    plain = re.sub(r"([\\`*_\[\]|#])", r"\\\1", html.escape(text, quote=False))
    return plain.replace("\n", " ")
