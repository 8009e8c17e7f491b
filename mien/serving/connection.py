"""An HTTP connection with deadlines: uvicorn itself never gives up on slow headers and readers."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.serving.guard import HEADERS
from mien.serving.limits import Limits
from mien.serving.problems import MEDIA_TYPE, Problem, later


def connection_class(limits: Limits) -> type[H11Protocol]:
    """A protocol class for uvicorn with these limits."""

    class Connection(_Connection):
        pass

    Connection.limits = limits
    return Connection


class _Connection(H11Protocol):
    limits: Limits
    _headers: asyncio.TimerHandle | None = None  # runs until the headers are complete
    _writing: asyncio.TimerHandle | None = None  # runs while the client does not read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio sets it only for sockets that it opened. Without it the second part of a response
        # waits 40 ms until the client has acknowledged the first.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > self.limits.max_connections:
            self._close_with(later("too-many-connections", "all connections are in use"))
        else:
            self._await_headers()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        if self._headers is None and (before is None or before.response_complete):
            self._await_headers()  # also for the unread rest of a body
        super().data_received(data)
        if self.cycle is not before:
            self._headers_received()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # The start of the next request may already be in the buffer.
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._await_headers()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._headers_received()
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._writing is None:
            self._writing = self.loop.call_later(self.limits.write_s, self._abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_received()
        super().connection_lost(exc)
        if self._writing is not None:
            self._writing.cancel()

    def send_400_response(self, msg: str) -> None:
        self._close_with(
            Problem(
                "bad-request",
                "got bytes that are not HTTP/1.1; expected a request",
                "use an HTTP library",
            )
        )

    def _await_headers(self) -> None:
        self._headers_received()
        self._headers = self.loop.call_later(self.limits.header_s, self._abort)

    def _headers_received(self) -> None:
        if self._headers is not None:
            self._headers.cancel()
            self._headers = None

    def _abort(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()

    def _close_with(self, problem: Problem) -> None:
        """Respond without the application, and close the connection."""
        details = problem.to_dict(secrets.token_hex(8))
        body = json.dumps(details).encode()
        headers = {
            **HEADERS,
            **problem.headers,
            "X-Request-Id": details["request_id"],
            "Content-Type": MEDIA_TYPE,
            "Content-Length": len(body),
            "Connection": "close",
        }
        lines = [f"HTTP/1.1 {problem.status} {details['title']}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join((*lines, "", "")).encode() + body)
        self.transport.close()
