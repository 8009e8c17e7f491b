"""Faces to calibrated probabilities: one ONNX Runtime session, in batches of at most 64."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np

from mien.bundle import Bundle
from mien.bundle.answer import TEMPERATURE, AnswerRule, Prior, rule_under, softmax
from mien.bundle.tta import NUM_VIEWS, views
from mien.constants import FACE_SIDE
from mien.errors import BundleError, UsageError, check_word
from mien.runtime import cores, onnx_errors, onnx_session
from mien.vision.preprocess import all_resized

MAX_BATCH = 64  # larger ones gain nothing on a CPU, and memory grows with them
MAX_THREADS = 8


class Classifier:
    """The network of a bundle in an ONNX Runtime session.

    Many threads may call a classifier at once. It can be pickled: the copy holds the model and
    starts its own session. A session does not survive `os.fork`: create the classifier in the
    child.

    Args:
        bundle: A bundle from `open_bundle`.
        num_threads: Threads for one batch; by default as many as this process may use, but at most
            8. A server that answers many requests at once does best with 1.

    Raises:
        BundleError: if ONNX Runtime cannot run the model.
        UsageError: if `num_threads` is less than 1.
    """

    def __init__(self, bundle: Bundle, *, num_threads: int | None = None) -> None:
        if num_threads is not None and num_threads < 1:
            raise UsageError(
                f"num_threads: got {num_threads}; expected 1 or more. Fix: pass None for the "
                "default"
            )
        self.bundle = bundle
        self.num_threads = num_threads or min(cores(), MAX_THREADS)
        self._outputs = [head.output for head in bundle.heads]
        self._session: Any = _session(bundle, self.num_threads)

    def __call__(self, faces: np.ndarray, *, mode: str = "fast") -> dict[str, np.ndarray]:
        """Calibrated probabilities.

        Args:
            faces: uint8 (N, A, A, 1), gray, 0 black to 255 white; N may be 0. Faces whose side A is
                not the network's (`Bundle.side`) are resized (`mien.vision.preprocess`).
            mode: `fast` classifies each face once; `best` averages 14 views of it
                (`mien.bundle.tta`), at 14 times the cost.

        Returns:
            Head name -> float32 (N, K) in the order of the head's labels; rows sum to 1. `answer`
            combines them.

        Raises:
            UsageError: if the faces have another type or shape, or the classifier was closed.
            BundleError: if the network's output is not finite.
        """
        logits = self.logits(faces, mode=mode)
        return {
            head.name: softmax(logits[head.name], getattr(head, TEMPERATURE[mode]))
            for head in self.bundle.heads
        }

    def rule(self, prior: Prior = None) -> AnswerRule:
        """The rule that turns the heads' probabilities into the prediction under a class prior.

        Args:
            prior: None for the bundle's default, a name, or weights by label
                (`mien.bundle.answer.rule_under`).

        Raises:
            UsageError: if there is no such prior, or the weights do not fit the labels.
        """
        return rule_under(prior, self.bundle.rules, self.bundle.heads[0].labels)

    def answer(
        self,
        heads: Mapping[str, np.ndarray],
        *,
        mode: str = "fast",
        rule: AnswerRule | None = None,
    ) -> np.ndarray:
        """Combine the heads' probabilities into those of the prediction.

        Args:
            heads: The result of calling the classifier.
            mode: The mode of that call.
            rule: A rule from `rule`; None for the bundle's default.

        Returns:
            float32 (N, K), in the order of the first head's labels; rows sum to 1.
        """
        labels = {head.name: head.labels for head in self.bundle.heads}
        return (rule or self.rule()).answer(heads, labels, mode=mode)

    def logits(self, faces: np.ndarray, *, mode: str = "fast") -> dict[str, np.ndarray]:
        """The network's logits before temperature scaling: head name -> float32 (N, K).

        In the mode `best` they are the mean over the views.
        """
        check_mode(mode)
        session = self._session
        if session is None:
            raise UsageError(
                "classifier: got a call after close(); expected an open classifier. Fix: create "
                "another from its bundle"
            )
        square = faces.ndim == 4 and faces.shape[1] == faces.shape[2] > 0 == faces.shape[3] - 1
        if faces.dtype != np.uint8 or not square:
            raise UsageError(
                f"faces: got {faces.dtype} {faces.shape}; expected uint8 (N, {FACE_SIDE}, "
                f"{FACE_SIDE}, 1), or squares of another side. Fix: convert with "
                "faces.astype('uint8') and reshape"
            )
        logits = {
            head.name: np.empty((len(faces), len(head.labels)), np.float32)
            for head in self.bundle.heads
        }
        # Each face counts as many pictures as it has views; a batch has at most `MAX_BATCH`.
        step = MAX_BATCH if mode == "fast" else max(1, MAX_BATCH // NUM_VIEWS)
        for start in range(0, len(faces), step):
            batch = all_resized(faces[start : start + step], self.bundle.side)
            pictures = (
                batch.astype(np.float32)
                if mode == "fast"
                else views(batch).reshape(-1, *batch.shape[1:])
            )
            try:
                outputs = session.run(self._outputs, {self.bundle.input_name: pictures})
            except onnx_errors() as error:
                raise _refusal(self.bundle, error) from error
            for head, output in zip(self.bundle.heads, outputs, strict=True):
                rows = logits[head.name][start : start + len(batch)]
                if mode == "best" and len(output) == len(pictures):
                    output = output.reshape(NUM_VIEWS, len(batch), -1).mean(axis=0)
                is_finite = np.isfinite(output).all()
                if output.shape != rows.shape or not is_finite:
                    values = "numbers" if is_finite else "values that are not all finite"
                    raise BundleError(
                        self.bundle.name,
                        f"output of the head {head.name}",
                        got=f"an array {output.shape} of {values}",
                        expected=f"{rows.shape} finite numbers",
                    )
                rows[:] = output
        return logits

    def replay_goldens(self) -> float:
        """Classify the golden faces and compare with the probabilities stored in the bundle.

        Returns:
            The largest difference, over all heads and priors. In a sound installation it is below
            `bundle.golden_tolerance`.
        """
        heads = self(self.bundle.golden_faces)
        pairs = [
            (heads[head.name], softmax(self.bundle.golden_logits[head.name], head.temperature))
            for head in self.bundle.heads
        ]
        for prior, golden in self.bundle.golden_answers.items():
            pairs.append((self.answer(heads, rule=self.bundle.rules[prior]), golden))
        return max(float(np.abs(probabilities - golden).max()) for probabilities, golden in pairs)

    def close(self) -> None:
        """Free the session. Calls running in other threads finish; later calls raise UsageError."""
        self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.bundle, self.num_threads)


def check_mode(mode: str) -> None:
    """Refuse a mode that is neither `fast` nor `best`.

    Raises:
        UsageError: naming both.
    """
    check_word("mode", mode, TEMPERATURE)


def _restored(bundle: Bundle, num_threads: int) -> Classifier:
    return Classifier(bundle, num_threads=num_threads)


def _session(bundle: Bundle, num_threads: int) -> Any:
    try:
        return onnx_session(bundle.model, num_threads)
    except onnx_errors() as error:
        raise _refusal(bundle, error) from error


def _refusal(bundle: Bundle, error: Exception) -> BundleError:
    import onnxruntime

    reason = str(error).splitlines()[0][:300]
    return BundleError(
        bundle.name,
        "model.onnx",
        got=f"a network that ONNX Runtime {onnxruntime.__version__} refuses ({reason})",
        expected="one that it can run",
        fix="pip install --upgrade onnxruntime, or export the model again",
    )
