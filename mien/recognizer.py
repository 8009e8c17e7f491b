"""Picture in, faces with calibrated probabilities out: decode, detect, crop, classify.

>>> import mien
>>> recognizer = mien.load()                            # doctest: +SKIP
>>> recognizer.faces("photo.jpg")[0].label              # doctest: +SKIP
'happy'
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np

from mien.bundle import Bundle, open_bundle
from mien.bundle.answer import Prior
from mien.bundle.classifier import Classifier, check_mode
from mien.errors import MienError, UsageError
from mien.labels import LabelSet
from mien.results import Face, Frame
from mien.vision import quality
from mien.vision.align import crop
from mien.vision.detect import Detector, find_detector
from mien.vision.detections import Detections
from mien.vision.explain import occlusion_map
from mien.vision.head_pose import head_pose
from mien.vision.image import decode, load_image
from mien.vision.reading import is_one_picture, name_of

BATCH = 64  # faces


def load(
    bundle: str | os.PathLike[str] = "shipped",
    *,
    detector: str | Detector = "auto",
    max_side: int | None = None,
    num_threads: int | None = None,
    mode: str = "fast",
    prior: Prior = None,
) -> Recognizer:
    """A recognizer that is ready to use.

    Args:
        bundle: A bundle that `mien export` wrote (folder or zip), or `shipped`.
        detector: `auto`, `yunet`, `yunet-close` for small faces, `mtcnn`; `none`: the pictures are
            faces already. Or what `mien.vision.detect.find_detector` gave, which also takes a file
            with YuNet's weights.
        max_side: Longest side in pixels at which faces are looked for; more finds smaller faces,
            and takes longer.
        num_threads: Threads of the classifier; by default those of the machine.
        mode: `fast`: each face is classified once; `best`: in 14 views, slower, with better
            probabilities.
        prior: How often each expression occurs where the pictures come from: `everyday` (press,
            film, family: mostly neutral and happy), `balanced` (experiments, posed collections), or
            weights of your own by label, `{"happy": 3, "neutral": 5}` or "happy=3,neutral=5"; by
            default what the bundle says, for the network in the package `everyday`.

    Raises:
        BundleError: if the bundle cannot be trusted.
        UsageError: if the bundle knows no such prior, or no such labels.
        DownloadError: if the detector's weights cannot be had.
    """
    if isinstance(detector, str):
        detector = find_detector(detector, max_side=max_side)
    elif max_side is not None:
        raise UsageError(
            f"max_side: got {max_side} with a detector that is made already; expected one or the "
            "other. Fix: give find_detector(..., max_side=...)"
        )
    return Recognizer(
        open_bundle(bundle),
        detector,
        num_threads=num_threads,
        mode=mode,
        prior=prior,
    )


@dataclass(frozen=True)
class _Found:
    """A picture on its way: where its faces are, not yet what they show."""

    width: int
    height: int
    note: str
    detections: Detections
    crops: np.ndarray  # uint8 (F, S, S, 1), S as the network takes them


class Recognizer:
    """Decode, detect, crop and classify. Safe to use from several threads at once; a process makes
    its own.

    Args:
        bundle: The network.
        detector: What finds faces.
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
        """The class prior under which it answers: a name, or shares such as `happy=0.75,sad=0.25`."""
        return self._rule.prior

    @property
    def certain_from(self) -> float:
        """The least probability of the likeliest label at which an answer may be relied on."""
        return self._rule.certain_from

    @property
    def labels(self) -> LabelSet:
        """The labels of `Face.label`, in the order of `Face.probabilities`."""
        return self.bundle.heads[0].labels

    @property
    def heads(self) -> dict[str, LabelSet]:
        """What `Face.heads` holds: each head's labels by its name; empty where the network has but
        one.
        """
        found = {head.name: head.labels for head in self.bundle.heads}
        return found if len(found) > 1 else {}

    def faces(self, picture: Any) -> list[Face]:
        """The faces of one picture, from left to right.

        Args:
            picture: Whatever `mien.vision.image.load_image` takes: path, bytes, file object, array, PIL
                image.

        Raises:
            DataError: if it is not a picture, or too large.
        """
        return self.faces_in(load_image(picture))

    def faces_in(self, image: np.ndarray) -> list[Face]:
        """The faces of one decoded picture, RGB uint8 (H, W, 3)."""
        found = self._find(image)
        return self._answer(found, self.classify(found.crops))

    def glance(self, image: np.ndarray) -> list[Face] | None:
        """As `faces_in`, with the detector's first and smaller look alone, which misses small faces;
        None where that would be the same look, or the detector has no other.
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
        """A Frame for each picture, in their order; one that cannot be read has an error and no
        faces.

        Pictures are decoded and searched ahead in threads, and classified in batches across
        pictures; at most a few are in memory at a time.

        Args:
            sources: What `faces` takes.
            names: What the frames are called; by default the path, or what kind of thing it is.
        """
        if is_one_picture(sources):
            raise UsageError(
                f"frames: got one source, {name_of(sources)}; expected several. "
                "Fix: use [source], or faces()"
            )
        workers = max(2, os.cpu_count() or 2)
        with ThreadPoolExecutor(workers, thread_name_prefix="mien") as pool:
            waiting: deque[tuple[str, Future[_Found | MienError]]] = deque()
            named = (
                ((name_of(s), s) for s in sources)
                if names is None
                else zip(names, sources, strict=True)
            )
            try:
                for name, source in named:
                    waiting.append((name, pool.submit(self._decode_and_find, source)))
                    if len(waiting) > 2 * workers:
                        yield from self._finish([waiting.popleft() for _ in range(workers)])
                while waiting:
                    yield from self._finish(
                        [waiting.popleft() for _ in range(min(workers, len(waiting)))]
                    )
            finally:
                for _, future in waiting:
                    future.cancel()

    def explain(self, picture: Any, face: Face) -> tuple[np.ndarray, np.ndarray]:
        """Which parts of a face its label rests on (`mien.vision.explain`), looked at once, also where
        `mode` is `best`.

        Args:
            picture: The picture in which the face was found.
            face: What `faces` answered.

        Returns:
            The face as the network sees it, uint8 (S, S, 1), and its map, float32 (S, S).
        """
        image = load_image(picture)
        boxes = np.array([face.box], np.float32)
        points = None if face.landmarks is None else np.array([face.landmarks], np.float32)
        [seen] = crop(
            image, boxes, points, geometry=self.detector.geometry, side=self.bundle.side
        ).faces
        one_view = self._classifier
        return seen, occlusion_map(
            lambda faces: one_view.answer(one_view(faces), rule=self._rule),
            seen,
            face.labels.index(face.label),
        )

    def with_settings(
        self, *, mode: str | None = None, detector: Detector | None = None, prior: Prior = None
    ) -> Recognizer:
        """The same network with other settings, in the same session; `close` ends both.

        Args:
            mode: As for `load`; None: as here.
            detector: What finds faces; None: as here.
            prior: As for `load`; None: as here.

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Recognizer holds native sessions and cannot be pickled; call mien.load() in each process"
        )

    def _decode_and_find(self, source: Any) -> _Found | MienError:
        try:
            picture = decode(source)
            return replace(self._find(picture.pixels), note=picture.note)
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
                yield Frame(name, 0, None, 0, 0, self.detector.name, (), str(result), self.prior)
                continue
            rows = slice(start, start + len(result.crops))
            start = rows.stop
            answers = self._answer(result, {head: p[rows] for head, p in heads.items()})
            yield Frame(
                name,
                0,
                None,
                result.width,
                result.height,
                self.detector.name,
                tuple(answers),
                prior=self.prior,
                note=result.note,
            )

    def _answer(self, found: _Found, heads: dict[str, np.ndarray]) -> list[Face]:
        first = self.bundle.heads[0]
        shown, names = self._classifier.answer(heads, mode=self.mode, rule=self._rule), self.heads
        boxes, scores, landmarks = (
            found.detections.boxes,
            found.detections.scores,
            found.detections.landmarks,
        )
        faces = []
        for i in range(len(boxes)):
            p = shown[i]
            points = None if landmarks is None else landmarks[i]
            measured = quality.measure(boxes[i], points, found.crops[i])
            reason = quality.doubt(
                float(p.max()), measured, self.certain_from, score=float(scores[i])
            )
            x0, y0, x1, y1 = (float(v) for v in boxes[i])
            faces.append(
                Face(
                    box=(x0, y0, x1, y1),
                    score=float(scores[i]),
                    landmarks=None
                    if points is None
                    else tuple((float(x), float(y)) for x, y in points),
                    label=first.labels[int(p.argmax())],
                    labels=first.labels.names,
                    probabilities=tuple(float(v) for v in p),
                    entropy=entropy(p),
                    quality=measured,
                    uncertain=bool(reason),
                    reason=reason,
                    heads={
                        name: {n: float(v) for n, v in zip(labels, heads[name][i], strict=True)}
                        for name, labels in names.items()
                    },
                    pose=None if points is None else head_pose(points),
                )
            )
        return faces


def entropy(p: np.ndarray) -> float:
    """Entropy of probabilities (K,) over that of a uniform answer: 0 sure, 1 no idea."""
    inside = p[p > 0].astype(np.float64)
    return float(min(1.0, max(0.0, -(inside * np.log(inside)).sum() / np.log(len(p)))))
