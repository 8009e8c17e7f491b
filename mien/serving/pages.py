"""Serve the files of the web page from memory, compressed once."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(__file__).parent / "page"
_KINDS = {".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm"}
_COMPRESSED = ("text/", "application/json", "application/wasm", "image/svg", "application/manifest")
_CHARSET = ("text/", "application/json")


@dataclass(frozen=True)
class _Page:
    data: bytes
    packed: bytes | None
    kind: str
    tag: str
    changed: int


class Pages:
    """The files below a folder, by their path.

    Args:
        folder: A folder with an index.html.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        for name in [name for name in self._files if name.endswith("index.html")]:
            self._files[name.removesuffix("index.html").rstrip("/")] = self._files[name]
        self._pages: dict[str, _Page] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def response(self, request: Request, name: str) -> Response:
        """A file, or status 304 if the browser has it already."""
        page = self._page(name)
        headers = {"ETag": page.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if page.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        body = page.data
        if page.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            body = page.packed
            headers["Content-Encoding"] = "gzip"
        return Response(body, headers=headers, media_type=page.kind)

    def _page(self, name: str) -> _Page:
        path = self._files[name]
        changed = path.stat().st_mtime_ns
        page = self._pages.get(name)
        if page is None or page.changed != changed:
            data = path.read_bytes()
            kind = _KINDS.get(path.suffix) or mimetypes.guess_type(path.name)[0]
            kind = kind or "application/octet-stream"
            packed = gzip.compress(data, 6) if kind.startswith(_COMPRESSED) else None
            tag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
            kind += "; charset=utf-8" if kind.startswith(_CHARSET) else ""
            page = self._pages[name] = _Page(data, packed, kind, tag, changed)
        return page
