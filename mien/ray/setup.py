"""What a worker needs to answer as the driver would: sent to it, so that no node has to have the
same files.
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
    """One file to answer.

    Attributes:
        source: Its path or address, as the answers name it.
        name: Of what is written about it (`mien.results.names.output_names`).
        is_video: Whether it is followed in time.
        data: Its bytes, where they are known already.
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
        weights: YuNet's weights, by value; None where another detector is asked for.
        max_side, mode, prior: As for `mien.load`.
        num_threads: Pictures that a worker looks at at once, a core each.
        time_limit_s: A picture, or a video between two frames, may take so long.
        options: How videos are looked at.
        outputs: Folders for drawings, maps and summaries.
        columns: Preset of the columns.
        raw: Whether there are columns of unsmoothed probabilities, as for videos.
        names: Of the detector and the prior, as answers have them.
        queries: What stood behind the `?` of an address, by its beginning (`s3://bucket`).
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
        """The recognizer, one thread a face: `num_threads` pictures are looked at side by side."""
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
        """The columns of the answers."""
        labels = {head.name: head.labels.names for head in self.bundle.heads}
        return ArrowColumns(
            self.bundle.heads[0].labels.names,
            self.columns,
            heads=labels if len(labels) > 1 else {},
            raw=self.raw,
        )


def frame_of(recognizer: Recognizer, picture: Any, name: str) -> Frame:
    """One picture as a frame; one that cannot be read has an error and no faces."""
    (frame,) = recognizer.frames([picture], names=[name])
    return frame


def setup_like(
    recognizer: Recognizer, *, max_side: int | None = None, prior: Prior = None
) -> Setup:
    """A setup whose workers answer as this recognizer does.

    Args:
        recognizer: From `mien.load`, with one of mien's own detectors.
        max_side, prior: What it was loaded with.
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
