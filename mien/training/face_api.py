"""A teacher from elsewhere: the expression network of face-api, which knows other faces than
FER2013's.

https://github.com/vladmandic/face-api, MIT; what it was trained on is not told. It is asked about
training faces only, once, as they are; nothing of it is in a network that mien trains. It was
trained for the browser: 16 depthwise separable convolutions in four blocks, 329,468 bytes, whose
weights are 8-bit integers with a scale.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from mien.constants import cache_dir
from mien.errors import DataError, UsageError
from mien.labels import LabelSet
from mien.training.others_weights import Weights, folder_with

NAME = "face-api"
MANIFEST = "face_expression_model-weights_manifest.json"
WEIGHTS = Weights(
    name=NAME,
    url="https://registry.npmjs.org/@vladmandic/face-api/-/face-api-1.7.15.tgz",
    sha256="0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    megabytes=13,
    files={
        f"package/model/{MANIFEST}": (
            "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8"
        ),
        "package/model/face_expression_model.bin": (
            "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d"
        ),
    },
    variable="MIEN_FACE_API",
)
DIGEST = WEIGHTS.files["package/model/face_expression_model.bin"]
# Its outputs, in their order.
LABELS = LabelSet(("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise"))
SIDE = 112  # pixels of its input
MEAN = (122.782, 117.001, 104.298)  # of red, green and blue, taken away before the division by 255
BLOCKS, CONVOLUTIONS = 4, 4
BATCH = 256
# It is far surer than right: calibrated on photographs it wants a temperature of 2.0, on the
# majority of FER+ votes 2.7, on FER2013's labels 4.8 (docs/log.md).
TEMPERATURE = 2.5
# It is used to looser crops: a face is widened by its edges, by these shares of its side.
BELOW, BESIDE = 1 / 16, 1 / 48


def answers(faces: np.ndarray, labels: LabelSet, *, temperature: float = TEMPERATURE) -> np.ndarray:
    """The network's predictions for faces: the mean of each face and its mirror image.

    They are kept in the cache, since a set of training faces takes minutes and a run that was
    stopped needs them again.

    Args:
        faces: uint8 (N, S, S, 1), gray, by mien's crop.
        labels: In whose order it is to answer; a label that it does not know gets nothing.
        temperature: Divides its logits.

    Returns:
        float32 (N, K) probabilities, rows sum to 1.

    Raises:
        UsageError: if it knows fewer than two of the labels.
        DataError: if its files are not what they claim to be.
        DownloadError: if they cannot be had.
    """
    known = [label for label in labels if label in LABELS]
    if len(known) < 2:
        raise UsageError(
            f"face-api: got the labels {', '.join(labels)}; expected some of {', '.join(LABELS)}, "
            "which it knows. Fix: face_api_weight=0"
        )
    weights = folder_with(WEIGHTS)
    about = [dict(WEIGHTS.files), labels.names, temperature, faces.shape]
    digest = hashlib.sha256(json.dumps(about).encode())
    digest.update(np.ascontiguousarray(faces).data)
    kept = cache_dir() / NAME / f"{digest.hexdigest()[:40]}.npy"
    if (told := _kept(kept, (len(faces), len(labels)))) is not None:
        return told
    network = _network(read_weights(weights))
    theirs, ours = ([of.index(label) for label in known] for of in (LABELS, labels))
    below, beside = (round(share * faces.shape[1]) for share in (BELOW, BESIDE))
    told = np.zeros((len(faces), len(labels)), np.float32)
    for first in range(0, len(faces), BATCH):
        some = slice(first, first + BATCH)
        wider = np.pad(faces[some], ((0, 0), (0, below), (beside, beside), (0, 0)), mode="edge")
        views = tf.nn.softmax(tf.gather(network(wider), theirs, axis=-1) / temperature)
        told[some, ours] = np.asarray(views).mean(axis=0)
    _keep(kept, told)
    return told


def _kept(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """Predictions that were kept; None where there are none that are whole."""
    try:
        told = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return told if told.shape == shape and told.dtype == np.float32 else None


def _keep(path: Path, told: np.ndarray) -> None:
    """Keep predictions where possible; they can always be computed again."""
    made = path.with_name(f".new-{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(made, "wb") as file:
            np.save(file, told)
        os.replace(made, path)


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """Name -> float32 array, from the files of TensorFlow.js: a manifest, and the numbers one after
    the other.

    Raises:
        DataError: if the files do not hold what the manifest says.
    """
    path = folder / MANIFEST
    try:
        (group,) = json.loads(path.read_text(encoding="utf-8"))
        content = b"".join((folder / name).read_bytes() for name in group["paths"])
        weights, at = dict[str, np.ndarray](), 0
        for entry in group["weights"]:
            quantised = entry.get("quantization")
            kind = np.dtype(quantised["dtype"] if quantised else "<f4")
            num = math.prod(entry["shape"])
            values = np.frombuffer(content, kind, num, at).astype(np.float32)
            if quantised:
                values = values * np.float32(quantised["scale"]) + np.float32(quantised["min"])
            weights[entry["name"]] = values.reshape(entry["shape"])
            at += num * kind.itemsize
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _not_face_api(path, str(error)) from error
    if at != len(content):
        raise _not_face_api(path, f"{len(content)} bytes for weights of {at}")
    return weights


def _not_face_api(path: Path, got: str) -> DataError:
    return DataError(
        path,
        got=got,
        expected=f"the weights in {WEIGHTS.url}",
        fix=f"name a folder with these files in {WEIGHTS.variable}, or unset it and let mien fetch "
        "them",
    )


def _network(weights: dict[str, np.ndarray]) -> Callable[[np.ndarray], tf.Tensor]:
    """Faces uint8 (n, S, S, 1) -> logits (2, n, 7) of them and of their mirror images."""
    values = {name: tf.constant(array) for name, array in weights.items()}

    def convolved(x: tf.Tensor, name: str, stride: int) -> tf.Tensor:
        steps = [1, stride, stride, 1]
        if f"{name}/filters" in values:  # the first is an ordinary convolution
            x = tf.nn.conv2d(x, values[f"{name}/filters"], steps, "SAME")
        else:
            x = tf.nn.depthwise_conv2d(x, values[f"{name}/depthwise_filter"], steps, "SAME")
            x = tf.nn.conv2d(x, values[f"{name}/pointwise_filter"], 1, "SAME")
        return x + values[f"{name}/bias"]

    def logits(faces: tf.Tensor) -> Any:
        x = tf.image.resize(tf.cast(faces, tf.float32), (SIDE, SIDE), antialias=True)
        x = tf.concat([x, tf.reverse(x, [2])], axis=0)
        x = (x - tf.constant(MEAN)) / 255  # three channels
        for block in range(BLOCKS):
            # The sum of all answers so far goes into the next convolution (a dense block).
            total = tf.nn.relu(convolved(x, f"dense{block}/conv0", 2))
            for number in range(1, CONVOLUTIONS):
                given = tf.nn.relu(total)
                total = total + convolved(given, f"dense{block}/conv{number}", 1)
            x = tf.nn.relu(total)
        x = tf.reduce_mean(x, [1, 2]) @ values["fc/weights"] + values["fc/bias"]
        return tf.reshape(x, (2, -1, len(LABELS)))

    return tf.function(logits, reduce_retracing=True)  # type: ignore[no-any-return]
