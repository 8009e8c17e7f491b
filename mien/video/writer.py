"""Write a marked copy of a video: pictures with times become H.264 or MPEG-4, without sound."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mien.errors import DataError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

# In seconds; exact for 24, 25, 30, 50 and 60 frames a second, and for NTSC rates (30000/1001).
_TICK = Fraction(1, 60_000)
_SUFFIXES = (".mp4", ".mov", ".mkv")
_PREFERRED = (
    ("libx264", {"preset": "veryfast", "crf": "23", "bf": "0"}),
    ("mpeg4", {"qscale": "4"}),
)


class VideoCopy:
    """Writes to `<name>.part.<suffix>`, which is renamed to `path` when closed.

    An mp4 or mov is written in fragments of 60 frames; if the program is killed, the complete
    fragments can be played.

    Args:
        path: `.mp4`, `.mov` or `.mkv`, in an existing folder; None writes nothing.

    Raises:
        UsageError: for another suffix.
        MissingExtraError: if PyAV is not installed.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self._path = None if path is None else Path(path)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._size = (0, 0)
        self._last_tick = -1
        # Stored here, since nothing can be imported while Python exits.
        self._failures: tuple[type[Exception], ...] = (OSError,)
        if self._path is not None and self._path.suffix.lower() not in _SUFFIXES:
            raise UsageError(
                f"{self._path}: got {self._path.suffix or 'no suffix'}; expected one of "
                f"{', '.join(_SUFFIXES)}. Fix: use one of these endings"
            )

    @property
    def _part(self) -> Path:
        assert self._path is not None  # noqa: S101 - for the type checker
        return self._path.with_name(f"{self._path.stem}.part{self._path.suffix}")

    def write(self, time_s: float, image: np.ndarray) -> None:
        """Add a picture, RGB uint8 (H, W, 3), at its time.

        A picture whose time does not increase is written just after the one before. The first
        picture determines the size; later ones of another size are fitted into it.

        Raises:
            DataError: if the file cannot be written.
        """
        if self._path is None:
            return
        av = _pyav()
        tick = max(round(time_s / _TICK), self._last_tick + 1)
        self._last_tick = tick
        try:
            if self._stream is None:
                self._open(image.shape[1], image.shape[0])
            frame = av.VideoFrame.from_ndarray(self._fitted(image), "rgb24")
            frame.pts, frame.time_base = tick, _TICK
            assert self._container is not None and self._stream is not None  # noqa: S101
            self._container.mux(self._stream.encode(frame))
        except (av.error.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Finish the file; if nothing was written, there is no file."""
        if self._container is None or self._stream is None:
            return
        container, self._container = self._container, None
        try:
            with container:
                container.mux(self._stream.encode())
            os.replace(self._part, self._path or self._part)
        except self._failures as error:
            raise self._unwritable(error) from error

    def _open(self, width: int, height: int) -> None:
        av = _pyav()
        self._failures = (av.error.FFmpegError, OSError)
        if not self._part.parent.is_dir():
            raise self._unwritable(FileNotFoundError(2, "no such folder"))
        fragments = (
            {"movflags": "hybrid_fragmented+frag_keyframe+delay_moov"}
            if self._part.suffix.lower() != ".mkv"
            else {}
        )
        codec, options = next(choice for choice in _PREFERRED if choice[0] in av.codecs_available)
        self._container = av.open(f"file:{self._part}", "w", options=fragments)
        self._stream = stream = cast(
            "VideoStream", self._container.add_stream(codec, rate=30, options=options)
        )
        # Even numbers, since colours are stored for two by two pixels.
        self._size = (width + width % 2, height + height % 2)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = _TICK
        stream.codec_context.gop_size = 60

    def _fitted(self, image: np.ndarray) -> np.ndarray:
        width, height = self._size
        if (image.shape[1] + image.shape[1] % 2, image.shape[0] + image.shape[0] % 2) != self._size:
            from PIL import Image, ImageOps

            image = np.asarray(ImageOps.pad(Image.fromarray(image), self._size))
        if image.shape[:2] != (height, width):
            image = np.pad(
                image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)), "edge"
            )
        return np.ascontiguousarray(image)

    def _unwritable(self, error: Exception) -> DataError:
        return DataError(
            self._path or "",
            got=f"a video that cannot be written ({getattr(error, 'strerror', None) or error})",
            expected="a file in an existing folder, with room on the disk",
            fix="choose another place, or free some space",
        )


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("av", "video") from error
    return av
