"""Predictions of face-api's expression network, as an additional teacher.

https://github.com/vladmandic/face-api, MIT licence; its training data is not published. It
classifies the training faces once, without augmentation. A network that mien trains contains none
of its weights. It was made for the browser: 16 depthwise separable convolutions in four blocks,
329,468 bytes of 8-bit integers with a scale.
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
# Its labels, in the order of its outputs.
LABELS = LabelSet(("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise"))
SIDE = 112  # pixels of its input
MEAN = (122.782, 117.001, 104.298)  # of red, green and blue; subtracted, then divided by 255
BLOCKS, CONVOLUTIONS = 4, 4
BATCH = 256
# The network is overconfident. The temperature that fits it is 2.0 on photographs, 2.7 on the
# majority of FER+ votes and 4.8 on FER2013's labels (docs/log.md).
TEMPERATURE = 2.5
# It was trained on looser crops: faces are padded by these shares of their side.
BELOW, BESIDE = 1 / 16, 1 / 48


def predictions(
    faces: np.ndarray, labels: LabelSet, *, temperature: float = TEMPERATURE
) -> np.ndarray:
    """Classify faces; each row is the mean over the face and its mirror image.

    The predictions are kept in the cache: for a training set they take minutes, and a run that was
    interrupted needs them again.

    Args:
        faces: Gray faces, uint8 (N, S, S, 1), cut out as mien does it.
        labels: The labels of the columns. Labels that the network lacks get the probability 0.
        temperature: Divides its logits.

    Returns:
        float32 (N, K) probabilities, rows sum to 1.

    Raises:
        UsageError: if it has fewer than two of the labels.
        DataError: if its files are damaged or not those of face-api.
        DownloadError: if they are not available.
    """
    known = [label for label in labels if label in LABELS]
    if len(known) < 2:
        raise UsageError(
            f"face-api: got the labels {', '.join(labels)}; expected some of {', '.join(LABELS)}, "
            "which it knows. Fix: face_api_weight=0"
        )
    weights = folder_with(WEIGHTS)
    inputs = [dict(WEIGHTS.files), labels.names, temperature, faces.shape]
    digest = hashlib.sha256(json.dumps(inputs).encode())
    digest.update(np.ascontiguousarray(faces).data)
    cached = cache_dir() / NAME / f"{digest.hexdigest()[:40]}.npy"
    if (probabilities := _from_cache(cached, (len(faces), len(labels)))) is not None:
        return probabilities
    network = _network(read_weights(weights))
    outputs, columns = ([names.index(label) for label in known] for names in (LABELS, labels))
    below, beside = (round(share * faces.shape[1]) for share in (BELOW, BESIDE))
    probabilities = np.zeros((len(faces), len(labels)), np.float32)
    for first in range(0, len(faces), BATCH):
        rows = slice(first, first + BATCH)
        wider = np.pad(faces[rows], ((0, 0), (0, below), (beside, beside), (0, 0)), mode="edge")
        views = tf.nn.softmax(tf.gather(network(wider), outputs, axis=-1) / temperature)
        probabilities[rows, columns] = np.asarray(views).mean(axis=0)
    _to_cache(cached, probabilities)
    return probabilities


def _from_cache(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """Cached predictions; None if there are none, or the file is damaged."""
    try:
        predictions = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    usable = predictions.shape == shape and predictions.dtype == np.float32
    return predictions if usable else None


def _to_cache(path: Path, predictions: np.ndarray) -> None:
    """Write predictions to the cache if possible; they can always be computed again."""
    temporary = path.with_name(f".new-{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            np.save(file, predictions)
        os.replace(temporary, path)


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """Read a TensorFlow.js model, a manifest and a binary file: name -> float32 array.

    Raises:
        DataError: if the files do not hold what the manifest says.
    """
    path = folder / MANIFEST
    try:
        (group,) = json.loads(path.read_text(encoding="utf-8"))
        content = b"".join((folder / name).read_bytes() for name in group["paths"])
        weights, offset = dict[str, np.ndarray](), 0
        for entry in group["weights"]:
            quantised = entry.get("quantization")
            kind = np.dtype(quantised["dtype"] if quantised else "<f4")
            num = math.prod(entry["shape"])
            values = np.frombuffer(content, kind, num, offset).astype(np.float32)
            if quantised:
                values = values * np.float32(quantised["scale"]) + np.float32(quantised["min"])
            weights[entry["name"]] = values.reshape(entry["shape"])
            offset += num * kind.itemsize
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _not_face_api(path, str(error)) from error
    if offset != len(content):
        raise _not_face_api(path, f"{len(content)} bytes for weights of {offset}")
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
    """A function: faces uint8 (n, S, S, 1) -> logits (2, n, 7) of them and their mirror images."""
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
            # The sum of all outputs so far goes into the next convolution (a dense block).
            total = tf.nn.relu(convolved(x, f"dense{block}/conv0", 2))
            for number in range(1, CONVOLUTIONS):
                total = total + convolved(tf.nn.relu(total), f"dense{block}/conv{number}", 1)
            x = tf.nn.relu(total)
        x = tf.reduce_mean(x, [1, 2]) @ values["fc/weights"] + values["fc/bias"]
        return tf.reshape(x, (2, -1, len(LABELS)))

    return tf.function(logits, reduce_retracing=True)  # type: ignore[no-any-return]
