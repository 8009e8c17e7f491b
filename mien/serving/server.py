"""The process of `mien serve`: load the networks, open the socket, handle signals."""

from __future__ import annotations

import logging
import math
import os
import re
import signal
import socket as socket_module
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from mien.bundle import open_bundle
from mien.errors import MissingExtraError, RunError, UsageError
from mien.recognizer import Recognizer
from mien.serving.limits import Limits
from mien.vision.detect import find_detector

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from mien.serving.service import Service

_BACKLOG = 128  # connections that the operating system queues
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_HOST_NAME = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.IGNORECASE)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """Options of the server.

    Attributes:
        bundle: The network: a path or `shipped`.
        detector, detector_model, prior: As for `mien.load`.
        host, port: The address to listen at; port 0 takes a free one.
        allow_hosts: Additional names accepted in the header Host.
        token: The bearer token that requests to the API must send; empty means none.
        tls_cert, tls_key: PEM files for https.
        collect: Folder for corrections; None means that none are accepted.
        limits: Limits of requests.

    Raises:
        UsageError: if the TLS files, the token or a host name cannot be used.
    """

    bundle: str = "shipped"
    detector: str = "auto"
    detector_model: Path | None = None
    prior: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    allow_hosts: tuple[str, ...] = ()
    token: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    collect: Path | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError(
                "--tls-cert and --tls-key: got one of them; expected both or neither. Fix: name "
                "the other file too"
            )
        for path in (self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise UsageError(
                    f"{path}: got nothing: no such file; expected a certificate or key (PEM). Fix: "
                    "check the path"
                )
        for name in self.allow_hosts:
            if not _HOST_NAME.fullmatch(name):
                raise UsageError(
                    f"--allow-host: got {name!r}; expected a host name or an address, without a "
                    "port. Fix: write one such as mien.example.org"
                )
        if self.token and (len(self.token) < 16 or not self.token.isascii()):
            raise UsageError(
                f"token: got {len(self.token)} characters; expected 16 or more of ASCII. "
                "Fix: create one with openssl rand -hex 32"
            )


def serve(options: Options, *, say: Say) -> None:
    """Serve until SIGINT or SIGTERM; open requests are answered before it returns.

    Args:
        options: Options of the server.
        say: Receives messages for the user.

    Raises:
        MissingExtraError: if FastAPI or uvicorn is not installed.
        RunError: if the address is in use.
        UsageError: if the certificate cannot be used.
    """
    # Each picture is analysed in one thread: there are as many at a time as cores.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ.setdefault(name, "1")
    try:
        import uvicorn

        from mien.serving.app import create_app
        from mien.serving.guard import Access
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "serve") from error
    _log_to_stderr()
    service = _service(options)
    access = Access(_host_names(options), options.token, options.limits.requests_a_minute)
    config = _config(create_app(service, access), options)
    socket = _listen(options)
    _say_address(options, socket.getsockname()[1], say)
    # uvicorn raises the signal again after it has stopped.
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, _ignore) for number in numbers}
    try:
        uvicorn.Server(config).run(sockets=[socket])
    finally:
        service.close()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    say("stopped; all requests that were taken have been answered")


def _host_names(options: Options) -> frozenset[str]:
    """The names that a request may give in the header Host; empty means any."""
    if not options.allow_hosts and options.host not in LOOPBACK:
        return frozenset()
    return frozenset(name.lower() for name in (*LOOPBACK, options.host, *options.allow_hosts))


def _service(options: Options) -> Service:
    from mien.serving.service import Service
    from mien.serving.teach import Collection

    recognizer = recognizer_of(options)
    collection = None
    if options.collect is not None:
        heads = [recognizer.labels, *recognizer.heads.values()]
        labels = dict.fromkeys(name for label_set in heads for name in label_set.names)
        collection = Collection(options.collect, tuple(labels), options.limits.max_collected)
    return Service(recognizer, options.limits, collection)


def _config(app: ASGIApp, options: Options) -> uvicorn.Config:
    import uvicorn

    from mien.serving.connection import connection_class

    config = uvicorn.Config(
        app,
        http=connection_class(options.limits),
        loop="asyncio",
        ws="websockets-sansio",
        ws_max_size=options.limits.max_bytes + (1 << 20),
        ws_max_queue=2,
        ws_per_message_deflate=False,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=16_384,
        timeout_graceful_shutdown=math.ceil(options.limits.shutdown_s),
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
    )
    try:
        config.load()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--tls-cert, --tls-key: got files that cannot be used ({error}); expected a "
            "certificate and its key (PEM, without a password). Fix: check that they belong "
            "together"
        ) from error
    return config


def _ignore(number: int, frame: FrameType | None) -> None:
    pass


def _listen(options: Options) -> socket_module.socket:
    family = socket_module.AF_INET6 if ":" in options.host else socket_module.AF_INET
    address = (options.host, options.port)
    try:
        return socket_module.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise RunError(
            f"{options.host}:{options.port}: got {error.strerror or error}; expected a free "
            "address of this machine. Fix: choose another --port, or 0 for any free one"
        ) from error


def _say_address(options: Options, port: int, say: Say) -> None:
    kind = "http" if options.tls_cert is None else "https"
    host = f"[{options.host}]" if ":" in options.host else options.host
    say(f"mien is at {kind}://{host}:{port} (Ctrl-C stops it)")
    if options.collect is not None:
        say(f"corrections are collected in {options.collect}")
    if options.host not in LOOPBACK:
        say(
            f"warning: {options.host} can be reached from other machines"
            + ("" if options.token else "; everybody there may use it (--token limits that)")
            + ("" if options.tls_cert else "; pictures travel unencrypted (--tls-cert, --tls-key)")
        )


def recognizer_of(options: Options) -> Recognizer:
    """The recognizer for the options."""
    side = None if options.detector == "none" else options.limits.max_side_px
    detector = find_detector(options.detector, model=options.detector_model, max_side=side)
    bundle = open_bundle(options.bundle)
    return Recognizer(bundle, detector, num_threads=1, prior=options.prior)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
    # uvicorn logs this for each stream that is refused with a response.
    handler.addFilter(lambda record: "without completing handshake" not in record.getMessage())
    for name, level in (("mien.serving", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
