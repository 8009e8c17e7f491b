"""Types of the responses for the OpenAPI document.

They describe the JSON of the library's `Frame` and `Face`; a test compares the two.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mien.serving.problems import CODES, MEDIA_TYPE
from mien.serving.upload import FIELD

Unit = Annotated[float, Field(ge=0, le=1)]
Probabilities = dict[str, Unit]


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Quality(_Exact):
    """How well a face is visible."""

    size_px: float
    sharpness: float
    turn: float | None
    brightness: Unit | None


class Pose(_Exact):
    """The direction of a head in degrees: to the right of the picture, up, clockwise."""

    yaw: float
    pitch: float
    roll: float


class Face(_Exact):
    """One face and what its expression looks like; it says nothing about what the person feels."""

    box: Annotated[list[float], Field(min_length=4, max_length=4)]
    score: Unit
    landmarks: list[Annotated[list[float], Field(min_length=2, max_length=2)]] | None
    label: str
    probabilities: Probabilities
    valence: Annotated[float, Field(ge=-1, le=1)] | None
    entropy: Unit
    pose: Pose | None
    quality: Quality
    uncertain: bool
    reason: str
    track: int | None
    raw: Probabilities | None
    heads: dict[str, Probabilities]


class _Frame(_Exact):
    source: str
    index: int
    time_s: float | None
    width: int
    height: int
    detector: str
    prior: str
    faces: list[Face]
    error: str | None
    note: str
    drawn: str | None


class Settings(_Exact):
    """The settings that a response was computed with."""

    mode: Literal["fast", "best"]
    max_side: int | None


class Frame(_Frame, Settings):
    """A picture and its faces from left to right; an empty list if there are none."""


class Frames(Settings):
    """Several pictures, as `mien predict --json` writes them."""

    format: Literal["mien.frames/1"]
    frames: list[_Frame]


class Collect(_Exact):
    """The collected corrections."""

    on: bool
    labels: list[str]
    counts: dict[str, int]
    command: str


class Taught(_Exact):
    """A stored correction."""

    id: str
    label: str
    counts: dict[str, int]


class Model(_Exact):
    """The network and the server's limits."""

    version: str
    name: str
    digest: str
    labels: list[str]
    heads: dict[str, list[str]]
    detector: str
    modes: list[str]
    prior: str
    priors: list[str]
    limits: dict[str, float]
    collect: Collect
    pictures_stored: bool


class Problem(_Exact):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    code: Literal[tuple(CODES)]  # type: ignore[valid-type]
    detail: str
    hint: str
    request_id: str


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: its problems by status, including those of every route."""
    responses: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 401, 403, 421, 429}):
        codes = [code for code, its_status in CODES.items() if its_status == status]
        responses[status] = {
            "description": ", ".join(codes),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return responses


_BINARY = {"type": "string", "format": "binary"}
_KINDS = ("application/octet-stream", "image/jpeg", "image/png", "image/webp")


def picture_body(what: str, *, form: bool = True, many: bool = False) -> dict[str, Any]:
    """`openapi_extra` of a route whose body is one picture, or a form with several."""
    files: dict[str, Any] = {"type": "array", "items": _BINARY} if many else _BINARY
    content: dict[str, Any] = {} if many else {kind: {"schema": _BINARY} for kind in _KINDS}
    if form:
        content["multipart/form-data"] = {
            "schema": {"type": "object", "properties": {FIELD: files}, "required": [FIELD]}
        }
    return {"requestBody": {"required": True, "description": what, "content": content}}
