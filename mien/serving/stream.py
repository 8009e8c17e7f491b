"""Live frames over a WebSocket: frames in, tracked and smoothed faces out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from dataclasses import dataclass, replace
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from mien.errors import DataError
from mien.results import Frame
from mien.serving.guard import SUBPROTOCOL
from mien.serving.problems import Problem, later
from mien.serving.service import Service, Settings, end, failed
from mien.serving.upload import check_picture, places
from mien.video.recognize import track_faces
from mien.video.smoothing import Smoother
from mien.video.tracker import Tracker

MOST_SMOOTH_S = 5.0
_LATEST_S = 1e10  # so that seconds since 1970 are a time, and milliseconds are not
_NO_TIME = (
    "got a text message that gives no time in seconds; expected frames as binary messages, and "
    'texts such as {"time_s": 1.5} only. Fix: send the bytes of a picture as a binary message'
)


@dataclass
class _Received:
    """A received frame that is not analysed yet."""

    index: int
    time_s: float
    data: bytes


class Stream:
    """One session. If frames come faster than they are analysed, only the newest is.

    Args:
        service: Analyses the frames.
        settings: How frames are analysed.
        smooth_s: Time constant of the smoothing in seconds; 0 means none.
    """

    def __init__(self, service: Service, settings: Settings, smooth_s: float) -> None:
        self._service, self._settings = service, settings
        self._recognizer = service.recognizer_for(settings)
        self._tracker, self._smoother = Tracker(), Smoother(smooth_s)
        self._newest: _Received | None = None
        self._has_newest = asyncio.Event()
        self._began = time.monotonic()
        self._num_skipped = 0

    async def serve(self, socket: WebSocket) -> None:
        """Serve until the client closes it, or sends nothing for `stream_idle_s`."""
        offered = socket.scope.get("subprotocols", [])
        await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        tasks = [asyncio.ensure_future(work(socket)) for work in (self._answer, self._receive)]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        except (WebSocketDisconnect, RuntimeError):  # RuntimeError: sent after it was closed
            pass
        except TimeoutError:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(1000, "idle")
        finally:
            await end(*tasks)

    async def _receive(self, socket: WebSocket) -> None:
        """Receive frames, and keep the newest."""
        index, given_s = 0, math.nan  # the time that the client gave for the next frame
        while True:
            async with asyncio.timeout(self._service.limits.stream_idle_s):
                message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))
            data = message.get("bytes")
            if data is None:
                given_s = _parse_time(message.get("text") or "")
                if math.isnan(given_s):
                    await self._refuse_text(socket, index)
                continue
            if self._newest is not None:
                self._num_skipped += 1
                self._service.metrics.skipped.inc()
            time_s = time.monotonic() - self._began if math.isnan(given_s) else given_s
            self._newest, given_s = _Received(index, time_s, data), math.nan
            index += 1
            self._has_newest.set()

    async def _refuse_text(self, socket: WebSocket, index: int) -> None:
        """Answer a text message that gives no time; `index` is that of the next frame."""
        frame = failed("stream", self._recognizer, _NO_TIME)
        frame = replace(frame, index=index, time_s=time.monotonic() - self._began)
        settings = self._service.effective(self._settings)
        await socket.send_text(json.dumps({**frame.to_dict(), **settings, "skipped": 0}))

    async def _answer(self, socket: WebSocket) -> None:
        """Analyse the newest frame, at most `stream_fps` times a second."""
        step_s = 1 / self._service.limits.stream_fps
        due = 0.0
        while True:
            await self._has_newest.wait()
            await asyncio.sleep(max(0.0, due - time.monotonic()))  # a newer one may come meanwhile
            due = time.monotonic() + step_s
            received, skipped = self._newest, self._num_skipped
            self._newest, self._num_skipped = None, 0
            self._has_newest.clear()
            if received is not None:
                frame = await self._recognise(received)
                settings = self._service.effective(self._settings)
                answer = {**frame.to_dict(), **settings, "skipped": skipped}
                await socket.send_text(json.dumps(answer, allow_nan=False))

    async def _recognise(self, received: _Received) -> Frame:
        service, recognizer = self._service, self._recognizer
        data, time_s = received.data, received.time_s
        try:
            check_picture(data, service.limits)
            cost = places(data, service.limits)
            frame = await service.pool.run(
                service.recognise, cost, True, data, recognizer, "stream"
            )
            tracking = self._tracker, self._smoother, recognizer.certain_from
            frame = replace(frame, faces=track_faces(time_s, list(frame.faces), *tracking))
        except DataError as error:
            frame = failed("stream", recognizer, str(error))
        except Problem as problem:
            frame = failed("stream", recognizer, f"{problem.detail}. Fix: {problem.hint}")
        return replace(frame, index=received.index, time_s=time_s)


async def serve_stream(
    socket: WebSocket, service: Service, settings: Settings, smooth_s: float
) -> None:
    """Serve one session if fewer than `max_streams` are open.

    Raises:
        Problem: if all streams are in use; it refuses the handshake.
    """
    metrics = service.metrics
    if service.num_streams >= service.limits.max_streams:
        raise later("too-many-streams", f"all {service.limits.max_streams} streams are in use", 5)
    service.num_streams += 1
    metrics.streams.set(service.num_streams)
    try:
        await Stream(service, settings, smooth_s).serve(socket)
    finally:
        service.num_streams -= 1
        metrics.streams.set(service.num_streams)


def _parse_time(text: str) -> float:
    """Seconds in a message such as `{"time_s": 1.5}`; NaN for anything else."""
    try:
        message: Any = json.loads(text[:200])
        value = message["time_s"]
        is_time = not isinstance(value, bool) and 0 <= value < _LATEST_S
    except (ValueError, TypeError, KeyError, RecursionError):
        return math.nan
    return float(value) if is_time else math.nan
