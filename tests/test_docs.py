"""What the documents point at is there. `make docs` checks the links of the site more strictly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mien

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
# Folders and files that a page may name, whole: `mien/vision/align.py`, `tests/serving/`.
NAMED = re.compile(r"`((?:mien|tests|benchmarks|docs|web)/[\w./-]*)`")


def test_there_are_pages() -> None:
    assert len(PAGES) >= 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_commands_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    scripts = re.findall(r"^(?!.*git checkout).*python (benchmarks/\w+\.py)", text, re.M)
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [name for name in [*scripts, *NAMED.findall(text)] if not (ROOT / name).exists()]
    assert missing == []


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_anchors_are_headings(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]*\.md)?#([^)]+)\)", text)
    missing = [
        f"{name}#{anchor}"
        for name, anchor in links
        if anchor not in anchors(page.parent / name if name else page)
    ]
    assert missing == []


def test_the_map_is_true() -> None:
    """Of docs/design.md: each folder and file of mien/ has a row, and each row is there."""
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    folder = page[page.index("\nmien/\n") : page.index("\ntests/")]
    rows = re.findall(r"^  ([\w.]+/?) ", folder, re.M)
    there = {path.name + "/" * path.is_dir() for path in (ROOT / "mien").iterdir()}
    there -= {"__pycache__/", "__main__.py", "py.typed"}
    assert sorted(rows) == sorted(there)


def test_entries_of_the_log_have_at_most_ten_lines() -> None:
    page = (ROOT / "docs" / "log.md").read_text(encoding="utf-8")
    entries = page.split("\n## ")[1:]
    assert len(entries) > 30
    titles = [entry.splitlines()[0] for entry in entries]
    assert [title for title in titles if not re.match(r"\d{4}-\d\d-\d\d: .+", title)] == []
    assert [title for title in titles if len(title) > 97] == []
    dates = [title[:10] for title in titles]
    assert dates == sorted(dates, reverse=True)
    lines = {entry.splitlines()[0]: sum(map(bool, entry.splitlines()[1:])) for entry in entries}
    assert {title: n for title, n in lines.items() if n > 10} == {}


def test_each_page_is_in_the_contents() -> None:
    contents = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^([a-z-]+)$", contents, re.M)
    pages = [page.stem for page in (ROOT / "docs").glob("*.md") if page.stem != "index"]
    assert sorted(listed) == sorted(pages)


def test_each_public_name_is_in_the_python_reference() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    missing = [name for name in mien.__all__ if not re.search(rf":: mien\.{name}\b", page)]
    assert missing == ["__version__"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_have_at_most_100_characters(page: Path) -> None:
    """Rows of tables apart, which Markdown cannot break."""
    lines = page.read_text(encoding="utf-8").splitlines()
    long = [line for line in lines if len(line) > 100 and not line.startswith("|")]
    assert long == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_line_is_a_comment_of_the_site(page: Path) -> None:
    """MyST leaves out lines that begin with `%`, such as the rest of "70 %" after a line break."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.lstrip().startswith("%")] == []
