"""Errors as HTTP responses: problem details (RFC 9457) with a stable code and a hint.

A problem reveals nothing about the server itself: no path, no traceback, no module name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.responses import Response

from mien.errors import DataError, MienError, UsageError

MEDIA_TYPE = "application/problem+json"
# Code -> HTTP status; docs/api.md explains each code.
CODES = {
    "empty-body": 400,
    "broken-off": 400,
    "bad-form": 400,
    "bad-request": 400,
    "unauthorized": 401,
    "cross-origin": 403,
    "not-found": 404,
    "teaching-off": 404,
    "no-device-detector": 404,
    "method-not-allowed": 405,
    "body-too-slow": 408,
    "collection-full": 409,
    "too-many-bytes": 413,
    "too-many-pixels": 413,
    "not-a-picture": 415,
    "wrong-host": 421,
    "unreadable-picture": 422,
    "invalid-parameter": 422,
    "upgrade-required": 426,
    "rate-limited": 429,
    "internal": 500,
    "queue-full": 503,
    "too-many-connections": 503,
    "too-many-streams": 503,
    "stopping": 503,
    "answer-too-slow": 504,
}


@dataclass
class Problem(Exception):
    """An error of a request.

    Attributes:
        code: Stable name for programs, one of `CODES`.
        detail: "got X; expected Y".
        hint: How the caller can fix it.
        headers: Additional headers of the response.
    """

    code: str
    detail: str
    hint: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """HTTP status."""
        return CODES[self.code]

    def to_dict(self, request_id: str) -> dict[str, str | int]:
        """The body of the response."""
        return {
            "type": f"urn:mien:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "hint": self.hint,
            "request_id": request_id,
        }

    def response(self, request_id: str) -> Response:
        """The HTTP response."""
        return Response(
            json.dumps(self.to_dict(request_id)),
            self.status,
            headers=dict(self.headers),
            media_type=MEDIA_TYPE,
        )


def problem_of(error: MienError) -> Problem:
    """The problem for an error of the library."""
    if isinstance(error, DataError):
        return Problem(
            "unreadable-picture", f"got {error.got}; expected {error.expected}", error.fix
        )
    if isinstance(error, UsageError):
        detail, _, fix = str(error).partition(". Fix: ")
        return Problem("invalid-parameter", detail, fix or "see the parameters on the page /api")
    return internal()


def internal() -> Problem:
    """An error of the server itself; the log has the details."""
    return Problem(
        "internal",
        "the server failed; the request may be sound",
        "try again; if it happens again, report the request_id to the operator of the server",
    )


def later(code: str, detail: str, retry_s: int = 1) -> Problem:
    """A problem with the header Retry-After: something is full now, but may have room later."""
    return Problem(
        code,
        detail,
        f"try again in {retry_s} s, as the header Retry-After says",
        {"Retry-After": str(retry_s)},
    )
