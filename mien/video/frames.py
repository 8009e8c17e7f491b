"""Read videos, cameras and streams as upright frames with true times, in bounded memory.

- Times are those of the file (PTS times its time base): unequal steps stay unequal. Formats whose
  clock starts anywhere (MPEG-TS, live streams) are counted from their start, a camera from its
  first frame.
- Pictures are upright: the rotation and mirroring in the file's display matrix is undone, and
  pixels that are not square are stretched.
- A thread decodes ahead into a queue of a few pictures, so memory does not grow with the length of
  a video. A camera does not wait: frames that cannot be processed in time are skipped and counted.
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

import numpy as np

from mien.errors import UsageError
from mien.video import decoding
from mien.video.cuts import with_cuts
from mien.video.decoding import (
    CAMERA,
    LIVE,
    Raw,
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

_AHEAD = 4  # pictures decoded ahead
_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .wmv .flv .3gp .ogv".split()
)


@dataclass(frozen=True)
class VideoFrame:
    """One frame of a video.

    Attributes:
        index: Its number among all frames of the video, from 0, including frames that were not
            looked at.
        time_s: Its time in seconds.
        image: uint8 RGB (H, W, 3), upright; None if there is an error.
        error: Why there is no image, or ''.
        cut: Whether a new scene began since the last frame looked at (`mien.video.cuts`).
    """

    index: int
    time_s: float
    image: np.ndarray | None
    error: str = ""
    cut: bool = False


def is_video(source: str | os.PathLike[str]) -> bool:
    """Whether a source is a video file, a stream, a camera, or an animation.

    The name decides; for pictures that may be animated, their first bytes; for an address without
    an ending, the type that its server declares.
    """
    text = os.fspath(source)
    if text.startswith(CAMERA):
        return True
    if is_address(text) or protocol_of(text):
        return protocol_of(text) != "" and not is_picture_address(text)
    return is_video_name(text) or is_animated(text)


def is_video_name(name: str) -> bool:
    """Whether a path ends as a video's does."""
    return os.path.splitext(name)[1].lower() in _SUFFIXES


def read_frames(
    source: str | os.PathLike[str], *, every: float | None = None, tell: Tell | None = None
) -> Generator[VideoFrame, None, None]:
    """Frames of a video, decoded in a thread; close the iterator to stop it early.

    Args, errors: as for `mien.video.recognize.watch`.
    """
    check_every(every)
    return _from_thread(os.fspath(source), every, tell or (lambda note: None))


def check_every(every: float | None) -> None:
    if every is not None and not (math.isfinite(every) and every > 0):
        raise UsageError(
            f"every: got {every}; expected seconds above 0, or None for every frame. Fix: give one "
            "of these"
        )


def _from_thread(source: str, every: float | None, tell: Tell) -> Generator[VideoFrame, None, None]:
    """Run `_selected` in a thread; its errors are raised here."""
    ahead = _Ahead(source, every)
    last_heard, last = time.monotonic(), VideoFrame(-1, 0.0, None)
    try:
        while True:
            try:
                item = ahead.get()
            except queue.Empty:
                if ahead.live and time.monotonic() - last_heard > decoding.STALL_S:
                    if last.index < 0:
                        raise bad_video(
                            source,
                            f"no frame within {decoding.STALL_S:.0f} s",
                            "check the camera or stream",
                        ) from None
                    ahead.notes.append(
                        f"{source}: no frame for {decoding.STALL_S:.0f} s after {last.time_s:.2f} "
                        "s; it ends there"
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
            last_heard, last = time.monotonic(), item
            yield item
    finally:
        ahead.stop()
        for note in ahead.notes:
            tell(note)


class _Ahead:
    """A thread that decodes ahead, and the queue it fills: frames, then None or what it raised.

    Attributes:
        live: Whether the source does not wait, so that frames which nobody takes are skipped.
        notes: Sentences for the user.
    """

    def __init__(self, source: str, every: float | None) -> None:
        self.live = source.startswith(CAMERA) or protocol_of(source) in LIVE
        self.notes: list[str] = []
        self._source, self._every = source, every
        self._queue: queue.Queue[VideoFrame | BaseException | None] = queue.Queue(_AHEAD)
        self._stop = threading.Event()
        self._passed_over = 0
        self._thread = threading.Thread(target=self._decode, name="mien-video", daemon=True)
        self._thread.start()

    def get(self) -> VideoFrame | BaseException | None:
        """The next item; queue.Empty after a short wait, so that Ctrl-C works on every system."""
        return self._queue.get(timeout=min(1.0, decoding.STALL_S / 4))

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        # A camera's driver may hang; the thread then ends with the program.
        give_up = time.monotonic() + min(2.0, decoding.STALL_S)
        while self._thread.is_alive() and (not self.live or time.monotonic() < give_up):
            try:
                self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(0.02)
        if self._passed_over:
            self.notes.append(
                f"{self._source}: {num_frames(self._passed_over)} skipped, faster than they could "
                "be processed"
            )

    def _decode(self) -> None:
        end: BaseException | None = None
        try:
            with closing(_selected(self._source, self._every, self.notes.append)) as chosen:
                for frame in chosen:
                    self._put(frame)
                    if self._stop.is_set():
                        break
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            end = error
        self._put(end)

    def _put(self, item: VideoFrame | BaseException | None) -> None:
        while self.live:
            try:
                return self._queue.put_nowait(item)
            except queue.Full:
                try:
                    passed = self._queue.get_nowait()
                except queue.Empty:
                    continue
                self._passed_over += passed is not None
                if isinstance(passed, VideoFrame) and passed.cut and isinstance(item, VideoFrame):
                    item = replace(item, cut=True)
        self._queue.put(item)


def _selected(source: str, every: float | None, tell: Tell) -> Generator[VideoFrame, None, None]:
    """Number the frames, choose those to look at, and convert only these to pictures."""
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
            # With a tolerance of a thousandth of a step: 0.2 s may be stored as 0.19999.
            if every is None or frame.time_s >= next_s - every / 1000:
                if every is not None:
                    next_s = (math.floor(frame.time_s / every + 0.001) + 1) * every
                yield VideoFrame(index, frame.time_s, frame.rgb(), cut=is_cut)
                is_cut = False
    if not num_read:
        reason = (
            f"{num_frames(num_broken)}, none of which can be decoded"
            if num_broken
            else "no frame at all"
        )
        raise bad_video(source, reason, "check that it plays elsewhere, or copy or export it again")
    if num_broken:
        tell(
            f"{source}: {num_broken:,} of {num_frames(num_read + num_broken)} could not be decoded"
        )


def _small(frame: Raw) -> tuple[float, np.ndarray] | None:
    return None if frame.small is None else (frame.time_s, frame.small())
