"""Fold batch norms and the division by 255 into the weights of the layers, for faster inference.

Each ReLU moves before its pooling. Predictions stay the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from mien.labels import LabelSet
from mien.training import models
from mien.training.recipe import FOLDED, LAYOUTS, Recipe


def fold(network: keras.Model, recipe: Recipe, heads: Mapping[str, LabelSet]) -> keras.Model | None:
    """The folded form (`models.build_folded`) of a network of `models.build`.

    Returns:
        None if a batch norm has a scale that is not positive, and for networks of
        keras.applications.
    """
    if recipe.backbone not in ("", FOLDED):
        return None
    folded = models.build_folded(recipe, heads)
    scale_in = 1.0 if recipe.centre else network.get_layer("scale").scale
    pooled_before = recipe.layout == LAYOUTS[0]  # needs positive scales
    for layer in folded.layers:
        if not layer.weights:
            continue
        normed = recipe.backbone != FOLDED and layer.name not in models.LOGITS
        kernel, bias = _folded(network, layer.name, normed, pooled_before)
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            return None
        if layer.name == "conv1_1":
            kernel = kernel * scale_in
        layer.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return folded


def _folded(
    network: keras.Model, name: str, normed: bool, positive: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a layer, float64, including the batch norm after it if it is `normed`.

    NaN where the scale of the batch norm must be `positive` and is not.
    """
    layer = network.get_layer(name)
    kernel = _numpy(layer.kernel)
    bias = _numpy(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1])
    if not normed:
        return kernel, bias
    after = network.get_layer(models.norm_of(name))
    scale = _numpy(after.gamma) / np.sqrt(_numpy(after.moving_variance) + after.epsilon)
    if positive:
        scale[scale <= 0] = np.nan
    return kernel * scale, (bias - _numpy(after.moving_mean)) * scale + _numpy(after.beta)


def _numpy(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float64)
