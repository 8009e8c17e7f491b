"""The process of `mien serve`: networks loaded, sockets open, signals heeded."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mien.bundle import open_bundle
from mien.errors import MissingExtraError
from mien.recognizer import Recognizer
from mien.serving.limits import Limits
from mien.vision.detect import find_detector


@dataclass(frozen=True)
class Options:
    """How to serve.

    Attributes:
        bundle: The network.
        detector, detector_model: As for `mien.load`.
        host, port: Where to listen; a port of 0 takes a free one.
        limits: What requests may cost.
    """

    bundle: str = "shipped"
    detector: str = "auto"
    detector_model: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    limits: Limits = field(default_factory=Limits)


def serve(options: Options, *, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        MissingExtraError: if FastAPI or uvicorn is not installed.
    """
    try:
        import uvicorn

        from mien.serving.app import Service, create_app
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "serve") from error
    # One thread for each picture: the pool has as many as there are cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    service = Service(recognizers(options), options.limits)
    config = uvicorn.Config(
        create_app(service),
        host=options.host,
        port=options.port,
        http="h11",
        loop="asyncio",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=options.limits.max_connections,
        timeout_graceful_shutdown=int(options.limits.shutdown_s),
    )
    say(f"mien is at http://{options.host}:{options.port} (Ctrl-C stops it)")
    uvicorn.Server(config).run()
    service.pool.close()


def recognizers(options: Options) -> dict[tuple[str, str], Recognizer]:
    """A recognizer for each (`faces`, `mode`) that a request can ask for."""
    bundle = open_bundle(options.bundle)
    detectors = {
        "find": find_detector(
            options.detector,
            model=options.detector_model,
            max_side=None if options.detector == "none" else options.limits.max_side_px,
        ),
        "whole": find_detector("none"),
    }
    return {
        (faces, mode): Recognizer(bundle, detector, num_threads=1, mode=mode)
        for faces, detector in detectors.items()
        for mode in ("fast", "best")
    }
