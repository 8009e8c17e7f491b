"""Face detectors: YuNet, MTCNN, or the whole picture taken as one face.

YuNet is in yunet.py, its weights (230 KB) in yunet_weights.py. The wheel `mtcnn` contains MTCNN
(Zhang et al. 2016) with its weights, so an offline machine can fall back on it; it needs
TensorFlow.

Results depend on the detector, so its name is part of every result; with `auto`, `note` says why
YuNet was not chosen. Figures: docs/photos.md.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mien import runtime
from mien.constants import DETECTORS
from mien.errors import DownloadError, MissingExtraError, UsageError, check_word
from mien.vision.detections import Detections, check_picture, shrunk, valid_detections
from mien.vision.yunet import MAX_SIDE, MIN_SCORE, YuNet
from mien.vision.yunet_weights import yunet_weights

FALLBACK = (
    "YuNet's weights could not be fetched, so MTCNN finds the faces, slower and fewer of them. "
    "`--detector yunet` says what went wrong and how to fix it."
)


class Detector(Protocol):
    """A face detector. `detect` may be called from several threads at once."""

    @property
    def name(self) -> str:
        """The detector with its version; part of every result."""

    @property
    def geometry(self) -> str:
        """The kind of its boxes, as in `Detections.geometry`."""

    @property
    def note(self) -> str:
        """Why the preferred detector was not chosen; empty if it was."""

    def detect(self, image: np.ndarray) -> Detections:
        """The faces in an RGB picture, uint8 (H, W, 3)."""


def find_detector(
    kind: str = "auto", *, model: Path | None = None, max_side: int | None = None
) -> Detector:
    """The detector of a kind, ready for use.

    Args:
        kind: `yunet`; `yunet-close`, which also looks at enlarged parts of the picture; `mtcnn`;
            `none` for pictures that are faces already; `auto` for YuNet if its weights can be
            found or downloaded, else MTCNN if it is installed.
        model: File with YuNet's weights, instead of the usual places.
        max_side: Longest side, in pixels, of the picture searched; larger pictures are shrunk to
            it. A larger value finds smaller faces and takes longer. None means 2560.

    Raises:
        UsageError: for an unknown kind or size, and for a model or size that the kind does not use.
        DataError: if a file named for the weights is missing or is not a face detector.
        DownloadError: if the weights are missing and cannot be downloaded (with `auto`: and MTCNN
            is not installed).
        MissingExtraError: for `mtcnn` if it is not installed.
    """
    check_word("detector", kind, DETECTORS)
    for name, value, kinds in (
        ("model", model, DETECTORS[:3]),
        ("max_side", max_side, DETECTORS[:4]),
    ):
        if value is not None and kind not in kinds:
            raise UsageError(
                f"detector {kind}: got {name} {value}; expected none, since it is for "
                f"{', '.join(kinds)} only. Fix: leave it out, or use one of these detectors"
            )
    side = MAX_SIDE if max_side is None else max_side
    if side < 32:
        raise UsageError(
            f"detector size: got {side} px; expected at least 32. Fix: give a larger max_side"
        )
    if kind == "none":
        return WholeImage()
    if kind == "mtcnn":
        return MTCNN(max_side=side)
    try:
        return YuNet(yunet_weights(model), max_side=side, close=kind == "yunet-close")
    except DownloadError:
        if kind != "auto" or not mtcnn_is_installed():
            raise
        return MTCNN(max_side=side, note=FALLBACK)


class WholeImage:
    """Takes the whole picture as one face: for crops such as FER2013's."""

    name = geometry = "none"
    note = ""

    def detect(self, image: np.ndarray) -> Detections:
        height, width = check_picture(image).shape[:2]
        boxes = np.array([[0, 0, width, height]], np.float32)
        return Detections(boxes, np.ones(1, np.float32), None, "none")


class _NoCandidateError(Exception):
    """No part of the picture is left that may be a face."""


def _unless_empty(stage: Callable[..., Any]) -> Callable[..., Any]:
    """A stage of MTCNN that is not run without candidates: TensorFlow would print a warning."""

    def run(*, bboxes_batch: Any, **others: Any) -> Any:
        if bboxes_batch is not None and not len(bboxes_batch):
            raise _NoCandidateError
        return stage(bboxes_batch=bboxes_batch, **others)

    return run


class MTCNN:
    """The detector of the wheel `mtcnn`, one picture at a time."""

    geometry = "mtcnn"

    def __init__(
        self, *, max_side: int = MAX_SIDE, min_score: float = MIN_SCORE, note: str = ""
    ) -> None:
        try:
            from importlib.metadata import version

            runtime.import_tensorflow()
            import mtcnn.stages
        except ImportError as error:
            raise MissingExtraError("mtcnn", "mtcnn") from error
        self.name = f"mtcnn-{version('mtcnn')}"
        self.note = note
        with runtime.closed_files_closed_again():
            kinds = (mtcnn.stages.StagePNet, mtcnn.stages.StageRNet, mtcnn.stages.StageONet)
            self._network = mtcnn.MTCNN([_unless_empty(kind()) for kind in kinds], "CPU:0")
        self._max_side, self._min_score = max_side, min_score
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _mtcnn, (self._max_side, self._min_score, self.note)

    def at(self, max_side: int) -> MTCNN:
        """The same networks at another longest side."""
        other = object.__new__(MTCNN)
        other.__dict__.update(self.__dict__)
        other._max_side = max_side
        return other

    def detect(self, image: np.ndarray) -> Detections:
        """The faces in an RGB picture, uint8 (H, W, 3)."""
        small, zoom = shrunk(check_picture(image), self._max_side)
        if min(small.shape[:2]) < 12:  # the input of its first network is 12 x 12 pixels
            return valid_detections(np.zeros((0, 15), np.float32), image, "mtcnn")
        with self._lock:
            try:
                results = self._network.detect_faces(small) or []
            except _NoCandidateError:
                results = []
        rows = []
        for face in results:
            x, y, width, height = face["box"]
            points = face["keypoints"]
            # MTCNN's left is the picture's left, which is the person's right.
            order = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
            flat = [value for name in order for value in points[name]]
            rows.append([x, y, x + width, y + height, *flat, face["confidence"]])
        faces = np.array(rows, np.float32).reshape(-1, 15)
        faces[:, :14] *= np.tile(zoom, 7)
        return valid_detections(faces[faces[:, 14] >= self._min_score], image, "mtcnn")


def mtcnn_is_installed() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("mtcnn", "tensorflow"))


def _mtcnn(max_side: int, min_score: float, note: str) -> MTCNN:
    return MTCNN(max_side=max_side, min_score=min_score, note=note)
