"""YuNet (Wu, Peng, Yu 2023, https://doi.org/10.1007/s11633-023-1423-y; OpenCV Zoo, MIT) in ONNX
Runtime.

The network is a file of OpenCV Zoo. The arithmetic before and after it is that of OpenCV's
FaceDetectorYN: its boxes to 3e-5 px (tests/vision/test_yunet.py) in half the time, with one session
for all threads.
"""

from __future__ import annotations

import hashlib
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mien.runtime import onnx_errors, onnx_session
from mien.vision.detections import Detections, check_picture, shrunk, valid_detections
from mien.vision.yunet_weights import YUNET_SHA256, bad_weights

# Pixels: finds faces from 28 px in 12 megapixels; docs/photos.md has the gain and cost of more.
MAX_SIDE = 2560
# Pixels: YuNet was trained on faces up to about 300 px, so large faces need a small picture.
FIRST_SIDE = 640
MIN_SCORE = 0.6
LARGE_PX = 300  # a larger box in the second pass is mostly a part of a face
# A face that would be larger than this in an earlier pass, but is found only in a later one, needs
# a higher score: it may be a badge or a pattern.
VISIBLE_PX, HIGH_SCORE = 48, 0.8
# The close pass: enlarged tiles of the picture. A face no larger than their overlap lies whole in
# one of them.
_MAX_TILE_PX, _OVERLAP_PX, _ZOOM = 1280, 64, 2.0
# The sides of the network's cells in pixels, and its outputs for each.
_STRIDES = (8, 16, 32)
_OUTPUTS = tuple(
    f"{kind}_{stride}" for stride in _STRIDES for kind in ("cls", "obj", "bbox", "kps")
)
_NMS_IOU, _NMS_TOP = 0.3, 5000  # FaceDetectorYN's own non-maximum suppression, before ours


class YuNet:
    """Detects faces in a picture of any size, in one, two or three passes."""

    geometry = "yunet"

    def __init__(
        self,
        weights: Path,
        *,
        max_side: int = MAX_SIDE,
        min_score: float = MIN_SCORE,
        close: bool = False,
    ) -> None:
        try:
            data = weights.read_bytes()
        except OSError as error:
            raise bad_weights(weights, f"a file that cannot be read ({error.strerror})") from error
        digest = hashlib.sha256(data).hexdigest()
        self.name = (
            "yunet-2026may" if digest == YUNET_SHA256 else f"yunet-{digest[:8]}"
        ) + "-close" * close
        self.note = ""
        self._weights = weights
        self._max_side, self._min_score, self._close = max_side, min_score, close
        refusals: tuple[type[Exception], ...] = (*onnx_errors(), ValueError)
        try:
            self._session = onnx_session(data, 1)
            self._cells(np.zeros((32, 32, 3), np.uint8))
        except refusals as error:
            reason = " ".join(str(error).split())[:200]
            raise bad_weights(
                weights, f"a file that ONNX Runtime cannot use as YuNet ({reason})"
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        return _yunet, (self._weights, self._max_side, self._min_score, self._close)

    @property
    def weights(self) -> Path:
        """The file of the network, to run it elsewhere."""
        return self._weights

    def at(self, max_side: int) -> YuNet:
        """The same network and session at another longest side."""
        other = object.__new__(YuNet)
        other.__dict__.update(self.__dict__)
        other._max_side = max_side
        return other

    def detect(self, image: np.ndarray) -> Detections:
        """The faces in an RGB picture, uint8 (H, W, 3).

        A picture larger than `FIRST_SIDE` is searched in two passes: one at that size, for large
        faces, and one at `max_side`. The close pass is a third one, over tiles.
        """
        longest = max(check_picture(image).shape[:2])
        most = min(longest, self._max_side)
        large, zoom = shrunk(image, most)
        small, back = shrunk(large, FIRST_SIDE)  # shrinking the shrunk one takes half as long
        faces = [self._pass(small, back * zoom)]
        if most > FIRST_SIDE:
            second = _plausible(self._pass(large, zoom), VISIBLE_PX * longest / FIRST_SIDE)
            faces.append(second[_size(second) <= LARGE_PX * longest / most])
        if self._close:
            closer = _plausible(self._close_pass(image), VISIBLE_PX * longest / most)
            faces.append(closer[_size(closer) <= _OVERLAP_PX])
        return valid_detections(np.concatenate(faces), image, "yunet")

    def glance(self, image: np.ndarray) -> Detections | None:
        """The faces of the first pass alone; None if this picture has no second pass."""
        if (
            not self._close
            and min(max(check_picture(image).shape[:2]), self._max_side) <= FIRST_SIDE
        ):
            return None
        return valid_detections(self._pass(*shrunk(image, FIRST_SIDE)), image, "yunet")

    def _close_pass(self, image: np.ndarray) -> np.ndarray:
        """As `_pass`, over enlarged tiles; each point of the picture belongs to one tile alone."""
        import cv2

        rows = []
        for top, bottom, first_y, last_y in tiles(image.shape[0]):
            for left, right, first_x, last_x in tiles(image.shape[1]):
                tile = image[top:bottom, left:right]
                large = cv2.resize(tile, None, fx=_ZOOM, fy=_ZOOM, interpolation=cv2.INTER_CUBIC)
                faces = self._pass(
                    large, np.array(tile.shape[1::-1], np.float32) / large.shape[1::-1]
                )
                faces[:, :14] += np.tile(np.array([left, top], np.float32), 7)
                x, y = (faces[:, 0] + faces[:, 2]) / 2, (faces[:, 1] + faces[:, 3]) / 2
                rows.append(faces[(x >= first_x) & (x < last_x) & (y >= first_y) & (y < last_y)])
        return np.concatenate(rows)

    def _pass(self, small: np.ndarray, zoom: np.ndarray) -> np.ndarray:
        """float32 (F, 15): x0 y0 x1 y1, five landmarks, score; coordinates times zoom (2,)."""
        import cv2

        faces = self._cells(small)
        if len(faces) > 1:
            whole = faces[:, :4].astype(np.int32).tolist()  # as FaceDetectorYN compares them
            indices = cv2.dnn.NMSBoxes(
                whole, faces[:, 14].tolist(), self._min_score, _NMS_IOU, 1.0, _NMS_TOP
            )
            faces = faces[np.asarray(indices, np.intp).reshape(-1)]
        faces[:, 2:4] += faces[:, 0:2]
        faces[:, :14] *= np.tile(zoom, 7)
        return faces

    def _cells(self, small: np.ndarray) -> np.ndarray:
        """float32 (F, 15): x y width height, five landmarks, score, of cells above `min_score`."""
        planes = _planes(small)
        arrays = self._session.run(_OUTPUTS, {"input": planes})
        outputs = dict(zip(_OUTPUTS, arrays, strict=True))
        rows = [np.zeros((0, 15), np.float32)]
        for stride in _STRIDES:
            cls, obj = (outputs[f"{kind}_{stride}"][0, :, 0].clip(0, 1) for kind in ("cls", "obj"))
            scores = np.sqrt(cls * obj)
            cells = np.flatnonzero(scores >= self._min_score)
            if not len(cells):
                continue
            at = np.column_stack(np.divmod(cells, planes.shape[3] // stride)[::-1])
            at = at.astype(np.float32)
            box, points = outputs[f"bbox_{stride}"][0, cells], outputs[f"kps_{stride}"][0, cells]
            middle, size = (at + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride
            landmarks = (points + np.tile(at, 5)) * stride
            rows.append(np.column_stack([middle - size / 2, size, landmarks, scores[cells]]))
        return np.concatenate(rows)


def tiles(length: int) -> list[tuple[int, int, float, float]]:
    """Divide an axis into tiles that overlap by `_OVERLAP_PX` or more: start and end of each, and
    the range of face centres that belong to it, up to the middle of each overlap.
    """
    num = max(1, math.ceil((length - _OVERLAP_PX) / (_MAX_TILE_PX - _OVERLAP_PX)))
    size = min(length, math.ceil((length + (num - 1) * _OVERLAP_PX) / num))
    starts = [round(part * (length - size) / max(1, num - 1)) for part in range(num)]
    borders = [-math.inf, *((one + size + other) / 2 for one, other in pairwise(starts)), math.inf]
    return [
        (start, start + size, *sides)
        for start, sides in zip(starts, pairwise(borders), strict=True)
    ]


def _planes(small: np.ndarray) -> np.ndarray:
    """float32 (1, 3, H', W'), BGR, black to the right and below up to a multiple of 32 pixels."""
    import cv2

    height, width = small.shape[:2]
    most = _STRIDES[-1]
    planes = np.zeros((1, 3, -(-height // most) * most, -(-width // most) * most), np.float32)
    for plane, channel in zip(planes[0], reversed(cv2.split(small)), strict=True):
        plane[:height, :width] = channel
    return planes


def _size(faces: np.ndarray) -> np.ndarray:
    return np.asarray((faces[:, 2:4] - faces[:, 0:2]).max(axis=1))


def _plausible(faces: np.ndarray, visible_px: float) -> np.ndarray:
    """Rows without larger faces of low score: an earlier pass would have found these."""
    return np.asarray(faces[(_size(faces) <= visible_px) | (faces[:, 14] >= HIGH_SCORE)])


def _yunet(weights: Path, max_side: int, min_score: float, close: bool) -> YuNet:
    return YuNet(weights, max_side=max_side, min_score=min_score, close=close)
