"""From a picture to its faces with calibrated probabilities: decode, detect, crop, classify.

>>> import mien
>>> recognizer = mien.load()
>>> recognizer("photo.jpg").faces[0].label
'happy'
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from mien.bundle import Bundle, open_bundle
from mien.bundle.answer import Prior
from mien.bundle.classifier import Classifier, check_mode
from mien.errors import MienError, UsageError
from mien.labels import LabelSet
from mien.results import Face, Faces, Frame, Frames
from mien.vision.align import crop
from mien.vision.detect import Detector, find_detector
from mien.vision.detections import Detections
from mien.vision.explain import log_odds, occlusion_map
from mien.vision.faces import make_faces
from mien.vision.image import decode, load_image
from mien.vision.reading import is_file, is_one_picture, name_of, rereadable

if TYPE_CHECKING:
    from PIL.Image import Image

    from mien.vision.image import Source

    Picture = Source | Image


def load(
    bundle: str | os.PathLike[str] = "shipped",
    *,
    detector: str | Detector = "auto",
    max_side: int | None = None,
    num_threads: int | None = None,
    mode: str = "fast",
    prior: Prior = None,
) -> Recognizer:
    """Load a recognizer.

    Args:
        bundle: A bundle written by `mien export` (folder or zip), or `shipped`.
        detector: `auto`, `yunet`, `yunet-close` (for small faces), `mtcnn`, or `none` if the
            pictures are faces already; or a detector from `mien.vision.detect.find_detector`, which
            also takes a file with YuNet's weights.
        max_side: Longest side in pixels at which faces are detected; a larger value finds smaller
            faces and takes longer.
        num_threads: Threads of the classifier; by default as many as cores, but at most 8.
        mode: `fast` classifies each face once; `best` averages 14 views of it, which is slower and
            gives better probabilities.
        prior: How often each expression occurs in your kind of pictures: `everyday` (press, film,
            family: mostly neutral and happy), `balanced` (experiments, posed collections), or your
            own weights by label, `{"happy": 3, "neutral": 5}` or "happy=3,neutral=5". By default
            the bundle decides; the network in the package uses `everyday`.

    Raises:
        BundleError: if the bundle is missing, damaged or unsafe.
        UsageError: for an unknown detector, mode, prior or label.
        DownloadError: if the detector's weights cannot be downloaded.

    >>> recognizer = mien.load()
    >>> recognizer.labels.names
    ('angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral')
    """
    if isinstance(detector, str):
        detector = find_detector(detector, max_side=max_side)
    elif max_side is not None:
        raise UsageError(
            f"max_side: got {max_side} and a detector object; expected one or the other. Fix: "
            "create the detector with find_detector(..., max_side=...)"
        )
    return Recognizer(
        open_bundle(bundle), detector, num_threads=num_threads, mode=mode, prior=prior
    )


@dataclass(frozen=True)
class _DetectedFaces:
    """A picture whose faces are detected but not yet classified."""

    width: int
    height: int
    note: str
    detections: Detections
    crops: np.ndarray  # uint8 (F, S, S, 1), S being the side of the network's input
    picture: Any = None  # what a frame draws on


class Recognizer:
    """Finds the faces of pictures and classifies their expressions; `load` makes one.

    Several threads may use a recognizer at once; each process needs its own.

    Args:
        bundle: The network.
        detector: The face detector.
        num_threads, mode, prior: As for `load`.
    """

    def __init__(
        self,
        bundle: Bundle,
        detector: Detector,
        *,
        num_threads: int | None = None,
        mode: str = "fast",
        prior: Prior = None,
    ) -> None:
        check_mode(mode)
        self.bundle = bundle
        self.mode = mode
        self.detector = detector
        self._classifier = Classifier(bundle, num_threads=num_threads)
        self._rule = self._classifier.rule(prior)

    @property
    def prior(self) -> str:
        """The class prior of its predictions: a name, or shares such as `happy=0.75,sad=0.25`."""
        return self._rule.prior

    @property
    def certain_from(self) -> float:
        """A prediction is certain if its top probability is at least this, 0 to 1."""
        return self._rule.certain_from

    @property
    def labels(self) -> LabelSet:
        """The labels of `Face.label`, in the order of `Face.probabilities`."""
        return self.bundle.heads[0].labels

    @property
    def heads(self) -> dict[str, LabelSet]:
        """Head name -> labels, for the heads in `Face.heads`; empty if the network has one head."""
        labels = {head.name: head.labels for head in self.bundle.heads}
        return labels if len(labels) > 1 else {}

    @overload
    def __call__(self, picture: Picture) -> Frame: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, picture: Iterable[Picture]) -> Frames: ...
    def __call__(self, picture: Any) -> Frame | Frames:
        """Recognise the faces of one picture or several.

        Args:
            picture: Whatever `mien.vision.image.load_image` takes: path, address, bytes, file
                object, array, PIL image; or a list or other iterable of these. The result keeps it
                to draw on.

        Returns:
            For one picture a `Frame`. For several `Frames`, a list with a frame for each, in order;
            the frame of an unreadable picture has an `error` and no faces. `frames` yields the same
            one by one, for more pictures than fit into memory.

        Raises:
            DataError: if a single picture cannot be read, or is too large.

        >>> recognizer = mien.load()
        >>> recognizer("photo.jpg")
        Frame('photo.jpg', 512x512, [Face('happy' 1.00, box=(178, 63, 268, 176))])
        >>> recognizer(["photo.jpg", "coffee.jpg"]).to_frame()[["source", "faces", "label"]]
               source  faces  label
        0   photo.jpg      1  happy
        1  coffee.jpg      0   <NA>
        """
        if not is_one_picture(picture):
            return Frames(self._frames(((name_of(item), item) for item in picture), keep=True))
        decoded = decode(picture)
        detected = self._detect(decoded.pixels)
        detected = replace(detected, note=decoded.note, picture=rereadable(picture, decoded.pixels))
        return self._frame(name_of(picture), detected, self.classify(detected.crops))

    def faces(self, picture: Picture) -> Faces:
        """The faces of one picture, from left to right.

        Args:
            picture: One picture, as for a call.

        Raises:
            DataError: if it cannot be read, or is too large.
            UsageError: for several pictures.
        """
        if not is_one_picture(picture):
            raise UsageError(
                f"faces: got several pictures, a {type(picture).__name__}; expected one. Fix: call "
                "recognizer([...]) for a list of frames, or recognizer.frames([...]) one by one"
            )
        return self.faces_in(load_image(picture))

    def faces_in(self, image: np.ndarray) -> Faces:
        """The faces of one decoded picture, RGB uint8 (H, W, 3)."""
        detected = self._detect(image)
        return self._faces(detected, self.classify(detected.crops))

    def glance(self, image: np.ndarray) -> Faces | None:
        """Like `faces_in`, but only with the detector's first pass, at a small size, which misses
        small faces; None if the detector needs no second pass for this picture.
        """
        first_pass = getattr(self.detector, "glance", None)
        detections = None if first_pass is None else first_pass(image)
        if detections is None:
            return None
        detected = self._crop_faces(image, detections)
        return self._faces(detected, self.classify(detected.crops))

    def classify(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        """Calibrated probabilities of gray faces: head name -> float32 (N, K), rows sum to 1.

        Args:
            crops: uint8 (N, A, A, 1), cropped like FER2013's faces; any side A, such as 48.
        """
        return self._classifier(crops, mode=self.mode)

    def frames(
        self, sources: Iterable[Any], *, names: Iterable[str] | None = None
    ) -> Iterator[Frame]:
        """Yield a Frame for each picture, in order; that of an unreadable picture has an error.

        Threads decode pictures and detect faces ahead; faces are classified in batches across
        pictures. Only a few pictures are in memory at a time.

        Args:
            sources: Pictures, each as for `faces`.
            names: The names of the frames; by default the path, or the kind of picture.
        """
        if is_one_picture(sources):
            raise UsageError(
                f"frames: got a single source, {name_of(sources)}; expected a list of sources. "
                "Fix: call frames([source]) or faces(source)"
            )
        named_sources = (
            ((name_of(source), source) for source in sources)
            if names is None
            else zip(names, sources, strict=True)
        )
        yield from self._frames(named_sources, keep=False)

    def _frames(self, sources: Iterable[tuple[str, Any]], *, keep: bool) -> Iterator[Frame]:
        """A frame for each (name, picture); with `keep` it holds pictures that are not files."""
        workers = max(2, os.cpu_count() or 2)
        with ThreadPoolExecutor(workers, thread_name_prefix="mien") as pool:
            queue: deque[tuple[str, Future[_DetectedFaces | MienError]]] = deque()
            try:
                for name, source in sources:
                    queue.append((name, pool.submit(self._decode_and_detect, source, keep)))
                    if len(queue) > 2 * workers:
                        yield from self._finish([queue.popleft() for _ in range(workers)])
                while queue:
                    num = min(workers, len(queue))
                    yield from self._finish([queue.popleft() for _ in range(num)])
            finally:
                for _, future in queue:
                    future.cancel()

    def explain(self, picture: Any, face: Face) -> tuple[np.ndarray, np.ndarray]:
        """Which regions of a face its label depends on (`mien.vision.explain`), in a single view.

        Args:
            picture: The picture that contains the face.
            face: A face from `faces`.

        Returns:
            The network's input, uint8 (S, S, 1), and its map, float32 (S, S): by how much the
            label's log-odds fall when a region is blurred.
        """
        image = load_image(picture)
        boxes = np.array([face.box], np.float32)
        points = None if face.landmarks is None else np.array([face.landmarks], np.float32)
        [face_crop] = crop(
            image, boxes, points, geometry=self.detector.geometry, side=self.bundle.side
        ).faces
        classifier = self._classifier
        return face_crop, occlusion_map(
            lambda faces: log_odds(classifier.answer(classifier(faces), rule=self._rule)),
            face_crop,
            face.labels.index(face.label),
        )

    def with_settings(
        self, *, mode: str | None = None, detector: Detector | None = None, prior: Prior = None
    ) -> Recognizer:
        """A recognizer with other settings that shares this one's session; `close` ends both.

        Arguments and errors are as for `load`; None keeps the present setting.
        """
        recognizer = object.__new__(Recognizer)
        recognizer.__dict__.update(self.__dict__)
        if mode is not None:
            check_mode(mode)
            recognizer.mode = mode
        if detector is not None:
            recognizer.detector = detector
        if prior is not None:
            recognizer._rule = self._classifier.rule(prior)
        return recognizer

    def __repr__(self) -> str:
        network = f"{self.bundle.name} {self.bundle.digest[:8]}"
        return (
            f"Recognizer({network!r}, detector={self.detector.name!r}, mode={self.mode!r}, "
            f"prior={self.prior!r})"
        )

    def close(self) -> None:
        """Free the network. The recognizer cannot be used afterwards."""
        self._classifier.close()

    def __enter__(self) -> Recognizer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            "got a Recognizer, which has native sessions; expected an object that can be pickled. "
            "Fix: call mien.load() in each process"
        )

    def _decode_and_detect(self, source: Any, keep: bool) -> _DetectedFaces | MienError:
        try:
            decoded = decode(source)
            detected = replace(self._detect(decoded.pixels), note=decoded.note)
            is_kept = keep or is_file(source)
            return (
                replace(detected, picture=rereadable(source, decoded.pixels))
                if is_kept
                else detected
            )
        except MienError as error:
            return error

    def _detect(self, image: np.ndarray) -> _DetectedFaces:
        return self._crop_faces(image, self.detector.detect(image).left_to_right())

    def _crop_faces(self, image: np.ndarray, detections: Detections) -> _DetectedFaces:
        crops = crop(
            image,
            detections.boxes,
            detections.landmarks,
            geometry=detections.geometry,
            side=self.bundle.side,
        )
        return _DetectedFaces(image.shape[1], image.shape[0], "", detections, crops.faces)

    def _finish(
        self, items: Sequence[tuple[str, Future[_DetectedFaces | MienError]]]
    ) -> Iterator[Frame]:
        results = [(name, future.result()) for name, future in items]
        readable = [result for _, result in results if isinstance(result, _DetectedFaces)]
        crops = [item.crops for item in readable]
        heads = self.classify(np.concatenate(crops)) if crops else {}
        start = 0
        for name, result in results:
            if not isinstance(result, _DetectedFaces):
                yield replace(self._empty, source=name, error=str(result))
                continue
            rows = slice(start, start + len(result.crops))
            start = rows.stop
            yield self._frame(name, result, {head: p[rows] for head, p in heads.items()})

    @property
    def _empty(self) -> Frame:
        """A frame without a picture, with the names of this network and detector."""
        return Frame(
            *("", 0, None, 0, 0, self.detector.name),
            prior=self.prior,
            labels=self.labels.names,
            heads={name: labels.names for name, labels in self.heads.items()},
        )

    def _frame(self, name: str, detected: _DetectedFaces, heads: dict[str, np.ndarray]) -> Frame:
        return replace(
            self._empty,
            source=name,
            width=detected.width,
            height=detected.height,
            faces=tuple(self._faces(detected, heads)),
            note=detected.note,
            picture=detected.picture,
        )

    def _faces(self, detected: _DetectedFaces, heads: dict[str, np.ndarray]) -> Faces:
        probabilities = self._classifier.answer(heads, mode=self.mode, rule=self._rule)
        other_heads = {name: (labels, heads[name]) for name, labels in self.heads.items()}
        certain_from, prediction = self.certain_from, (self.labels, probabilities)
        return make_faces(
            detected.detections, detected.crops, prediction, other_heads, certain_from=certain_from
        )
