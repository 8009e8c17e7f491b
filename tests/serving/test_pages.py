"""Static files: by their names alone, compressed, compared by their content."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from mien.serving.pages import FOLDER, Pages


def asked(pages: Pages, name: str, **headers: str) -> Response:
    found = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
    return pages.response(Request({"type": "http", "headers": found}), name)


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    (tmp_path / "secret").write_text("not below it")
    folder = tmp_path / "page"
    (folder / "api").mkdir(parents=True)
    (folder / "index.html").write_text("<p>page</p>" * 100)
    (folder / "api" / "index.html").write_text("the API")
    (folder / "a.wasm").write_bytes(b"\0" * 1000)
    (folder / "b.png").write_bytes(b"\x89PNG")
    return Pages(folder)


def test_only_files_below_the_folder_are_there(pages: Pages) -> None:
    for name in ("", "index.html", "api", "api/index.html", "a.wasm"):
        assert name in pages
    for name in ("../secret", "/etc/passwd", "api/../index.html", "api/", "nothing", "A.wasm"):
        assert name not in pages


def test_files_are_compressed_for_those_who_can_read_it(pages: Pages) -> None:
    plain, packed = asked(pages, ""), asked(pages, "", accept_encoding="br, gzip")
    assert plain.headers["content-type"] == "text/html; charset=utf-8"
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(bytes(packed.body)) == plain.body
    assert len(packed.body) < len(plain.body) / 5
    assert asked(pages, "a.wasm").headers["content-type"] == "application/wasm"
    assert "content-encoding" not in asked(pages, "b.png", accept_encoding="gzip").headers


def test_a_browser_that_has_it_gets_304_until_it_changes(pages: Pages, tmp_path: Path) -> None:
    tag = asked(pages, "").headers["etag"]
    again = asked(pages, "", if_none_match=tag)
    assert (again.status_code, again.body) == (304, b"")
    (tmp_path / "page" / "index.html").write_text("changed")
    assert asked(pages, "", if_none_match=tag).body == b"changed"


def test_every_address_is_relative() -> None:
    """So that a proxy may serve the page below a path, such as /faces/."""
    own = [path for path in FOLDER.rglob("*") if path.suffix in (".html", ".css", ".mjs", ".js")]
    own = [path for path in own if "vendor" not in path.relative_to(FOLDER).parts]
    assert len(own) > 30
    for path in own:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""location\.(origin|host)|(src|href)="/|["'`(]/v1/""", text), path


def test_no_file_asks_another_machine() -> None:
    """No address of another site in markup or style of our own."""
    own = [path for path in FOLDER.rglob("*") if path.suffix in (".html", ".css", ".webmanifest")]
    assert len(own) > 4
    for path in own:
        if "vendor" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert 'src="http' not in text and "url(http" not in text and "@import" not in text
