"""A server on this machine that answers as a test says, for what downloads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Reply(NamedTuple):
    """An answer; `promised` is its Content-Length where that is not its length."""

    status: int = 200
    body: bytes = b""
    kind: str = "application/octet-stream"
    promised: int | None = None


@contextmanager
def serving(answer: Callable[[str], Reply]) -> Iterator[str]:
    """Answer each GET and POST by its path, on a free port; gives the address, without a slash at
    its end.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = answer(self.path)
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            self.send_header(
                "Content-Length", str(len(reply.body) if reply.promised is None else reply.promised)
            )
            self.end_headers()
            self.wfile.write(reply.body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
