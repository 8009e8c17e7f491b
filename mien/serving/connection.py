"""An HTTP connection with deadlines: uvicorn itself waits for slow headers and readers for ever."""

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
    """The protocol for uvicorn, with these limits."""

    class Connection(_Connection):
        pass

    Connection.limits = limits
    return Connection


class _Connection(H11Protocol):
    limits: Limits
    _headers: asyncio.TimerHandle | None = None  # runs while headers are awaited
    _taking: asyncio.TimerHandle | None = None  # runs while the client takes nothing

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does so itself only for sockets that it opened. Without it the second part of an
        # answer waits 40 ms for the client to acknowledge the first.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > self.limits.max_connections:
            self._close_with(later("too-many-connections", "all connections are in use"))
        else:
            self._await_headers()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        if self._headers is None and (before is None or before.response_complete):
            self._await_headers()  # also for the rest of a body that nobody reads any more
        super().data_received(data)
        if self.cycle is not before:
            self._have_headers()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # The beginning of a next request may lie in the buffer already: its headers are awaited.
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._await_headers()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._have_headers()
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._taking is None:
            self._taking = self.loop.call_later(self.limits.write_s, self._cut)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_headers()
        super().connection_lost(exc)
        if self._taking is not None:
            self._taking.cancel()

    def send_400_response(self, msg: str) -> None:
        self._close_with(
            Problem(
                "bad-request",
                "got bytes that are not HTTP/1.1; expected a request",
                "use an HTTP library",
            )
        )

    def _await_headers(self) -> None:
        self._have_headers()
        self._headers = self.loop.call_later(self.limits.header_s, self._cut)

    def _have_headers(self) -> None:
        if self._headers is not None:
            self._headers.cancel()
            self._headers = None

    def _cut(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()

    def _close_with(self, problem: Problem) -> None:
        """Answer before, or instead of, any application, and close."""
        told = problem.to_dict(secrets.token_hex(8))
        body = json.dumps(told).encode()
        headers = {
            **HEADERS,
            **problem.headers,
            "X-Request-Id": told["request_id"],
            "Content-Type": MEDIA_TYPE,
            "Content-Length": len(body),
            "Connection": "close",
        }
        lines = [f"HTTP/1.1 {problem.status} {told['title']}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join((*lines, "", "")).encode() + body)
        self.transport.close()
