"""What the documents point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_there_are_pages() -> None:
    assert len(PAGES) >= 11


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_commands_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    scripts = re.findall(r"python (benchmarks/\w+\.py)", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [script for script in scripts if not (ROOT / script).exists()]
    assert missing == []
