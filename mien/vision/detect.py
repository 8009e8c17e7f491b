"""Where the faces are in a picture: YuNet, MTCNN, or the whole picture taken for a face.

YuNet (Wu, Peng, Yu 2023, https://doi.org/10.1007/s11633-023-1423-y; OpenCV Zoo, MIT) runs in
OpenCV's own FaceDetectorYN. Its weights, 230 KB, are looked for in this order: an explicit path,
$MIEN_YUNET, the package (`make vendor`), mien's cache folder, a download that is checked against a
pinned sha256 and then kept in the cache. MTCNN (Zhang et al. 2016) comes whole in the wheel
`mtcnn`, needs TensorFlow, and is what an offline machine can fall back on.

Which detector found a face changes what is found, so a detector's name goes with every result, and
`auto` says in `note` why it did not take YuNet. Figures: docs/faces.md.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mien import runtime
from mien.constants import cache_dir
from mien.errors import DataError, DownloadError, MissingExtraError, UsageError

YUNET_FILE = "face_detection_yunet_2026may.onnx"
YUNET_SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
YUNET_URLS = (
    # OpenCV Zoo itself, at a fixed commit (the address that serves Git LFS content, not pointers).
    "https://media.githubusercontent.com/media/opencv/opencv_zoo/47534e27c9851bb1128ccc0102f1145e27f23f98/"
    f"models/face_detection_yunet/{YUNET_FILE}",
    f"https://huggingface.co/opencv/face_detection_yunet/resolve/main/{YUNET_FILE}",
    f"https://huggingface.co/pollen-robotics/face_detection_yunet_2026may/resolve/main/{YUNET_FILE}",
)
DOWNLOAD_TIMEOUT_S = 20
# Where `make vendor` puts the weights; a wheel that was built after it has them.
PACKAGED = Path(__file__).parents[1] / "serving" / "page" / "vendor" / "yunet" / YUNET_FILE

_LOG_LEVEL = threading.Lock()  # OpenCV's is one for all threads

FALLBACK = (
    "YuNet's weights could not be fetched, so MTCNN finds the faces, slower and fewer of them. "
    "`--detector yunet` says what went wrong and how to mend it."
)
KINDS = ("auto", "yunet", "yunet-close", "mtcnn", "none")
MAX_SIDE = (
    2560  # px: faces from 28 px in 12 megapixels; docs/faces.md has what more finds and costs
)
FIRST_SIDE = (
    640  # px; YuNet was trained on faces up to about 300 px, so large faces need a small picture
)
_LARGE_PX = 300  # one above this size that it sees in a larger picture is mostly a part of a face
# What would be larger than this in the first look and is seen only in the second must be surer:
# badges, patterns.
_SEEN_PX, _SURE = 48, 0.8
MIN_SCORE = 0.6
# The close look: tiles of the picture, enlarged. A face no larger than what they share lies whole
# in one of them.
_TILE, _SHARED, _ENLARGED = 1280, 64, 2.0  # px at most, px, times
_SAME = 0.4  # overlap (intersection over union) from which two boxes are one face
_TOP = 5000
_LOG_ERRORS = 2  # OpenCV's LOG_LEVEL_ERROR


@dataclass(frozen=True, eq=False)
class Detections:
    """The faces of one picture, highest score first, the larger first among equals.

    Attributes:
        boxes: float32 (F, 4), x0 y0 x1 y1 in pixels of the picture, within it.
        scores: float32 (F,), 0 to 1, the detector's own confidence.
        landmarks: float32 (F, 5, 2) pixels, or None: the person's right eye, left eye, nose tip,
            right and left corner of the mouth. They may lie outside of the picture where a face is
            cut off.
        geometry: Whose boxes these are, `yunet`, `mtcnn` or `none`; `mien.vision.align` crops each in its
            own way.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray | None
    geometry: str

    def __len__(self) -> int:
        return len(self.boxes)


class Detector(Protocol):
    """What finds faces. `detect` may be called from several threads at once."""

    @property
    def name(self) -> str:
        """What found the faces, with its version; part of every result."""

    @property
    def geometry(self) -> str:
        """Whose boxes these are; the same as in its `Detections`."""

    @property
    def note(self) -> str:
        """Why this detector and not the preferred one; empty where there is nothing to say."""

    def detect(self, image: np.ndarray) -> Detections:
        """The faces in an RGB picture, uint8 (H, W, 3)."""


def find_detector(
    kind: str = "auto", *, model: Path | None = None, max_side: int | None = None
) -> Detector:
    """The detector of a kind, ready for use.

    Args:
        kind: `yunet`; `yunet-close`, which looks at enlarged parts of the picture too; `mtcnn`;
            `none` for pictures that are faces already; `auto` for YuNet where its weights can be
            had, else MTCNN where it is installed.
        model: File with YuNet's weights, to be taken instead of looking for them.
        max_side: Longest side in pixels at which faces are looked for; larger pictures are shrunk
            for it. More finds smaller faces and takes longer. None is 2560.

    Raises:
        UsageError: for an unknown kind or size, and for a model or size that the kind has no use
            for.
        DataError: if a file named for the weights is missing or is no face detector.
        DownloadError: if the weights are nowhere and cannot be fetched (with `auto`: and MTCNN is
            not installed).
        MissingExtraError: for `mtcnn` where it is not installed.
    """
    if kind not in KINDS:
        raise UsageError(f"detector: came {kind!r}; expected one of {', '.join(KINDS)}")
    for name, given, kinds in (("model", model, KINDS[:3]), ("max_side", max_side, KINDS[:4])):
        if given is not None and kind not in kinds:
            raise UsageError(
                f"detector {kind}: came {name} {given}, which is for {', '.join(kinds)} only"
            )
    side = MAX_SIDE if max_side is None else max_side
    if side < 32:
        raise UsageError(f"detector size: came {side} px; expected at least 32")
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
    """Takes the whole picture for one face: for crops such as FER2013's own."""

    name = geometry = "none"
    note = ""

    def detect(self, image: np.ndarray) -> Detections:
        height, width = checked(image).shape[:2]
        boxes = np.array([[0, 0, width, height]], np.float32)
        return Detections(boxes, np.ones(1, np.float32), None, "none")


class YuNet:
    """YuNet through `cv2.FaceDetectorYN`; one network for each thread, made when the thread first
    asks.
    """

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
            raise _bad_weights(weights, f"a file that cannot be read ({error.strerror})") from error
        digest = hashlib.sha256(data).hexdigest()
        self.name = (
            "yunet-2026may" if digest == YUNET_SHA256 else f"yunet-{digest[:8]}"
        ) + "-close" * close
        self.note = ""
        self._weights, self._data = weights, np.frombuffer(data, np.uint8)
        self._max_side, self._min_score, self._close = max_side, min_score, close
        self._own = threading.local()
        self._network()  # so that a file that is no detector is refused here

    def __reduce__(self) -> tuple[Any, ...]:
        return _yunet, (self._weights, self._max_side, self._min_score, self._close)

    def detect(self, image: np.ndarray) -> Detections:
        """The faces in an RGB picture, uint8 (H, W, 3).

        A picture larger than `FIRST_SIDE` is looked at twice: small, for large faces, and at
        `max_side`. The close look is a third, at tiles.
        """
        longest = max(checked(image).shape[:2])
        most = min(longest, self._max_side)
        faces = [self._look(*shrunk(image, min(most, FIRST_SIDE)))]
        if most > FIRST_SIDE:
            faces.append(
                _mostly_faces(self._look(*shrunk(image, most)), _SEEN_PX * longest / FIRST_SIDE)
            )
            faces[1] = faces[1][_size(faces[1]) <= _LARGE_PX * longest / most]
        if self._close:
            closer = _mostly_faces(self._look_closely(image), _SEEN_PX * longest / most)
            faces.append(closer[_size(closer) <= _SHARED])
        return found_faces(np.concatenate(faces), image, "yunet")

    def _look_closely(self, image: np.ndarray) -> np.ndarray:
        """As `_look`, at enlarged tiles; each place of the picture is the business of one tile
        alone.
        """
        import cv2

        found = []
        for top, bottom, first_y, last_y in tiles(image.shape[0]):
            for left, right, first_x, last_x in tiles(image.shape[1]):
                tile = image[top:bottom, left:right]
                large = cv2.resize(
                    tile, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC
                )
                faces = self._look(
                    large, np.array(tile.shape[1::-1], np.float32) / large.shape[1::-1]
                )
                faces[:, :14] += np.tile(np.array([left, top], np.float32), 7)
                x, y = (faces[:, 0] + faces[:, 2]) / 2, (faces[:, 1] + faces[:, 3]) / 2
                found.append(faces[(x >= first_x) & (x < last_x) & (y >= first_y) & (y < last_y)])
        return np.concatenate(found)

    def _look(self, small: np.ndarray, zoom: np.ndarray) -> np.ndarray:
        """float32 (F, 15): x0 y0 x1 y1, five landmarks, score; coordinates times zoom (2,)."""
        import cv2

        network = self._network()
        network.setInputSize((small.shape[1], small.shape[0]))
        _, faces = network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if faces is None:
            return np.zeros((0, 15), np.float32)
        faces = np.array(faces, np.float32)
        faces[:, 2:4] += faces[:, 0:2]
        faces[:, :14] *= np.tile(zoom, 7)
        return faces

    def _network(self) -> Any:
        network = getattr(self._own, "network", None)
        if network is None:
            import cv2

            log = (
                cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2
            )  # 4.10 has it in cv2 itself
            # OpenCV 5 prints a warning that means nothing here each time it loads a network.
            with _LOG_LEVEL:
                level = log.getLogLevel()
                log.setLogLevel(_LOG_ERRORS)
                try:
                    network = cv2.FaceDetectorYN.create(
                        "onnx",
                        self._data,
                        np.zeros(0, np.uint8),
                        (320, 320),
                        self._min_score,
                        0.3,
                        _TOP,
                    )
                    network.detect(np.zeros((320, 320, 3), np.uint8))
                except cv2.error as error:
                    reason = " ".join(str(error).split())[:200]
                    raise _bad_weights(
                        self._weights, f"a file that OpenCV cannot use as YuNet ({reason})"
                    ) from error
                finally:
                    log.setLogLevel(level)
            self._own.network = network
        return network


class MTCNN:
    """The detector of the wheel `mtcnn`, one picture at a time."""

    geometry = "mtcnn"

    def __init__(
        self, *, max_side: int = MAX_SIDE, min_score: float = MIN_SCORE, note: str = ""
    ) -> None:
        try:
            from importlib.metadata import version

            runtime.import_tensorflow()
            import mtcnn
        except ImportError as error:
            raise MissingExtraError("mtcnn", "mtcnn") from error
        self.name = f"mtcnn-{version('mtcnn')}"
        self.note = note
        with runtime.closed_files_closed_again():
            self._network = mtcnn.MTCNN(device="CPU:0")
        self._max_side, self._min_score = max_side, min_score
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _mtcnn, (self._max_side, self._min_score, self.note)

    def detect(self, image: np.ndarray) -> Detections:
        """The faces in an RGB picture, uint8 (H, W, 3)."""
        small, zoom = shrunk(checked(image), self._max_side)
        if min(small.shape[:2]) < 12:  # its first network looks at 12 x 12 pixels
            return found_faces(np.zeros((0, 15), np.float32), image, "mtcnn")
        with self._lock:
            found = self._network.detect_faces(small) or []
        rows = []
        for face in found:
            x, y, width, height = face["box"]
            points = face["keypoints"]
            # Its left is the picture's left, which is the person's right.
            order = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
            flat = [value for name in order for value in points[name]]
            rows.append([x, y, x + width, y + height, *flat, face["confidence"]])
        faces = np.array(rows, np.float32).reshape(-1, 15)
        faces[:, :14] *= np.tile(zoom, 7)
        return found_faces(faces[faces[:, 14] >= self._min_score], image, "mtcnn")


def yunet_weights(model: Path | None = None) -> Path:
    """File with YuNet's weights, fetched into the cache where it is nowhere else.

    Raises:
        DataError: if `model` or $MIEN_YUNET names no file.
        DownloadError: if no mirror gave the file.
    """
    return kept_weights(model) or _download(_cached())


def kept_weights(model: Path | None = None) -> Path | None:
    """File with YuNet's weights on this machine; None if it would have to be fetched.

    Raises:
        DataError: if `model` or $MIEN_YUNET names no file.
    """
    named = model or os.environ.get("MIEN_YUNET")
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise _bad_weights(
                path, "no such file" if model else "no such file, though MIEN_YUNET names it"
            )
        return path
    for kept in (PACKAGED, _cached()):
        try:
            if hashlib.sha256(kept.read_bytes()).hexdigest() == YUNET_SHA256:
                return kept
        except OSError:
            continue  # not there yet
    return None


def _cached() -> Path:
    return cache_dir() / "models" / YUNET_FILE


def _download(kept: Path) -> Path:
    """Fetch the weights from the first mirror that has them; what appears under the final name is
    whole and checked.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")  # it writes a line for each download
    reasons = []
    for url in YUNET_URLS:
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            pooch.retrieve(
                url,
                known_hash=f"sha256:{YUNET_SHA256}",
                fname=kept.name,
                path=kept.parent,
                downloader=pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT_S),
            )
            return kept
        except requests.RequestException as error:
            reasons.append(f"{_host(url)}: {_in_short(error)}")
        except ValueError:
            reasons.append(f"{_host(url)}: a file with another checksum")
        except OSError as error:
            raise DownloadError(
                f"{kept.parent}: came {error.strerror or error}; expected a folder to keep YuNet's weights in. "
                "To mend: free some space, name another folder in MIEN_CACHE, or name the file in MIEN_YUNET."
            ) from error
    raise DownloadError(
        f"YuNet, the face detector: came no weights ({'; '.join(dict.fromkeys(reasons))}); expected one download of "
        f"230 KB. To mend: connect once to the internet; or bring {YUNET_URLS[0]} to {kept}, or name it in MIEN_YUNET "
        "or --detector-model; or install mien with the extra [mtcnn] (in a checkout: pip install '.[mtcnn]') for "
        "MTCNN, which needs no download; or give --detector none for pictures that are faces already."
    )


def _host(url: str) -> str:
    return url.split("/")[2]


def _in_short(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "cut off before its end"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__


def _bad_weights(path: Path, came: str) -> DataError:
    return DataError(
        path,
        came=came,
        expected=f"YuNet's weights, as in {YUNET_FILE} of OpenCV Zoo",
        mend="name the right file in --detector-model or MIEN_YUNET, or name none and let mien fetch it",
    )


def mtcnn_is_installed() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("mtcnn", "tensorflow"))


def _yunet(weights: Path, max_side: int, min_score: float, close: bool) -> YuNet:
    return YuNet(weights, max_side=max_side, min_score=min_score, close=close)


def _mtcnn(max_side: int, min_score: float, note: str) -> MTCNN:
    return MTCNN(max_side=max_side, min_score=min_score, note=note)


def checked(image: np.ndarray) -> np.ndarray:
    """The picture, if it is one.

    Raises:
        UsageError: if it is not uint8 (H, W, 3) with at least one pixel.
    """
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
    ):
        came = (
            f"{image.dtype} {image.shape}"
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise UsageError(
            f"picture: came {came}; expected RGB uint8 (H, W, 3), as mien.vision.image.load_image gives it"
        )
    if image.size == 0:
        raise UsageError(f"picture: came {image.shape}; expected at least one pixel")
    return image


def shrunk(image: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture with its longest side at most `side` pixels (averaged by area), and the way back.

    Returns:
        uint8 (H', W', 3), and float32 (2,): what x and y must be multiplied with to be pixels of
        the picture.
    """
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image, np.ones(2, np.float32)
    import cv2

    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small, np.array([width / size[0], height / size[1]], np.float32)


def tiles(length: int) -> list[tuple[int, int, float, float]]:
    """An axis of so many pixels in parts that overlap by `_SHARED` or more: where each begins and
    ends, and from where to where it alone decides what is a face, which are the middles of what it
    shares with its neighbours.
    """
    num = max(1, math.ceil((length - _SHARED) / (_TILE - _SHARED)))
    size = min(length, math.ceil((length + (num - 1) * _SHARED) / num))
    starts = [round(part * (length - size) / max(1, num - 1)) for part in range(num)]
    borders = [-math.inf, *((one + size + other) / 2 for one, other in pairwise(starts)), math.inf]
    return [
        (start, start + size, *sides)
        for start, sides in zip(starts, pairwise(borders), strict=True)
    ]


def _size(faces: np.ndarray) -> np.ndarray:
    return np.asarray((faces[:, 2:4] - faces[:, 0:2]).max(axis=1))


def _mostly_faces(faces: np.ndarray, seen_px: float) -> np.ndarray:
    """Rows without those that an earlier look should have seen, being larger than so many pixels,
    unless sure.
    """
    return np.asarray(faces[(_size(faces) <= seen_px) | (faces[:, 14] >= _SURE)])


def found_faces(faces: np.ndarray, image: np.ndarray, geometry: str) -> Detections:
    """Detections from rows x0 y0 x1 y1, ten coordinates of landmarks, score: valid, each face once,
    in order.

    Boxes are clipped to the picture. Dropped are rows with a value that is not finite, boxes that
    keep less than one pixel a side within the picture, and of boxes that overlap the ones with the
    lower score.
    """
    height, width = image.shape[:2]
    faces = faces[np.isfinite(faces).all(axis=1)]
    boxes = np.clip(faces[:, :4], 0, [width, height, width, height]).astype(np.float32)
    sides = boxes[:, 2:] - boxes[:, :2]
    whole = (sides >= 1).all(axis=1)
    faces, boxes, sides = faces[whole], boxes[whole], sides[whole]
    scores = np.clip(faces[:, 14], 0, 1).astype(np.float32)
    order = np.lexsort((-sides[:, 0] * sides[:, 1], -scores))
    kept = distinct(boxes, order)
    landmarks = faces[kept, 4:14].reshape(-1, 5, 2).astype(np.float32)
    return Detections(boxes[kept], scores[kept], landmarks, geometry)


def distinct(boxes: np.ndarray, order: Sequence[int] | np.ndarray) -> list[int]:
    """Indices in the given order, without boxes that overlap an earlier one by more than `_SAME`."""
    kept: list[int] = []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for index in map(int, order):
        if kept:
            low = np.maximum(boxes[kept, :2], boxes[index, :2])
            high = np.minimum(boxes[kept, 2:], boxes[index, 2:])
            shared = np.prod(np.clip(high - low, 0, math.inf), axis=1)
            if float((shared / (areas[kept] + areas[index] - shared)).max()) > _SAME:
                continue
        kept.append(index)
    return kept
