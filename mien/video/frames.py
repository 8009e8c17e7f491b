"""Read videos, cameras and streams as upright frames with true times, in bounded memory.

- Times come from the file (PTS times time base), so variable frame rates are kept. Formats whose
  clock starts anywhere (MPEG-TS, live streams) count from their start, cameras from their first
  frame.
- Pictures are upright: rotation and mirroring by the file's display matrix are applied, and pixels
  that are not square are stretched.
- A thread decodes ahead into a queue of a few pictures, so memory does not grow with the length of
  a video. Cameras do not wait: frames that cannot be processed in time are skipped and counted.
- A frame that cannot be decoded is a VideoFrame with an error. If a file or stream ends early, the
  last VideoFrame says so.
"""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from mien.errors import UsageError, without_password
from mien.video import decoding
from mien.video.cuts import with_cuts
from mien.video.decoding import (
    CAMERA,
    LIVE,
    RawFrame,
    Tell,
    animation,
    bad_video,
    camera_frames,
    file_frames,
    num_frames,
    protocol_of,
)
from mien.vision.addresses import is_address, is_picture_address
from mien.vision.animation import is_animated

_QUEUE_SIZE = 4  # pictures decoded ahead
_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .wmv .flv .3gp .ogv".split()
)


@dataclass(frozen=True)
class VideoFrame:
    """One frame of a video.

    Attributes:
        index: Its number among all frames of the video, from 0, including skipped ones.
        time_s: Its time in seconds.
        image: RGB uint8 (H, W, 3), upright; None if there is an error.
        error: Why there is no image, or ''.
        cut: Whether a new scene has begun since the previous VideoFrame (`mien.video.cuts`).
    """

    index: int
    time_s: float
    image: np.ndarray | None
    error: str = ""
    cut: bool = False


def is_video(source: str | os.PathLike[str]) -> bool:
    """Whether a source is a video file, a stream, a camera, or an animation.

    The name decides, except for pictures that may be animated (their first bytes decide) and for
    addresses without an ending (the type that the server declares decides).
    """
    text = os.fspath(source)
    if text.startswith(CAMERA):
        return True
    if is_address(text) or protocol_of(text):
        return protocol_of(text) != "" and not is_picture_address(text)
    return is_video_name(text) or is_animated(text)


def is_video_name(name: str) -> bool:
    """Whether a path has the ending of a video."""
    return os.path.splitext(name)[1].lower() in _SUFFIXES


def read_frames(
    source: str | os.PathLike[str], *, every: float | None = None, tell: Tell | None = None
) -> Generator[VideoFrame, None, None]:
    """Frames of a video, decoded in a thread; close the iterator to stop early.

    Arguments and errors are those of `mien.video.recognize.watch`.
    """
    check_every(every)

    def tell_safely(note: str) -> None:
        if tell is not None:
            tell(without_password(note))

    return _from_thread(os.fspath(source), every, tell_safely)


def check_every(every: float | None) -> None:
    is_number = isinstance(every, Real) and math.isfinite(every)  # no text such as 0.2s
    if every is not None and not (is_number and every > 0):
        raise UsageError(
            f"every: got {every!r}; expected seconds above 0, or None for every frame. Fix: pass "
            "one of these"
        )


def _from_thread(source: str, every: float | None, tell: Tell) -> Generator[VideoFrame, None, None]:
    """Run `_selected` in a thread; its errors are raised here."""
    decoder = _DecoderThread(source, every)
    last_item_s, last = time.monotonic(), VideoFrame(-1, 0.0, None)
    try:
        while True:
            try:
                item = decoder.get()
            except queue.Empty:
                if decoder.live and time.monotonic() - last_item_s > decoding.STALL_S:
                    if last.index < 0:
                        raise bad_video(
                            source,
                            f"no frame within {decoding.STALL_S:.0f} s",
                            "check the camera or stream",
                        ) from None
                    decoder.notes.append(
                        f"{source}: no frame for {decoding.STALL_S:.0f} s after {last.time_s:.2f} "
                        "s; reading ends there"
                    )
                    yield VideoFrame(
                        last.index + 1, last.time_s, None, f"no frame for {decoding.STALL_S:.0f} s"
                    )
                    break
                continue
            if item is None:
                break
            if isinstance(item, BaseException):
                raise item
            last_item_s, last = time.monotonic(), item
            yield item
    finally:
        decoder.stop()
        for note in decoder.notes:
            tell(note)


class _DecoderThread:
    """A thread that decodes ahead into a queue: frames, then None or the exception that ended it.

    Attributes:
        live: Whether the source does not wait, so frames that come too fast are skipped.
        notes: Sentences for the user.
    """

    def __init__(self, source: str, every: float | None) -> None:
        self.live = source.startswith(CAMERA) or protocol_of(source) in LIVE
        self.notes: list[str] = []
        self._source, self._every = source, every
        self._queue: queue.Queue[VideoFrame | BaseException | None] = queue.Queue(_QUEUE_SIZE)
        self._stop = threading.Event()
        self._num_dropped = 0
        self._thread = threading.Thread(target=self._decode, name="mien-video", daemon=True)
        self._thread.start()

    def get(self) -> VideoFrame | BaseException | None:
        """The next item; queue.Empty after a short wait, so that Ctrl-C works on every system."""
        return self._queue.get(timeout=min(1.0, decoding.STALL_S / 4))

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        # A camera's driver may hang; its thread then ends with the program.
        deadline_s = time.monotonic() + min(2.0, decoding.STALL_S)
        while self._thread.is_alive() and (not self.live or time.monotonic() < deadline_s):
            try:
                self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(0.02)
        if self._num_dropped:
            self.notes.append(
                f"{self._source}: {num_frames(self._num_dropped)} skipped, which came faster than "
                "they could be processed"
            )

    def _decode(self) -> None:
        end: BaseException | None = None
        try:
            with closing(_select_frames(self._source, self._every, self.notes.append)) as frames:
                for frame in frames:
                    self._enqueue(frame)
                    if self._stop.is_set():
                        break
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            end = error
        self._enqueue(end)

    def _enqueue(self, item: VideoFrame | BaseException | None) -> None:
        while self.live:
            try:
                return self._queue.put_nowait(item)
            except queue.Full:
                try:
                    dropped_item = self._queue.get_nowait()
                except queue.Empty:
                    continue
                self._num_dropped += dropped_item is not None
                if (
                    isinstance(dropped_item, VideoFrame)
                    and dropped_item.cut
                    and isinstance(item, VideoFrame)
                ):
                    item = replace(item, cut=True)
        self._queue.put(item)


def _select_frames(
    source: str, every: float | None, tell: Tell
) -> Generator[VideoFrame, None, None]:
    """Number the frames, select those to analyse, and convert only these to pictures."""
    if source.startswith(CAMERA):
        frames = camera_frames(source)
    elif is_animated(source):
        frames = animation(source)
    else:
        frames = file_frames(source, tell)
    next_s = -math.inf
    num_read = num_broken = 0
    is_cut = False
    with closing(frames):
        for index, (frame, begins_scene) in enumerate(with_cuts(frames, _small)):
            is_cut |= begins_scene
            if frame.rgb is None:
                num_broken += not frame.last
                if num_read and (every is None or frame.last):
                    yield VideoFrame(index, frame.time_s, None, frame.error)
                continue
            num_read += 1
            # The tolerance is for rounded times: 0.2 s may be stored as 0.19999.
            if every is None or frame.time_s >= next_s - every / 1000:
                if every is not None:
                    next_s = (math.floor(frame.time_s / every + 0.001) + 1) * every
                yield VideoFrame(index, frame.time_s, frame.rgb(), cut=is_cut)
                is_cut = False
    if not num_read:
        reason = (
            f"{num_frames(num_broken)}, none of which can be decoded" if num_broken else "no frame"
        )
        raise bad_video(source, reason, "check that it plays elsewhere, or copy or export it again")
    if num_broken:
        tell(
            f"{source}: {num_broken:,} of {num_frames(num_read + num_broken)} could not be decoded"
        )


def _small(frame: RawFrame) -> tuple[float, np.ndarray] | None:
    return None if frame.small is None else (frame.time_s, frame.small())
