"""The setup of a worker: all that it needs to recognise as the driver does, sent by value, so that
nodes do not need the same files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mien import __version__
from mien.bundle import Bundle
from mien.bundle.answer import Prior
from mien.predict import Options, Outputs
from mien.recognizer import Recognizer
from mien.results import Frame
from mien.results.arrow import ArrowColumns
from mien.vision.detect import find_detector
from mien.vision.yunet import YuNet

TIME_LIMIT_S = 60.0


class Item(NamedTuple):
    """A file to process.

    Attributes:
        source: Its path or address, as in the results.
        name: Name of the files written about it (`mien.results.names.output_names`).
        is_video: Whether it is a video.
        data: Its bytes, if they are already in memory.
    """

    source: str
    name: str
    is_video: bool = False
    data: bytes | None = None


@dataclass(frozen=True)
class Setup:
    """How a worker recognises.

    Attributes:
        bundle: The network, by value.
        detector: Kind of detector, as for `find_detector`.
        weights: YuNet's weights, by value; None for other detectors.
        max_side, mode, prior: As for `mien.load`.
        num_threads: Pictures that a worker analyses at a time, each on one core.
        time_limit_s: Seconds after which a picture fails, or a video without a new frame.
        options: How videos are analysed.
        outputs: Folders for drawings, maps and summaries.
        columns: Preset of the columns.
        raw: Whether there are columns of unsmoothed probabilities, as for videos.
        names: Names of the detector and the prior, as in the results.
        queries: Scheme and bucket of an address (`s3://bucket`) -> the query after its `?`.
        version: The version of mien that made it.
    """

    bundle: Bundle
    detector: str = "auto"
    weights: bytes | None = field(default=None, repr=False)
    max_side: int | None = None
    mode: str = "fast"
    prior: Prior = None
    num_threads: int = 1
    time_limit_s: float = TIME_LIMIT_S
    options: Options = field(default_factory=Options)
    outputs: Outputs = field(default_factory=Outputs)
    columns: str = "mien"
    raw: bool = False
    names: tuple[str, str] = ("", "")
    queries: Mapping[str, str] = field(default_factory=dict)
    version: str = __version__

    def load(self) -> Recognizer:
        """The recognizer, with one thread: `num_threads` pictures are analysed at a time."""
        with tempfile.TemporaryDirectory(prefix="mien-") as folder:
            model = None
            if self.weights is not None:
                model = Path(folder) / "yunet.onnx"
                model.write_bytes(self.weights)
            detector = find_detector(self.detector, model=model, max_side=self.max_side)
            return Recognizer(
                self.bundle, detector, num_threads=1, mode=self.mode, prior=self.prior
            )

    def arrow_columns(self) -> ArrowColumns:
        """The columns of the results."""
        labels = {head.name: head.labels.names for head in self.bundle.heads}
        return ArrowColumns(
            self.bundle.heads[0].labels.names,
            self.columns,
            heads=labels if len(labels) > 1 else {},
            raw=self.raw,
        )


def frame_of(recognizer: Recognizer, picture: Any, name: str) -> Frame:
    """The frame of a picture; one that cannot be read has an error and no faces."""
    (frame,) = recognizer.frames([picture], names=[name])
    return frame


def setup_like(
    recognizer: Recognizer, *, max_side: int | None = None, prior: Prior = None
) -> Setup:
    """A setup whose workers recognise as this recognizer does.

    Args:
        recognizer: A recognizer of `mien.load`, with one of mien's own detectors.
        max_side, prior: The arguments with which it was loaded.
    """
    detector = recognizer.detector
    kind, weights = detector.geometry, None
    if isinstance(detector, YuNet):
        kind = "yunet-close" if detector.name.endswith("-close") else "yunet"
        weights = detector.weights.read_bytes()
    return Setup(
        recognizer.bundle,
        kind,
        weights,
        None if kind == "none" else max_side,
        recognizer.mode,
        prior,
        names=(detector.name, recognizer.prior),
    )
