"""Live frames over a WebSocket: newest in, followed and smoothed faces out."""

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
from mien.serving.service import Ask, Service, end, failed
from mien.serving.upload import check_picture, places
from mien.video.recognize import follow
from mien.video.smoothing import Smoother
from mien.video.tracker import Tracker

MOST_SMOOTH_S = 5.0


@dataclass
class _Shot:
    """A frame that came and was not looked at yet."""

    index: int
    time_s: float
    data: bytes


class Stream:
    """One session. Of frames that come faster than they are analysed, the newest is taken.

    Args:
        service: What analyses.
        ask: How frames are looked at.
        smooth_s: Time constant of the smoothing in seconds; 0: none.
    """

    def __init__(self, service: Service, ask: Ask, smooth_s: float) -> None:
        self._service, self._ask, self._recognizer = service, ask, service.way(ask)
        self._tracker, self._smoother = Tracker(), Smoother(smooth_s)
        self._newest: _Shot | None = None
        self._came = asyncio.Event()
        self._began = time.monotonic()
        self._num_skipped = 0

    async def serve(self, socket: WebSocket) -> None:
        """Until the client ends it, or says nothing for `stream_idle_s`."""
        offered = socket.scope.get("subprotocols", [])
        await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        both = [asyncio.ensure_future(work(socket)) for work in (self._answer, self._receive)]
        try:
            ended, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for one in ended:
                one.result()
        except (WebSocketDisconnect, RuntimeError):  # RuntimeError: sent after the end
            pass
        except TimeoutError:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(1000, "idle")
        finally:
            await end(*both)

    async def _receive(self, socket: WebSocket) -> None:
        index, told_s = 0, math.nan
        while True:
            async with asyncio.timeout(self._service.limits.stream_idle_s):
                message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))
            data = message.get("bytes")
            if data is None:
                told_s = _told_time(message.get("text") or "")
                continue
            if self._newest is not None:
                self._num_skipped += 1
                self._service.metrics.skipped.inc()
            now_s = time.monotonic() - self._began if math.isnan(told_s) else told_s
            self._newest, told_s = _Shot(index, now_s, data), math.nan
            index += 1
            self._came.set()

    async def _answer(self, socket: WebSocket) -> None:
        step_s = 1 / self._service.limits.stream_fps
        due = 0.0
        while True:
            await self._came.wait()
            await asyncio.sleep(max(0.0, due - time.monotonic()))  # a newer one may come meanwhile
            due = time.monotonic() + step_s
            shot, skipped = self._newest, self._num_skipped
            self._newest, self._num_skipped = None, 0
            self._came.clear()
            if shot is not None:
                frame = await self._look(shot)
                answer = {
                    **frame.to_dict(),
                    **self._service.settings(self._ask),
                    "skipped": skipped,
                }
                await socket.send_text(json.dumps(answer, allow_nan=False))

    async def _look(self, shot: _Shot) -> Frame:
        service, recognizer = self._service, self._recognizer
        try:
            check_picture(shot.data, service.limits)
            cost = places(shot.data, service.limits)
            frame = await service.pool.run(
                service.look, cost, True, shot.data, recognizer, "stream"
            )
            faces = follow(
                shot.time_s,
                list(frame.faces),
                self._tracker,
                self._smoother,
                recognizer.certain_from,
            )
            frame = replace(frame, faces=faces)
        except DataError as error:
            frame = failed("stream", recognizer, str(error))
        except Problem as problem:
            frame = failed("stream", recognizer, f"{problem.detail}. Fix: {problem.hint}")
        return replace(frame, index=shot.index, time_s=shot.time_s)


async def serve_stream(socket: WebSocket, service: Service, ask: Ask, smooth_s: float) -> None:
    """One session, if there is room for it.

    Raises:
        Problem: if all streams are taken; the handshake is refused with it.
    """
    metrics = service.metrics
    if service.num_streams >= service.limits.max_streams:
        raise later("too-many-streams", f"all {service.limits.max_streams} streams are in use", 5)
    service.num_streams += 1
    metrics.streams.set(service.num_streams)
    try:
        await Stream(service, ask, smooth_s).serve(socket)
    finally:
        service.num_streams -= 1
        metrics.streams.set(service.num_streams)


def _told_time(text: str) -> float:
    """Seconds that the client gives the next frame, `{"time_s": 1.5}`; NaN for anything else."""
    try:
        found: Any = json.loads(text[:200])
        value = float(found["time_s"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return math.nan
    return value if math.isfinite(value) and 0 <= value < 1e7 else math.nan
