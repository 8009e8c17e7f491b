"""Networks of keras.applications as trunks: their input from gray faces, their ImageNet weights."""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import Any

import keras
import numpy as np

from mien.errors import DownloadError
from mien.training.layers import Enlarge

SIDE_TRAINED = 224  # pixels; the side at which all of them were trained
DOWNLOAD_TIMEOUT_S = 30

# Name -> scale and offset of its `preprocess_input` for three equal channels 0..255, and its own
# arguments. EfficientNetV2B0 instead of EfficientNetB0, whose built-in normalisation cannot be
# converted to ONNX.
_KNOWN: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "MobileNetV2": (1 / 127.5, -1.0, {}),
    "EfficientNetV2B0": (
        [1 / (255 * s) for s in (0.229, 0.224, 0.225)],
        [-m / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))],
        {"include_preprocessing": False},
    ),
    "ResNet50": (1.0, [-103.939, -116.779, -123.68], {}),
}


def features(name: str, faces: Any, side: int) -> Any:
    """Keras tensor of gray faces (N, 48, 48, 1), 0..255 -> features (N, F), inside the graph.

    Args:
        name: One of `recipe.BACKBONES`.
        faces: The input.
        side: Side in pixels to which faces are enlarged; 0: the one it was trained at.
    """
    scale, offset, _ = _KNOWN[name]
    x = Enlarge(side or SIDE_TRAINED, name="enlarge")(faces)
    x = keras.layers.Rescaling(scale, offset, name="scale")(x)
    return _network(name, side or SIDE_TRAINED, weights=None)(x)


def trunk(network: keras.Model) -> keras.Model:
    """The network of keras.applications inside one that `mien.training.models.build` made."""
    return next(layer for layer in network.layers if isinstance(layer, keras.Model))


def imagenet(name: str, side: int) -> list[np.ndarray]:
    """Weights trained on ImageNet, from Keras' cache or downloaded into it.

    Raises:
        DownloadError: if they are not in the cache and cannot be downloaded.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras draws its progress on stdout
            network = _network(name, side or SIDE_TRAINED, weights="imagenet")
    except Exception as error:  # Keras raises nothing narrower when a download fails
        raise DownloadError(
            f"imagenet:{name}: got no weights ({str(error)[:300]}); expected them in Keras' cache, "
            "or a connection. Fix: connect to the internet, or copy the file named here into "
            "~/.keras/models, or start from --init mien, which is in the package"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    return list(network.get_weights())


def _network(name: str, side: int, *, weights: str | None) -> keras.Model:
    network = getattr(keras.applications, name)(
        include_top=False,
        weights=weights,
        pooling="avg",
        input_shape=(side, side, 3),
        **_KNOWN[name][2],
    )
    # Batch norms are frozen: small data gives no good statistics. (A call with training=False would
    # not do: the argument of the surrounding network takes precedence.)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return network
