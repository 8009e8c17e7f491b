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
from mien.vision.answers import faces_of
from mien.vision.detect import Detector, find_detector
from mien.vision.detections import Detections
from mien.vision.explain import log_odds, occlusion_map
from mien.vision.image import decode, load_image
from mien.vision.reading import is_file, is_one_picture, kept, name_of

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
        detector: `auto`, `yunet`, `yunet-close` for small faces, `mtcnn`; `none` if the pictures
            are faces already. Or a detector from `mien.vision.detect.find_detector`, which also
            takes a file with YuNet's weights.
        max_side: Longest side in pixels at which faces are detected; a larger value finds smaller
            faces and takes longer.
        num_threads: Threads of the classifier; by default those of the machine.
        mode: `fast`: each face is classified once; `best`: in 14 views, slower, with better
            probabilities.
        prior: How often each expression occurs in the kind of pictures: `everyday` (press, film,
            family: mostly neutral and happy), `balanced` (experiments, posed collections), or
            weights of your own by label, `{"happy": 3, "neutral": 5}` or "happy=3,neutral=5". By
            default the bundle decides; for the network in the package it is `everyday`.

    Raises:
        BundleError: if the bundle cannot be trusted.
        UsageError: if the bundle has no such prior, or no such labels.
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
class _Found:
    """A picture whose faces are detected and not yet classified."""

    width: int
    height: int
    note: str
    detections: Detections
    crops: np.ndarray  # uint8 (F, S, S, 1), S as the network takes them
    picture: Any = None  # what a frame draws on


class Recognizer:
    """Decodes, detects, crops and classifies. Several threads may use it at once; each process
    needs its own.

    Args:
        bundle: The network.
        detector: The face detector.
        num_threads: Threads of the classifier; None leaves it to ONNX Runtime.
        mode: `fast` or `best`, as for `load`.
        prior: As for `load`.
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
        """The class prior of its answers: a name, or shares such as `happy=0.75,sad=0.25`."""
        return self._rule.prior

    @property
    def certain_from(self) -> float:
        """The least probability of the likeliest label in a certain answer."""
        return self._rule.certain_from

    @property
    def labels(self) -> LabelSet:
        """The labels of `Face.label`, in the order of `Face.probabilities`."""
        return self.bundle.heads[0].labels

    @property
    def heads(self) -> dict[str, LabelSet]:
        """The labels of each head in `Face.heads`, by its name; empty for a network with one."""
        found = {head.name: head.labels for head in self.bundle.heads}
        return found if len(found) > 1 else {}

    @overload
    def __call__(self, picture: Picture) -> Frame: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, picture: Iterable[Picture]) -> Frames: ...
    def __call__(self, picture: Any) -> Frame | Frames:
        """One picture, or several.

        Of one picture comes a `Frame`; it raises where the picture cannot be read. Of several come
        `Frames`, a list with a frame for each, in their order; one that cannot be read has its
        `error` and no faces. `frames` gives the same one by one, for more than fit into memory.

        Args:
            picture: Whatever `mien.vision.image.load_image` takes: path, address, bytes, file
                object, array, PIL image; or a list or other iterable of these. The answer keeps
                what was given, to draw on it.

        Raises:
            DataError: if the one picture is not a picture, or too large.

        >>> recognizer = mien.load()
        >>> recognizer("photo.jpg")
        Frame('photo.jpg', 512x512, [Face('happy' 1.00, box=(178, 63, 268, 176))])
        >>> recognizer(["photo.jpg", "coffee.jpg"]).to_frame()[["source", "faces", "label"]]
               source  faces  label
        0   photo.jpg      1  happy
        1  coffee.jpg      0   <NA>
        """
        if not is_one_picture(picture):
            return Frames(self._frames(((name_of(one), one) for one in picture), keep=True))
        decoded = decode(picture)
        found = self._find(decoded.pixels)
        found = replace(found, note=decoded.note, picture=kept(picture, decoded.pixels))
        return self._frame(name_of(picture), found, self.classify(found.crops))

    def faces(self, picture: Picture) -> Faces:
        """The faces of one picture, from left to right: a list, with a `to_frame` of its own.

        Args:
            picture: One picture, as for a call.

        Raises:
            DataError: if it is not a picture, or too large.
            UsageError: for several pictures.
        """
        if not is_one_picture(picture):
            raise UsageError(
                f"faces: got several pictures, a {type(picture).__name__}; expected one. Fix: "
                "recognizer([...]) for a list of frames, or recognizer.frames([...]) one by one"
            )
        return self.faces_in(load_image(picture))

    def faces_in(self, image: np.ndarray) -> Faces:
        """The faces of one decoded picture, RGB uint8 (H, W, 3)."""
        found = self._find(image)
        return self._answer(found, self.classify(found.crops))

    def glance(self, image: np.ndarray) -> Faces | None:
        """As `faces_in`, but only with the detector's first pass at a small size, which misses
        small faces; None if the detector makes no second pass for this picture.
        """
        look = getattr(self.detector, "glance", None)
        detections = None if look is None else look(image)
        if detections is None:
            return None
        found = self._cut_out(image, detections)
        return self._answer(found, self.classify(found.crops))

    def classify(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        """Calibrated probabilities of each head, float32 (N, K), of gray faces.

        Args:
            crops: uint8 (N, A, A, 1), cut as FER2013's are; any side A, such as FER2013's own 48.
        """
        return self._classifier(crops, mode=self.mode)

    def frames(
        self, sources: Iterable[Any], *, names: Iterable[str] | None = None
    ) -> Iterator[Frame]:
        """A Frame for each picture, in their order; one for an unreadable picture has an error and
        no faces.

        Threads decode pictures and detect faces ahead; faces are classified in batches across
        pictures. Only a few pictures are in memory at a time.

        Args:
            sources: What `faces` takes.
            names: The names of the frames; by default the path, or the kind of picture.
        """
        if is_one_picture(sources):
            raise UsageError(
                f"frames: got a single source, {name_of(sources)}; expected a list of sources. "
                "Fix: use frames([source]), or faces(source)"
            )
        named_sources = (
            ((name_of(one), one) for one in sources)
            if names is None
            else zip(names, sources, strict=True)
        )
        yield from self._frames(named_sources, keep=False)

    def _frames(self, sources: Iterable[tuple[str, Any]], *, keep: bool) -> Iterator[Frame]:
        """A frame for each name and picture; `keep`: also pictures that are no files are kept."""
        workers = max(2, os.cpu_count() or 2)
        with ThreadPoolExecutor(workers, thread_name_prefix="mien") as pool:
            waiting: deque[tuple[str, Future[_Found | MienError]]] = deque()
            try:
                for name, source in sources:
                    waiting.append((name, pool.submit(self._decode_and_find, source, keep)))
                    if len(waiting) > 2 * workers:
                        yield from self._finish([waiting.popleft() for _ in range(workers)])
                while waiting:
                    num = min(workers, len(waiting))
                    yield from self._finish([waiting.popleft() for _ in range(num)])
            finally:
                for _, future in waiting:
                    future.cancel()

    def explain(self, picture: Any, face: Face) -> tuple[np.ndarray, np.ndarray]:
        """Which parts of a face its label depends on (`mien.vision.explain`), in a single view.

        Args:
            picture: The picture that contains the face.
            face: A face from `faces`.

        Returns:
            The face as the network sees it, uint8 (S, S, 1), and its map, float32 (S, S): the fall
            of the label's log-odds if a place is blurred.
        """
        image = load_image(picture)
        boxes = np.array([face.box], np.float32)
        points = None if face.landmarks is None else np.array([face.landmarks], np.float32)
        [seen] = crop(
            image, boxes, points, geometry=self.detector.geometry, side=self.bundle.side
        ).faces
        one_view = self._classifier
        return seen, occlusion_map(
            lambda faces: log_odds(one_view.answer(one_view(faces), rule=self._rule)),
            seen,
            face.labels.index(face.label),
        )

    def with_settings(
        self, *, mode: str | None = None, detector: Detector | None = None, prior: Prior = None
    ) -> Recognizer:
        """The same network with other settings, in the same session; `close` ends both.

        Args:
            mode: As for `load`; None keeps it.
            detector: The face detector; None keeps it.
            prior: As for `load`; None keeps it.

        Raises:
            UsageError: if there is no such mode or prior.
        """
        other = object.__new__(Recognizer)
        other.__dict__.update(self.__dict__)
        if mode is not None:
            check_mode(mode)
            other.mode = mode
        if detector is not None:
            other.detector = detector
        if prior is not None:
            other._rule = self._classifier.rule(prior)
        return other

    def __repr__(self) -> str:
        network = f"{self.bundle.name} {self.bundle.digest[:8]}"
        return (
            f"Recognizer({network!r}, detector={self.detector.name!r}, mode={self.mode!r}, "
            f"prior={self.prior!r})"
        )

    def close(self) -> None:
        """Free the network; the recognizer cannot be used afterwards."""
        self._classifier.close()

    def __enter__(self) -> Recognizer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Recognizer has native sessions and cannot be pickled; call mien.load() in each "
            "process"
        )

    def _decode_and_find(self, source: Any, keep: bool) -> _Found | MienError:
        try:
            decoded = decode(source)
            found = replace(self._find(decoded.pixels), note=decoded.note)
            is_kept = keep or is_file(source)
            return replace(found, picture=kept(source, decoded.pixels)) if is_kept else found
        except MienError as error:
            return error

    def _find(self, image: np.ndarray) -> _Found:
        return self._cut_out(image, self.detector.detect(image).left_to_right())

    def _cut_out(self, image: np.ndarray, detections: Detections) -> _Found:
        crops = crop(
            image,
            detections.boxes,
            detections.landmarks,
            geometry=detections.geometry,
            side=self.bundle.side,
        )
        return _Found(image.shape[1], image.shape[0], "", detections, crops.faces)

    def _finish(self, items: Sequence[tuple[str, Future[_Found | MienError]]]) -> Iterator[Frame]:
        results = [(name, future.result()) for name, future in items]
        found = [result for _, result in results if isinstance(result, _Found)]
        faces = [one.crops for one in found]
        heads = self.classify(np.concatenate(faces)) if faces else {}
        start = 0
        for name, result in results:
            if not isinstance(result, _Found):
                yield replace(self._empty, source=name, error=str(result))
                continue
            rows = slice(start, start + len(result.crops))
            start = rows.stop
            yield self._frame(name, result, {head: p[rows] for head, p in heads.items()})

    @property
    def _empty(self) -> Frame:
        """A frame of nothing, which tells of this network and detector."""
        return Frame(
            *("", 0, None, 0, 0, self.detector.name),
            prior=self.prior,
            labels=self.labels.names,
            heads={name: labels.names for name, labels in self.heads.items()},
        )

    def _frame(self, name: str, found: _Found, heads: dict[str, np.ndarray]) -> Frame:
        return replace(
            self._empty,
            source=name,
            width=found.width,
            height=found.height,
            faces=tuple(self._answer(found, heads)),
            note=found.note,
            picture=found.picture,
        )

    def _answer(self, found: _Found, heads: dict[str, np.ndarray]) -> Faces:
        shown = self._classifier.answer(heads, mode=self.mode, rule=self._rule)
        labelled = {name: (labels, heads[name]) for name, labels in self.heads.items()}
        least, own = self.certain_from, (self.labels, shown)
        return faces_of(found.detections, found.crops, own, labelled, certain_from=least)
