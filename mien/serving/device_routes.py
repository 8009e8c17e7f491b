"""Routes for recognition in the browser: the device document and two networks."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable

from fastapi import APIRouter, Request
from starlette.responses import Response

from mien.recognizer import Recognizer
from mien.serving.device import device_document
from mien.serving.limits import Limits
from mien.serving.problems import Problem
from mien.vision.yunet import YuNet

READ = ["GET", "HEAD"]


def device_router(recognizer: Recognizer, limits: Limits) -> APIRouter:
    """`GET /v1/model/device`, `/v1/model/model.onnx` and `/v1/model/detector.onnx`.

    Each response is made once, on the first request, and identified by its ETag.
    """
    router = APIRouter(prefix="/v1/model", include_in_schema=False)
    cache: dict[str, tuple[str, bytes]] = {}

    def answer(request: Request, name: str, kind: str, make: Callable[[], bytes]) -> Response:
        if name not in cache:
            data = make()
            cache[name] = f'"{hashlib.sha256(data).hexdigest()[:20]}"', gzip.compress(data, 6)
        tag, packed = cache[name]
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(gzip.decompress(packed), headers=headers, media_type=kind)
        return Response(packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=kind)

    @router.api_route("/device", methods=READ)
    async def device(request: Request) -> Response:
        """The constants with which a browser computes the same as the library."""

        def make() -> bytes:
            document = device_document(
                recognizer, max_faces=limits.max_faces, max_pixels=limits.max_pixels
            )
            return json.dumps(document, allow_nan=False).encode()

        return answer(request, "device", "application/json", make)

    @router.api_route("/model.onnx", methods=READ)
    async def model(request: Request) -> Response:
        """The network that classifies faces, as ONNX."""
        kind = "application/octet-stream"
        return answer(request, "model", kind, lambda: recognizer.bundle.model)

    @router.api_route("/detector.onnx", methods=READ)
    async def detector(request: Request) -> Response:
        """The network that finds faces, as ONNX."""
        yunet = recognizer.detector
        if not isinstance(yunet, YuNet):
            raise Problem(
                "no-device-detector",
                f"got a detector ({yunet.name}) that does not run in a browser; expected YuNet",
                "start the server with --detector yunet",
            )
        return answer(request, "detector", "application/octet-stream", yunet.weights.read_bytes)

    return router
