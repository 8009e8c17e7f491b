"""Videos, cameras and streams in: frames with true times, upright, in bounded memory.

- Times are those of the file (PTS times its time base), as they are: unequal steps stay unequal.
  Formats that count from an arbitrary moment (MPEG-TS, live streams) are counted from their start;
  a camera from its first frame.
- Pictures are upright: the rotation and mirroring in the file's display matrix is undone; pixels
  that are not square are stretched to be.
- A thread decodes ahead through a queue of a few pictures, so memory does not grow with the length
  of a video. A camera does not wait: what cannot be looked at in time is passed over, and counted.
- A frame that cannot be decoded is a Shot with an error; where a file or stream breaks off, the
  last Shot says so.
"""

from __future__ import annotations

import heapq
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np

from mien.errors import DataError, MissingExtraError, UsageError
from mien.video.cuts import HEIGHT, WIDTH, with_cuts
from mien.vision.image import DEFAULT_LIMITS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.sidedata.sidedata import SideDataContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

STALL_S = 10.0  # a camera or stream that is silent for so long has stopped
_AHEAD = 4  # pictures decoded ahead
_LEAP_S = 10.0  # as ffmpeg's dts_delta_threshold
_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .wmv .flv .3gp .ogv".split()
)
_CAMERA = "camera:"
_STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "tcp", "http", "https")
_LIVE = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp")  # do not wait for a slow reader
# What FFmpeg would play too: letters, and pictures.
_NO_VIDEO = ("tty", "txd", "image2", "bin", "xbin", "adf", "idf", "ico")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Shot:
    """One frame of a video.

    Attributes:
        index: Its number among all frames of the video, from 0, those that were not looked at
            included.
        time_s: Its time in seconds.
        image: uint8 RGB (H, W, 3), upright; None where there is an error.
        error: Why there is no image; '' where there is one.
        cut: Whether another scene began since the last frame looked at (`mien.video.cuts`).
    """

    index: int
    time_s: float
    image: np.ndarray | None
    error: str = ""
    cut: bool = False


@dataclass(frozen=True)
class VideoFacts:
    """What a video says of itself before it is read. `duration_s` and `num_frames` are None where
    it does not say.
    """

    width: int
    height: int
    duration_s: float | None
    num_frames: int | None
    rate: float | None
    codec: str


def is_video(source: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a video file, a stream or a camera."""
    text = os.fspath(source)
    return (
        text.startswith(_CAMERA)
        or _protocol(text) != ""
        or os.path.splitext(text)[1].lower() in _SUFFIXES
    )


def facts(source: str | os.PathLike[str]) -> VideoFacts:
    """What a video file says of itself, for a progress bar; its frames are not read.

    Raises:
        DataError: if it is no video.
        MissingExtraError: if PyAV is not installed.
    """
    with _opened(os.fspath(source)) as (container, stream):
        rate = stream.average_rate
        return VideoFacts(
            stream.codec_context.width,
            stream.codec_context.height,
            None if not container.duration else container.duration / 1_000_000,
            stream.frames or None,
            None if not rate else float(rate),
            stream.codec_context.name,
        )


def shots(
    source: str | os.PathLike[str], *, every: float | None = None, tell: Tell | None = None
) -> Generator[Shot, None, None]:
    """Frames of a video, decoded in a thread; close the iterator to stop it early.

    Args, errors: as for `mien.video.recognize.watch`.
    """
    check_every(every)
    return _from_thread(os.fspath(source), every, tell or (lambda note: None))


def check_every(every: float | None) -> None:
    if every is not None and not (math.isfinite(every) and every > 0):
        raise UsageError(f"every: came {every}; expected seconds above 0, or None for every frame")


def _protocol(source: str) -> str:
    protocol = source.partition("://")[0].lower()
    return protocol if protocol in _STREAMS and "://" in source else ""


# The thread and its queue.


def _from_thread(source: str, every: float | None, tell: Tell) -> Generator[Shot, None, None]:
    """Run `_selected` in a thread; what it raises is raised here."""
    live = source.startswith(_CAMERA) or _protocol(source) in _LIVE
    ahead: queue.Queue[Shot | BaseException | None] = queue.Queue(_AHEAD)
    stop = threading.Event()
    notes: list[str] = []
    passed_over = 0

    def put(item: Shot | BaseException | None) -> None:
        nonlocal passed_over
        while live:
            try:
                return ahead.put_nowait(item)
            except queue.Full:
                try:
                    passed = ahead.get_nowait()
                except queue.Empty:
                    continue
                passed_over += passed is not None
                if isinstance(passed, Shot) and passed.cut and isinstance(item, Shot):
                    item = replace(item, cut=True)
        ahead.put(item)

    def decode() -> None:
        end: BaseException | None = None
        try:
            with closing(_selected(source, every, notes.append)) as chosen:
                for shot in chosen:
                    put(shot)
                    if stop.is_set():
                        break
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            end = error
        put(end)

    thread = threading.Thread(target=decode, name="mien-video", daemon=True)
    thread.start()
    last_heard, last = time.monotonic(), Shot(-1, 0.0, None)
    try:
        while True:
            try:
                item = ahead.get(
                    timeout=min(1.0, STALL_S / 4)
                )  # in short waits, so that Ctrl-C is heard on every system
            except queue.Empty:
                if live and time.monotonic() - last_heard > STALL_S:
                    if last.index < 0:
                        raise _bad(
                            source, f"no frame within {STALL_S:.0f} s", "check the camera or stream"
                        ) from None
                    notes.append(
                        f"{source}: no frame for {STALL_S:.0f} s after {last.time_s:.2f} s; stopped"
                    )
                    yield Shot(last.index + 1, last.time_s, None, f"no frame for {STALL_S:.0f} s")
                    break
                continue
            if item is None:
                break
            if isinstance(item, BaseException):
                raise item
            last_heard, last = time.monotonic(), item
            yield item
    finally:
        stop.set()
        give_up = time.monotonic() + min(
            2.0, STALL_S
        )  # a camera's driver may hang; the thread then ends with the program
        while thread.is_alive() and (not live or time.monotonic() < give_up):
            try:
                ahead.get_nowait()
            except queue.Empty:
                thread.join(0.02)
        if passed_over:
            notes.append(f"{source}: {_frames(passed_over)} came faster than could be looked at")
        for note in notes:
            tell(note)


@dataclass(frozen=True)
class _Raw:
    """A frame before it was decided whether to look at it."""

    time_s: float
    rgb: Callable[[], np.ndarray] | None
    small: Callable[[], np.ndarray] | None = None  # for `with_cuts`
    error: str = ""
    last: bool = False  # stands for the place where the video breaks off


def _selected(source: str, every: float | None, tell: Tell) -> Generator[Shot, None, None]:
    """Number the frames, choose those to look at, and turn these alone into pictures."""
    frames = _camera_frames(source) if source.startswith(_CAMERA) else _file_frames(source, tell)
    next_s = -math.inf
    num_read = num_broken = 0
    is_cut = False
    with closing(frames):
        for index, (frame, begins_scene) in enumerate(with_cuts(frames, _small)):
            is_cut |= begins_scene
            if frame.rgb is None:
                num_broken += not frame.last
                if num_read and (every is None or frame.last):
                    yield Shot(index, frame.time_s, None, frame.error)
                continue
            num_read += 1
            # A thousandth of a step of grace: 0.2 s may be written as 0.19999.
            if every is None or frame.time_s >= next_s - every / 1000:
                if every is not None:
                    next_s = (math.floor(frame.time_s / every + 0.001) + 1) * every
                yield Shot(index, frame.time_s, frame.rgb(), cut=is_cut)
                is_cut = False
    if not num_read:
        came = (
            f"{_frames(num_broken)}, none of which can be decoded"
            if num_broken
            else "no frame at all"
        )
        raise _bad(source, came, "check that it plays elsewhere; copy or export it again")
    if num_broken:
        tell(f"{source}: {num_broken:,} of {_frames(num_read + num_broken)} could not be decoded")


def _small(frame: _Raw) -> tuple[float, np.ndarray] | None:
    return None if frame.small is None else (frame.time_s, frame.small())


# Files and streams, by PyAV.


@contextmanager
def _opened(source: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("av", "video") from error

    if _protocol(source):
        where, options = source, {}
    else:
        if not os.path.exists(source):
            raise _bad(source, "no such file", "check the path")
        if os.path.isdir(source):
            raise _bad(source, "a folder", "name the files in it")
        if os.path.getsize(source) == 0:
            raise _bad(source, "an empty file of 0 bytes", "copy or export it again")
        # A file may name other files and addresses to be read; none of them is.
        where, options = f"file:{source}", {"protocol_whitelist": "file"}
    try:
        container = av.open(
            where, "r", options=options, timeout=(STALL_S, STALL_S), metadata_errors="replace"
        )
    except (av.error.FFmpegError, OSError) as error:
        came = f"a file or stream that cannot be opened as a video ({getattr(error, 'strerror', None) or error})"
        raise _bad(
            source, came, "copy or export it again; an mp4 that was broken off has lost its index"
        ) from error
    with container:
        name = container.format.name
        streams = [
            s
            for s in container.streams.video
            if not s.disposition & av.stream.Disposition.attached_pic
        ]
        if name in _NO_VIDEO or name.endswith("_pipe"):
            raise _bad(
                source, f"a file of the kind {name}, which is no video", "give pictures as pictures"
            )
        if not streams:
            kinds = sorted({s.type for s in container.streams})
            came = (
                f"a file with {' and '.join(kinds)} only"
                if kinds
                else "a file with nothing to play"
            )
            raise _bad(source, came, "give a file that has a picture")
        stream = streams[0]
        if stream.codec_context is None:
            raise _bad(
                source,
                "a codec that the installed PyAV does not know",
                "convert it to H.264 in mp4",
            )
        size = (stream.codec_context.width, stream.codec_context.height)
        if size[0] * size[1] > DEFAULT_LIMITS.max_pixels:
            raise _bad(source, f"frames of {size[0]} x {size[1]} pixels", "make it smaller")
        yield container, stream


def _file_frames(source: str, tell: Tell) -> Generator[_Raw, None, None]:
    with _opened(source) as (container, stream):
        import av

        stream.thread_type = "AUTO"
        clock = _Clock(container, stream)
        broken: list[
            float
        ] = []  # times of packets that failed; decoders reorder, so they wait for their turn
        num_corrupt = 0
        matrix, rotation = None, None
        end_s, failure = 0.0, ""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                silent = isinstance(error, av.error.ExitError | av.error.TimeoutError)
                failure = (
                    f"no data for {STALL_S:.0f} s"
                    if silent
                    else str(getattr(error, "strerror", None) or error)
                )
                break
            if packet is None:
                break
            if packet.pts is not None and packet.size:
                end_s = max(end_s, clock.seconds(packet.pts, packet.duration))
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                if packet.size:
                    heapq.heappush(
                        broken, clock.seconds(packet.pts if packet.pts is not None else packet.dts)
                    )
                continue
            for frame in frames:
                time_s = clock.time(frame)
                while broken and (
                    broken[0] < clock.file_s or clock.shown(broken[0]) > time_s + _LEAP_S
                ):
                    missing_s = min(clock.shown(heapq.heappop(broken)), time_s)
                    yield _Raw(missing_s, None, error="the frame cannot be decoded")
                num_corrupt += frame.is_corrupt
                if (
                    frame.rotation != rotation
                ):  # not every time: side data that were asked for tie the frame to memory
                    matrix, rotation = _display_matrix(frame), frame.rotation
                yield _picture(frame, time_s, stream, matrix)
        while broken:
            missing_s = clock.shown(heapq.heappop(broken))
            yield _Raw(missing_s, None, error="the frame cannot be decoded")
        if clock.seams:
            tell(
                f"{source}: the file's times begin anew at {clock.seams[0]:.2f} s"
                + (f" and {len(clock.seams) - 1} times more" if len(clock.seams) > 1 else "")
                + ", as where films were joined; counted on from there"
            )
        if clock.guessed:
            tell(f"{source}: {_frames(clock.guessed)} without a time; counted from the frame rate")
        if num_corrupt:
            tell(f"{source}: {_frames(num_corrupt)} decoded from damaged data, which may show")
        promised_s = clock.promised_s(container, stream)
        if (
            not failure
            and promised_s is not None
            and end_s < promised_s - max(0.25, 2 * clock.step_s)
        ):
            failure = "the file ends early"
        if failure:
            of = "" if promised_s is None else f" of {promised_s:.2f} s"
            tell(f"{source}: breaks off after {clock.last_s:.2f}{of} ({failure})")
            yield _Raw(
                clock.last_s, None, error=f"the video breaks off here ({failure})", last=True
            )


class _Clock:
    """Times of frames in seconds, which never step back.

    Where the file's own do, as at the seam of two films that were joined, they count on from there;
    likewise after a leap of more than `_LEAP_S` in a format whose clock is arbitrary.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        from av.format import Flags

        rate = stream.average_rate or stream.guessed_rate
        self._tick_s = float(stream.time_base or 0)
        # Such formats count from wherever the sender's clock stood.
        self._arbitrary = bool(Flags(container.format.flags) & Flags.ts_discont)
        self._start_s = (container.start_time or 0) / 1_000_000 if self._arbitrary else 0.0
        self._shift_s = 0.0
        self.step_s = 1 / float(rate) if rate else 0.04
        self.last_s = -self.step_s  # as shown
        self.file_s = self.last_s  # as the file says
        self.guessed = 0
        self.seams: list[float] = []  # where times began anew

    def seconds(self, ticks: int | None, more: int | None = None) -> float:
        """As the file says."""
        return (
            self.file_s if ticks is None else (ticks + (more or 0)) * self._tick_s - self._start_s
        )

    def shown(self, file_s: float) -> float:
        return file_s + self._shift_s

    def time(self, frame: VideoFrame) -> float:
        ticks = frame.pts if frame.pts is not None else frame.dts
        if ticks is None:
            self.guessed += 1
            self.file_s += self.step_s
        else:
            self.file_s = self.seconds(ticks)
        time_s, ahead_s = self.shown(self.file_s), self.shown(self.file_s) - self.last_s
        if (self._arbitrary and ahead_s > _LEAP_S) or ahead_s < -max(0.1, 2 * self.step_s):
            if self.last_s >= 0:
                self._shift_s -= ahead_s - self.step_s
                time_s = self.shown(self.file_s)
                self.seams.append(time_s)
        elif ahead_s < 0:  # two frames that came in the wrong order
            time_s = self.last_s
        self.last_s = time_s
        return time_s

    def promised_s(self, container: InputContainer, stream: VideoStream) -> float | None:
        """When the last frame ends, as the file says, or None."""
        if (
            container.format.name == "avi" and stream.frames and stream.average_rate
        ):  # FFmpeg cuts the duration to fit
            return stream.frames / float(stream.average_rate)
        if stream.duration:
            return (stream.duration + (stream.start_time or 0)) * self._tick_s - self._start_s
        if container.duration and len(container.streams) == 1:
            return container.duration / 1_000_000
        return None


def _picture(
    frame: VideoFrame, time_s: float, stream: VideoStream, matrix: np.ndarray | None
) -> _Raw:
    width, height = frame.width, frame.height
    if width * height > DEFAULT_LIMITS.max_pixels:
        return _Raw(time_s, None, error=f"a frame of {width} x {height} pixels is too large")
    aspect = float(stream.sample_aspect_ratio or 1)
    if aspect != 1 and 0.25 <= aspect <= 4:
        width = round(width * aspect)

    def rgb() -> np.ndarray:
        pixels = frame.reformat(width, height, "rgb24").to_ndarray()
        return np.ascontiguousarray(_upright(pixels, matrix))

    def small() -> np.ndarray:
        return np.asarray(
            frame.reformat(WIDTH, HEIGHT, "gray", interpolation="AREA").to_ndarray(), np.uint8
        )

    return _Raw(time_s, rgb, small)


def _display_matrix(frame: VideoFrame) -> np.ndarray | None:
    """int32 (2, 2): where the stored x and y axes point when shown, or None."""
    from av.sidedata.sidedata import Type

    sides = cast("SideDataContainer", frame.side_data)
    if Type.DISPLAYMATRIX not in sides:
        return None
    return np.frombuffer(bytes(memoryview(sides[Type.DISPLAYMATRIX])), np.int32).reshape(3, 3)[
        :2, :2
    ]


def _upright(pixels: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Turn and mirror a picture (H, W, 3) as the display matrix says; only quarter turns are known."""
    if (
        matrix is None
        or np.count_nonzero(matrix) != 2
        or (matrix[0] != 0).sum() != 1
        or (matrix[:, 0] != 0).sum() != 1
    ):
        return pixels
    if matrix[0, 0] == 0:  # the stored x axis is shown upright
        pixels, along_x, along_y = pixels.transpose(1, 0, 2), matrix[1, 0], matrix[0, 1]
    else:
        along_x, along_y = matrix[0, 0], matrix[1, 1]
    return pixels[:: 1 if along_y > 0 else -1, :: 1 if along_x > 0 else -1]


# Cameras, by OpenCV, which knows those of every system.


def _camera_frames(source: str) -> Generator[_Raw, None, None]:
    import cv2

    name = source.removeprefix(_CAMERA)
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(
        cv2.utils.logging.LOG_LEVEL_SILENT
    )  # it would print what is said below
    try:
        camera = cv2.VideoCapture(int(name) if name.isdigit() else name)
    finally:
        cv2.utils.logging.setLogLevel(level)
    try:
        if not camera.isOpened():
            raise _bad(
                source,
                "no camera that can be opened",
                "check that it is plugged in, allowed, and not in use",
            )
        begin_s: float | None = None
        time_s = 0.0
        while True:
            more, image_bgr = camera.read()
            if not more:
                break
            now_s = time.monotonic()
            begin_s = now_s if begin_s is None else begin_s
            time_s = now_s - begin_s
            yield _Raw(
                time_s,
                partial(cv2.cvtColor, image_bgr, cv2.COLOR_BGR2RGB),
                partial(_small_bgr, image_bgr),
            )
        if begin_s is not None:
            yield _Raw(time_s, None, error="the camera gives no more frames", last=True)
    finally:
        camera.release()


def _small_bgr(image_bgr: np.ndarray) -> np.ndarray:
    import cv2

    gray = cv2.cvtColor(image_bgr, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(gray, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def _frames(number: int) -> str:
    return f"{number:,} frame{'' if number == 1 else 's'}"


def _bad(source: str, came: str, mend: str) -> DataError:
    return DataError(source, came=came, expected="a video with at least one frame", mend=mend)
