"""The verb `serve`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import DetectorKind, say


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine's own: everybody.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    bundle: Annotated[
        str, typer.Option(help="The network: what `mien export` wrote; by default mien's own.")
    ] = "shipped",
    detector: Annotated[DetectorKind, typer.Option(help="What finds faces.")] = DetectorKind.auto,
    detector_model: Annotated[
        Path | None,
        typer.Option(
            help="File with YuNet's weights, instead of the download.", show_default=False
        ),
    ] = None,
) -> None:
    """The web page and the HTTP API, on this machine.

    Example: mien serve --port 8000
    """
    from mien.serving.server import Options
    from mien.serving.server import serve as serve_now

    serve_now(Options(bundle, str(detector), detector_model, host, port), say=say)
