"""The HTTP application: routes, and what each answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mien import __version__
from mien.errors import MienError
from mien.recognizer import Recognizer
from mien.results import Frame
from mien.serving.guard import Guard
from mien.serving.limits import Limits
from mien.serving.pages import Pages
from mien.serving.pool import Pool
from mien.serving.problems import STATE, Problem, problem_of
from mien.serving.upload import read_pictures
from mien.vision.image import load_image

Mode = Literal["fast", "best"]
Faces = Literal["find", "whole"]


class Service:
    """What answers requests: recognizers for each way of asking, and the threads they run in."""

    def __init__(self, recognizers: dict[tuple[str, str], Recognizer], limits: Limits) -> None:
        self.recognizers = recognizers
        self.limits = limits
        self.pool = Pool(limits.threads, limits.queue, limits.answer_s)

    async def frame(self, data: bytes, *, faces: str, mode: str, name: str = "picture") -> Frame:
        """The faces in one picture, computed in a thread."""
        return await self.pool.run(self._frame, data, self.recognizers[faces, mode], name)

    def _frame(self, data: bytes, recognizer: Recognizer, name: str) -> Frame:
        image = load_image(data, limits=self.limits.picture)
        found = recognizer.faces_in(image)[: self.limits.max_faces]
        height, width = image.shape[:2]
        return Frame(name, 0, None, width, height, recognizer.detector.name, tuple(found))

    def model(self) -> dict[str, Any]:
        """What `GET /v1/model` answers."""
        recognizer = self.recognizers["find", "fast"]
        bundle = recognizer.bundle
        return {
            "version": __version__,
            "name": bundle.name,
            "digest": bundle.digest,
            "labels": list(recognizer.labels.names),
            "heads": {name: list(labels.names) for name, labels in recognizer.heads.items()},
            "detector": recognizer.detector.name,
            "modes": ["fast", "best"],
            "mode": "fast",
            "limits": self.limits.to_dict(),
            "collect": {"on": False, "counts": {}},
            "stored": False,
        }


def create_app(service: Service) -> FastAPI:
    """The application around a service."""
    app = FastAPI(
        title="mien",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    pages = Pages()
    _problems(app)

    @app.post("/v1/faces")
    async def faces(
        request: Request,
        faces: Annotated[Faces, Query()] = "find",
        mode: Annotated[Mode, Query()] = "fast",
    ) -> dict[str, Any]:
        """The faces in one picture."""
        (picture,) = await read_pictures(request, service.limits)
        frame = await service.frame(picture, faces=faces, mode=mode)
        return {**frame.to_dict(), "mode": mode}

    @app.get("/v1/model")
    async def model() -> dict[str, Any]:
        """The network, its labels, and the server's limits."""
        return service.model()

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/{name:path}", include_in_schema=False)
    async def page(request: Request, name: str) -> Response:
        if name not in pages:
            raise HTTPException(404)
        return pages.response(request, name)

    app.add_middleware(Guard)
    return app


def _problems(app: FastAPI) -> None:
    def answer(request: Request, problem: Problem) -> Response:
        return problem.response(request.scope["state"][STATE])

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return answer(request, error)

    @app.exception_handler(MienError)
    async def _mien(request: Request, error: MienError) -> Response:
        return answer(request, problem_of(error))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:])
        detail = f"parameter {name}: {first['msg']}"
        return answer(request, Problem(422, "invalid-parameter", detail, "the API page is at /api"))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "bad-request")
        found = Problem(
            error.status_code,
            code,
            f"got {request.method} for an address that is not served so",
            "the API page is at /api",
            dict(error.headers or {}),
        )
        return answer(request, found)
