"""The HTTP application and its routes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Request, WebSocket
from fastapi.exceptions import (
    RequestValidationError,
    ValidationException,
    WebSocketRequestValidationError,
)
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mien import __version__
from mien.errors import MienError
from mien.results.frame import FORMAT
from mien.serving import metrics, schema
from mien.serving.device_routes import READ, device_router
from mien.serving.guard import REQUEST_ID, Access, Guard
from mien.serving.pages import Pages
from mien.serving.parameters import PARAMETERS, expect_parameters, invalid_parameter
from mien.serving.problems import Problem, internal, problem_of
from mien.serving.service import Service, Settings, while_connected
from mien.serving.stream import MOST_SMOOTH_S, serve_stream
from mien.serving.teach import Collection
from mien.serving.upload import read_batch, read_picture

Mode = Annotated[
    Literal["fast", "best"], Query(description="`best`: 14 views of each face, slower")
]
Faces = Annotated[Literal["find", "whole"], Query(description="`whole`: the picture is a face")]
Side = Annotated[
    int | None,
    Query(ge=32, description="longest side in pixels for the detector; default: the server's"),
]
Prior = Annotated[
    str,
    Query(
        max_length=4096,
        description="class prior: one of those that /v1/model names, or weights such as "
        "happy=3,neutral=5; default: the server's",
    ),
]
Smooth = Annotated[float, Query(ge=0, le=MOST_SMOOTH_S, description="time constant in seconds")]
PICTURE = (400, 408, 413, 415, 422, 503, 504)


async def _settings(  # not a plain function: FastAPI would run it in a thread each time
    request: HTTPConnection,
    faces: Faces = "find",
    mode: Mode = "fast",
    max_side: Side = None,
    prior: Prior = "",
) -> Settings:
    streamed = ("smooth_s",) if request.scope["type"] == "websocket" else ()
    expect_parameters(request.query_params, (*PARAMETERS, *streamed))
    return Settings(faces, mode, max_side or 0, prior)


SettingsOf = Annotated[Settings, Depends(_settings)]
ABOUT = """Facial expression recognition. A face's `label` says what its expression looks like, not
what the person feels. Nothing of a request is stored, unless the server collects corrections and
`POST /v1/teach` is called. Errors are problem details (RFC 9457)."""


def create_app(service: Service, access: Access | None = None) -> ASGIApp:
    """The ASGI application of a service. The caller closes the service.

    Args:
        service: What answers requests.
        access: Who may use it; by default everybody.
    """

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.warm)  # not in the pool, whose answers have a deadline
        yield

    app = FastAPI(
        title="mien",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        lifespan=life,
        separate_input_output_schemas=False,
    )
    access = access or Access()
    _add_problems(app, needs_token=bool(access.token))
    _add_recognition(app, service)
    _add_teaching(app, service)
    app.include_router(device_router(service.recognizer, service.limits))
    _add_operation(app, service)
    _add_pages(app)
    return Guard(app, access, service.metrics)


def _add_recognition(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/faces",
        response_model=schema.Frame,
        responses=schema.problems(*PICTURE),
        openapi_extra=schema.picture_body("One picture: its bytes, or a form with one file."),
    )
    async def faces(request: Request, settings: SettingsOf) -> Response:
        """The faces in one picture."""
        service.pool.expect_room()
        picture = await read_picture(request, service.limits)
        frame = await while_connected(request, service.frame(picture, settings))
        return _json({**frame.to_dict(), **service.effective(settings)})

    @app.post(
        "/v1/faces:batch",
        response_model=schema.Frames,
        responses=schema.problems(*PICTURE),
        openapi_extra=schema.picture_body("A form with several files.", many=True),
    )
    async def batch(request: Request, settings: SettingsOf) -> Response:
        """The faces in several pictures; one that cannot be read has an `error` of its own."""
        service.pool.expect_room()
        pictures = await read_batch(request, service.limits)
        frames = await while_connected(request, service.batch(pictures, settings))
        answer = {"frames": [frame.to_dict() for frame in frames]}
        return _json({"format": FORMAT, **service.effective(settings), **answer})

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket, settings: SettingsOf, smooth_s: Smooth = 0.3) -> None:
        """Binary messages are frames (any picture); a text message before one, `{"time_s": 1.5}`,
        gives its time. Each answer is a frame with `index`, `time_s` and tracks.
        """
        await serve_stream(socket, service, settings, smooth_s)

    @app.api_route("/v1/stream", methods=READ, include_in_schema=False)
    async def no_stream() -> Response:
        raise Problem(
            "upgrade-required",
            "got a plain HTTP request; expected a WebSocket's handshake",
            "connect with ws:// or wss://; a proxy must pass on the headers Connection and Upgrade",
            {"Upgrade": "websocket", "Connection": "Upgrade"},
        )

    @app.head("/v1/model", include_in_schema=False)
    @app.get("/v1/model", response_model=schema.Model, responses=schema.problems())
    async def model() -> Response:
        """The network, its labels, and the server's limits."""
        return _json(service.model())


def _add_teaching(app: FastAPI, service: Service) -> None:
    def collection() -> Collection:
        if service.collection is None:
            raise Problem(
                "teaching-off",
                "got a correction; expected none, since this server collects none",
                "start the server with --collect DIR",
            )
        return service.collection

    @app.post(
        "/v1/teach",
        status_code=201,
        response_model=schema.Taught,
        responses=schema.problems(*PICTURE, 404, 409),
        openapi_extra=schema.picture_body("The crop of one face, at most 1024 px a side."),
    )
    async def teach(request: Request, label: Annotated[str, Query(max_length=64)]) -> Response:
        """Keep the crop of a face under the label that a person gives it."""
        corrections = collection()
        expect_parameters(request.query_params, ("label",))
        service.pool.expect_room()
        picture = await read_picture(request, service.limits)
        id = await service.pool.run(corrections.add, 1, False, picture, label)
        return _json({"id": id, "label": label, "counts": corrections.counts()}, 201)

    @app.delete(
        "/v1/teach/{id}",
        response_model=schema.Collect,
        responses=schema.problems(404, 422),
    )
    async def forget(id: str) -> Response:
        """Take a correction back."""
        if not collection().remove(id):
            raise Problem(
                "not-found",
                "got an unknown id; expected that of a correction",
                "use the id that POST /v1/teach returned",
            )
        return _json(service.collect())


def _add_operation(app: FastAPI, service: Service) -> None:
    @app.api_route("/healthz", methods=READ, include_in_schema=False)
    async def healthz() -> Response:
        return _json({"status": "ok"})

    @app.api_route("/readyz", methods=READ, include_in_schema=False)
    async def readyz() -> Response:
        return _json(
            {"status": "ok" if service.is_ready else "starting"}, 200 if service.is_ready else 503
        )

    @app.api_route("/metrics", methods=READ, include_in_schema=False)
    async def figures() -> Response:
        return Response(service.metrics.text(), headers={"Content-Type": metrics.MEDIA_TYPE})


def _add_pages(app: FastAPI) -> None:
    pages = Pages()

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            raise HTTPException(404)
        request = Request(scope, receive)
        name = scope["path"].removeprefix("/")
        if name not in pages:
            raise HTTPException(404)
        if request.method not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        await pages.response(request, name)(scope, receive, send)

    app.router.default = page  # for paths without a route; keeps 404 and 405 apart
    app.router.redirect_slashes = False


def _add_problems(app: FastAPI, *, needs_token: bool) -> None:
    def answer(request: HTTPConnection, problem: Problem) -> Response:
        return problem.response(request.scope["state"][REQUEST_ID])

    @app.exception_handler(Problem)
    async def _problem(request: HTTPConnection, error: Problem) -> Response:
        return answer(request, error)

    @app.exception_handler(MienError)
    async def _mien(request: HTTPConnection, error: MienError) -> Response:
        return answer(request, problem_of(error))

    @app.exception_handler(WebSocketRequestValidationError)
    @app.exception_handler(RequestValidationError)
    async def _invalid(request: HTTPConnection, error: ValidationException) -> Response:
        return answer(request, invalid_parameter(error.errors()[0]))

    @app.exception_handler(HTTPException)
    async def _http(request: HTTPConnection, error: HTTPException) -> Response:
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "bad-request")
        what = "path" if code == "not-found" else "method"
        detail = f"got an unknown {what}; expected one of the API"
        headers = dict(error.headers or {})
        return answer(request, Problem(code, detail, "see the page /api", headers))

    @app.exception_handler(Exception)
    async def _internal(request: HTTPConnection, error: Exception) -> Response:
        return answer(request, internal())  # Starlette raises the error again; the guard logs it

    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        problem = schema.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"]["Problem"] = problem
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        if needs_token:
            document["components"]["securitySchemes"] = {
                "token": {"type": "http", "scheme": "bearer"}
            }
            document["security"] = [{"token": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _json(values: dict[str, Any], status: int = 200) -> Response:
    body = json.dumps(values, allow_nan=False)
    return Response(body, status, media_type=JSONResponse.media_type)
