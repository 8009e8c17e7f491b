"""Errors as HTTP answers: problem details (RFC 9457) with a stable code and a hint.

A problem says nothing about the server's inside: no path, no traceback, no name of a module.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.responses import Response

from mien.errors import DataError, MienError, UsageError

MEDIA_TYPE = "application/problem+json"
STATE = "mien_request_id"  # where a request keeps its id


@dataclass
class Problem(Exception):
    """What went wrong with a request.

    Attributes:
        status: HTTP status.
        code: Stable name for programs, such as `queue-full`; docs/api.md lists them.
        detail: What was got and what was expected.
        hint: What the caller can do about it.
        headers: Further headers of the answer.
    """

    status: int
    code: str
    detail: str
    hint: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self, request_id: str) -> dict[str, str | int]:
        """The body of the answer."""
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
        """The answer itself."""
        return Response(
            json.dumps(self.to_dict(request_id)),
            self.status,
            headers=dict(self.headers),
            media_type=MEDIA_TYPE,
        )


def problem_of(error: MienError) -> Problem:
    """One of the library's errors about a picture or an option, as a problem."""
    if isinstance(error, DataError):
        return Problem(
            error.http_status,
            "unreadable-picture",
            f"got {error.came}; expected {error.expected}",
            error.mend,
        )
    if isinstance(error, UsageError):
        return Problem(400, "invalid-parameter", str(error), "see the API page at /api")
    return internal()


def internal() -> Problem:
    """What a caller is told about a fault of the server; the log holds the rest."""
    return Problem(
        500,
        "internal",
        "the server failed; the request may be sound",
        "try again; if it happens again, report the request_id to whoever runs the server",
    )


def busy(retry_s: int = 1) -> Problem:
    """All threads work and the queue is full."""
    return Problem(
        503,
        "queue-full",
        "all threads are busy and the queue is full",
        f"try again in {retry_s} s, as the header Retry-After says",
        {"Retry-After": str(retry_s)},
    )
