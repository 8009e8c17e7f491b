"""The verb `serve`: its options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import choice, say
from mien.cli.predict import Prior
from mien.constants import DETECTORS


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 serves other machines too.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 for any free port.", min=0, max=65535)
    ] = 8000,
    bundle: Annotated[
        str, typer.Option(help="The network, written by `mien export`; by default mien's own.")
    ] = "shipped",
    detector: Annotated[str, typer.Option(help="The face detector.", **choice(DETECTORS))] = "auto",
    detector_model: Annotated[
        Path | None,
        typer.Option(help="File with YuNet's weights; by default a download.", show_default=False),
    ] = None,
    prior: Prior = None,
    max_side: Annotated[
        int | None,
        typer.Option(
            help="Longest side in pixels at which faces are detected; 1280 by default.",
            min=32,
            show_default=False,
        ),
    ] = None,
    collect: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Store corrected faces in DIR/label/ for training; the page tells its users.",
            show_default=False,
        ),
    ] = None,
    token: Annotated[
        str,
        typer.Option(
            envvar="MIEN_TOKEN",
            help=(
                "Token that requests must carry. Prefer $MIEN_TOKEN, since other users can see a "
                "command's options."
            ),
            show_default=False,
        ),
    ] = "",
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate (PEM) for https.", show_default=False)
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (PEM).", show_default=False)] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A further host name of this server.", show_default=False
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="Change a limit, such as queue=20 (docs/security.md lists all).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve the web page and the HTTP API, by default only to this machine.

    Example: mien serve --port 8000
    """
    from mien.serving.limits import parse_limits
    from mien.serving.server import Options
    from mien.serving.server import serve as serve_now

    limits = parse_limits(limit or [])
    if max_side is not None:
        limits = replace(limits, max_side_px=max_side)
    options = Options(
        bundle=bundle,
        detector=detector,
        detector_model=detector_model,
        prior=prior,
        host=host,
        port=port,
        allow_hosts=tuple(allow_host or ()),
        token=token,
        tls_cert=tls_cert,
        tls_key=tls_key,
        collect=collect,
        limits=limits,
    )
    serve_now(options, say=say)
