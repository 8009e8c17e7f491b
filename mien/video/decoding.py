"""Decoders: PyAV for files and streams, OpenCV for cameras. Times never step back."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np

from mien.errors import DataError, MissingExtraError, counted
from mien.video.cuts import HEIGHT, WIDTH
from mien.vision.image import DEFAULT_LIMITS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.sidedata.sidedata import SideDataContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

STALL_S = 10.0  # a camera or stream that sends nothing for this long has stopped
_LEAP_S = 10.0  # the same as ffmpeg's dts_delta_threshold
CAMERA = "camera:"
_STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "tcp", "http", "https")
LIVE = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp")  # they do not wait for a slow reader
# Text and pictures, which FFmpeg would play as well.
_NO_VIDEO = ("tty", "txd", "image2", "bin", "xbin", "adf", "idf", "ico")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class RawFrame:
    """A frame that is not yet converted to a picture; most are skipped with `every`."""

    time_s: float
    rgb: Callable[[], np.ndarray] | None
    small: Callable[[], np.ndarray] | None = None  # for `with_cuts`
    error: str = ""
    last: bool = False  # marks where the video breaks off


def protocol_of(source: str) -> str:
    protocol = source.partition("://")[0].lower()
    return protocol if protocol in _STREAMS and "://" in source else ""


@contextmanager
def open_video(source: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("av", "video") from error

    if protocol_of(source):
        url, options = source, {}
    else:
        if not os.path.exists(source):
            raise bad_video(source, "nothing: no such file", "check the path")
        if os.path.isdir(source):
            raise bad_video(source, "a folder", "name the videos in it")
        if os.path.getsize(source) == 0:
            raise bad_video(source, "an empty file of 0 bytes", "copy or export it again")
        # A file may refer to other files and addresses; these must not be read.
        url, options = f"file:{source}", {"protocol_whitelist": "file"}
    try:
        container = av.open(
            url, "r", options=options, timeout=(STALL_S, STALL_S), metadata_errors="replace"
        )
    except (av.error.FFmpegError, OSError) as error:
        reason = (
            "a file or stream that cannot be opened as a video "
            f"({getattr(error, 'strerror', None) or error})"
        )
        raise bad_video(
            source, reason, "copy or export it again; an interrupted mp4 has lost its index"
        ) from None  # its text has the address, and so the password
    with container:
        name = container.format.name
        streams = [
            s
            for s in container.streams.video
            if not s.disposition & av.stream.Disposition.attached_pic
        ]
        if name in _NO_VIDEO or name.endswith("_pipe"):
            raise bad_video(
                source,
                f"a file of the kind {name}, not a video",
                "convert it to a picture or video",
            )
        if not streams:
            kinds = sorted({s.type for s in container.streams})
            reason = (
                f"a file with {' and '.join(kinds)} only"
                if kinds
                else "a file with nothing to play"
            )
            raise bad_video(source, reason, "choose a file with moving pictures")
        stream = streams[0]
        if stream.codec_context is None:
            raise bad_video(
                source,
                "a codec that the installed PyAV does not support",
                "convert it to H.264 in mp4",
            )
        size = (stream.codec_context.width, stream.codec_context.height)
        if size[0] * size[1] > DEFAULT_LIMITS.max_pixels:
            raise bad_video(source, f"frames of {size[0]} x {size[1]} pixels", "make it smaller")
        yield container, stream


def file_frames(source: str, tell: Tell) -> Generator[RawFrame, None, None]:
    with open_video(source) as (container, stream):
        import av

        stream.thread_type = "AUTO"
        clock = _Clock(container, stream)
        # Times of packets that failed, kept until their turn, since decoders reorder frames.
        broken: list[float] = []
        num_corrupt = 0
        matrix, rotation = None, None
        end_s, failure = 0.0, ""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                failure = str(getattr(error, "strerror", None) or error)
                if isinstance(error, av.error.ExitError | av.error.TimeoutError):
                    failure = f"no data for {STALL_S:.0f} s"
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
                while broken and clock.is_due(broken[0], time_s):
                    yield _undecodable(min(clock.rebased(heapq.heappop(broken)), time_s))
                num_corrupt += frame.is_corrupt
                # Only on a change, since requesting side data keeps the frame in memory.
                if frame.rotation != rotation:
                    matrix, rotation = _display_matrix(frame), frame.rotation
                yield _picture(frame, time_s, stream, matrix)
        while broken:
            yield _undecodable(clock.rebased(heapq.heappop(broken)))
        _report_irregularities(source, clock, num_corrupt, tell)
        header_end_s = clock.header_end_s(container, stream)
        grace_s = max(0.25, 2 * clock.step_s)
        if not failure and header_end_s is not None and end_s < header_end_s - grace_s:
            failure = "the file ends early"
        if failure:
            total = "" if header_end_s is None else f" of {header_end_s:.2f} s"
            tell(f"{source}: ends early, after {clock.last_s:.2f}{total} ({failure})")
            yield RawFrame(
                clock.last_s, None, error=f"the video ends early here ({failure})", last=True
            )


def _report_irregularities(source: str, clock: _Clock, num_corrupt: int, tell: Tell) -> None:
    """Report irregular times and damaged data of a file that was read to its end."""
    if clock.seams:
        tell(
            f"{source}: the file's times start again at {clock.seams[0]:.2f} s"
            + (f" and {counted(len(clock.seams) - 1, 'more time')}" if len(clock.seams) > 1 else "")
            + ", as in joined videos; counting continues from there"
        )
    if clock.num_guessed:
        tell(
            f"{source}: {num_frames(clock.num_guessed)} without a time, which was computed from "
            "the frame rate"
        )
    if num_corrupt:
        tell(f"{source}: {num_frames(num_corrupt)} decoded from damaged data, which may be visible")


def _undecodable(time_s: float) -> RawFrame:
    return RawFrame(time_s, None, error="the frame cannot be decoded")


class _Clock:
    """Times of frames in seconds, which never step back.

    If the file's own times do, as at the seam of two joined videos, counting continues from there;
    likewise after a leap of more than `_LEAP_S` in a format whose clock is arbitrary.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        from av.format import Flags

        rate = stream.average_rate or stream.guessed_rate
        self._tick_s = float(stream.time_base or 0)
        # The times of such formats count from an arbitrary origin.
        self._is_arbitrary = bool(Flags(container.format.flags) & Flags.ts_discont)
        self._start_s = (container.start_time or 0) / 1_000_000 if self._is_arbitrary else 0.0
        self._shift_s = 0.0
        self.step_s = 1 / float(rate) if rate else 0.04
        self.last_s = -self.step_s  # time of the last frame
        self.file_s = self.last_s  # its time in the file
        self.num_guessed = 0
        self.seams: list[float] = []  # times at which the file's times started again

    def seconds(self, ticks: int | None, duration: int | None = None) -> float:
        """The file's time in seconds for a number of ticks."""
        return (
            self.file_s
            if ticks is None
            else (ticks + (duration or 0)) * self._tick_s - self._start_s
        )

    def rebased(self, file_s: float) -> float:
        return file_s + self._shift_s

    def is_due(self, file_s: float, time_s: float) -> bool:
        """Whether a frame at `file_s` in the file precedes one whose final time is `time_s`."""
        return file_s < self.file_s or self.rebased(file_s) > time_s + _LEAP_S

    def time(self, frame: VideoFrame) -> float:
        ticks = frame.pts if frame.pts is not None else frame.dts
        if ticks is None:
            self.num_guessed += 1
            self.file_s += self.step_s
        else:
            self.file_s = self.seconds(ticks)
        time_s, ahead_s = self.rebased(self.file_s), self.rebased(self.file_s) - self.last_s
        if (self._is_arbitrary and ahead_s > _LEAP_S) or ahead_s < -max(0.1, 2 * self.step_s):
            if self.last_s >= 0:
                self._shift_s -= ahead_s - self.step_s
                time_s = self.rebased(self.file_s)
                self.seams.append(time_s)
        elif ahead_s < 0:  # two frames in the wrong order
            time_s = self.last_s
        self.last_s = time_s
        return time_s

    def header_end_s(self, container: InputContainer, stream: VideoStream) -> float | None:
        """The end of the last frame in seconds according to the file's header, or None."""
        # Of a truncated AVI, FFmpeg shortens the duration.
        if container.format.name == "avi" and stream.frames and stream.average_rate:
            return stream.frames / float(stream.average_rate)
        if stream.duration:
            return (stream.duration + (stream.start_time or 0)) * self._tick_s - self._start_s
        if container.duration and len(container.streams) == 1:
            return container.duration / 1_000_000
        return None


def _picture(
    frame: VideoFrame, time_s: float, stream: VideoStream, matrix: np.ndarray | None
) -> RawFrame:
    width, height = frame.width, frame.height
    if width * height > DEFAULT_LIMITS.max_pixels:
        return RawFrame(time_s, None, error=f"a frame of {width} x {height} pixels is too large")
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

    return RawFrame(time_s, rgb, small)


def _display_matrix(frame: VideoFrame) -> np.ndarray | None:
    """The displayed directions of the stored x and y axes, int32 (2, 2), or None."""
    from av.sidedata.sidedata import Type

    sides = cast("SideDataContainer", frame.side_data)
    if Type.DISPLAYMATRIX not in sides:
        return None
    return np.frombuffer(bytes(memoryview(sides[Type.DISPLAYMATRIX])), np.int32).reshape(3, 3)[
        :2, :2
    ]


def _upright(pixels: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Rotate and mirror a picture (H, W, 3) by its display matrix, if that is a quarter turn."""
    if (
        matrix is None
        or np.count_nonzero(matrix) != 2
        or (matrix[0] != 0).sum() != 1
        or (matrix[:, 0] != 0).sum() != 1
    ):
        return pixels
    if matrix[0, 0] == 0:  # the stored x axis is displayed vertically
        pixels, along_x, along_y = pixels.transpose(1, 0, 2), matrix[1, 0], matrix[0, 1]
    else:
        along_x, along_y = matrix[0, 0], matrix[1, 1]
    return pixels[:: 1 if along_y > 0 else -1, :: 1 if along_x > 0 else -1]


def camera_frames(source: str) -> Generator[RawFrame, None, None]:
    import cv2

    name = source.removeprefix(CAMERA)
    level = cv2.utils.logging.getLogLevel()
    # OpenCV would print what the error below says.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        camera = cv2.VideoCapture(int(name) if name.isdigit() else name)
    finally:
        cv2.utils.logging.setLogLevel(level)
    try:
        if not camera.isOpened():
            raise bad_video(
                source,
                "a camera that cannot be opened",
                "check that it is connected, permitted and not in use",
            )
        start_s: float | None = None
        time_s = 0.0
        while True:
            has_frame, image_bgr = camera.read()
            if not has_frame:
                break
            now_s = time.monotonic()
            start_s = now_s if start_s is None else start_s
            time_s = now_s - start_s
            yield RawFrame(
                time_s,
                partial(cv2.cvtColor, image_bgr, cv2.COLOR_BGR2RGB),
                partial(_small_bgr, image_bgr),
            )
        if start_s is not None:
            yield RawFrame(time_s, None, error="the camera sends no more frames", last=True)
    finally:
        camera.release()


def animation(source: str) -> Generator[RawFrame, None, None]:
    """The frames of an animation, such as a GIF."""
    from mien.vision.animation import animation_frames

    time_s = None
    try:
        for time_s, pixels in animation_frames(source):
            yield RawFrame(time_s, partial(np.asarray, pixels), partial(_small_rgb, pixels))
    except DataError as error:
        if time_s is None:
            raise
        yield RawFrame(time_s, None, error=f"it ends early here ({error.got})", last=True)


def _small_rgb(image: np.ndarray) -> np.ndarray:
    return _small_bgr(image[..., ::-1])


def _small_bgr(image_bgr: np.ndarray) -> np.ndarray:
    import cv2

    gray = cv2.cvtColor(image_bgr, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(gray, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def num_frames(number: int) -> str:
    return f"{number:,} frame{'' if number == 1 else 's'}"


def bad_video(source: str, got: str, fix: str) -> DataError:
    return DataError(source, got=got, expected="a video with at least one frame", fix=fix)
