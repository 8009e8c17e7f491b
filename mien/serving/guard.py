"""The outermost layer for every request: access, an id, headers, metrics, and problem details in
place of exceptions.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serving.metrics import Metrics
from mien.serving.problems import Problem, internal, later

log = logging.getLogger("mien.serving")

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; worker-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
REQUEST_ID = "request_id"  # in the state of a request
SUBPROTOCOL = "mien"  # of a stream; a browser gives the token in a second one, `bearer.TOKEN`
# Load balancers ask these by address, or by no name at all; the answers tell nothing.
_HEALTH = ("/healthz", "/readyz")
_ADDRESSES = 10_000  # recent ones, whose requests are counted


@dataclass(frozen=True)
class Access:
    """Who may use the server.

    Attributes:
        hosts: Accepted names in the header Host; empty accepts any.
        token: The bearer token that requests to the API must send; empty means none.
        requests_a_minute: Limit for each address; 0 means no limit.
    """

    hosts: frozenset[str] = frozenset()
    token: str = ""
    requests_a_minute: int = 0


class Guard:
    """The outermost ASGI application.

    Args:
        app: The application for admitted requests.
        access: Who is admitted.
        metrics: Where requests are counted.
    """

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics) -> None:
        self._app, self._access, self._metrics = app, access, metrics
        # Address -> requests left, time of the last one.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id, began, status = secrets.token_hex(8), time.perf_counter(), 0
        scope.setdefault("state", {})[REQUEST_ID] = request_id

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                _add_headers(message, request_id)
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        try:
            self._admit(scope)
            await self._app(scope, receive, send_guarded)
        except Problem as problem:
            await _refuse(problem, request_id, (scope, receive, send_guarded), status)
        except asyncio.CancelledError:  # uvicorn cancels what is open `shutdown_s` after SIGTERM
            stopping = later("stopping", "got a request that outlasted the server; it stops now", 5)
            await _refuse(stopping, request_id, (scope, receive, send_guarded), status)
        except Exception as error:  # noqa: BLE001 - the last line of defence; it is logged
            log.error("request %s: %s", request_id, type(error).__name__)
            await _refuse(internal(), request_id, (scope, receive, send_guarded), status)
        finally:
            self._count(scope, request_id, status, time.perf_counter() - began)

    def _admit(self, scope: Scope) -> None:
        """Raise a Problem if the request is not allowed."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        strange = self._access.hosts and _name(host) not in self._access.hosts
        if strange and scope["path"] not in _HEALTH:
            raise Problem(
                "wrong-host",
                "got a host name that is not this server's; expected its own",
                "use the address that it printed, or start it with --allow-host NAME",
            )
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if changes and not _same_origin(headers, host):
            raise Problem(
                "cross-origin",
                "got a request from a page of another site; expected one of its own page",
                "call the API from its own page, or from a program; a proxy must pass on Host",
            )
        if self._access.token and scope["path"].startswith(("/v1/", "/metrics")):
            token = _token(headers)
            if not hmac.compare_digest(token.encode(), self._access.token.encode()):
                raise Problem(
                    "unauthorized",
                    "got no valid token; expected this server's",
                    "send the header Authorization: Bearer TOKEN",
                    {"WWW-Authenticate": "Bearer"},
                )
        if changes and self._access.requests_a_minute:
            self._limit_rate((scope.get("client") or ("",))[0])

    def _limit_rate(self, address: str) -> None:
        """A token bucket for each address: the requests of a minute, refilled steadily."""
        most, now = float(self._access.requests_a_minute), time.monotonic()
        left, before = self._buckets.pop(address, (most, now))
        left = min(most, left + (now - before) * most / 60)
        self._buckets[address] = (left - 1 if left >= 1 else left, now)
        while len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        if left < 1:
            detail = f"got more than {most:.0f} requests a minute from one address; expected fewer"
            raise later("rate-limited", detail, 1 + int((1 - left) * 60 / most))

    def _count(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        """Log and count a request by its route, without its content."""
        route = getattr(scope.get("route"), "path", "page" if scope["type"] == "http" else "other")
        method = scope.get("method", "WS")
        self._metrics.request(route, method, status, seconds)
        log.info("%s %s %s %d %.1f ms", request_id, method, route, status, 1000 * seconds)


async def _refuse(
    problem: Problem, request_id: str, asgi: tuple[Scope, Receive, Send], status: int
) -> None:
    if not status:
        await problem.response(request_id)(*asgi)  # also refuses a WebSocket's handshake


def _add_headers(message: Message, request_id: str) -> None:
    headers = MutableHeaders(scope=message)
    headers["X-Request-Id"] = request_id
    for name, value in HEADERS.items():
        headers[name] = value
    headers.setdefault("Cache-Control", "no-store")


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower().removesuffix(".")
    except ValueError:
        return ""


def _same_origin(headers: Headers, host: str) -> bool:
    """Whether the request comes from the server's own page, or from a program, which sends no
    origin.
    """
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2].lower() == host.lower()


def _token(headers: Headers) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        if protocol.strip().startswith("bearer."):
            return protocol.strip().removeprefix("bearer.")
    return ""
