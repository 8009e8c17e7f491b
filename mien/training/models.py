"""The convolutional networks, built from a recipe."""

from __future__ import annotations

import keras
from keras import layers

from mien.data.dataset import SIDE
from mien.training.recipes import Recipe

NORM_MOMENTUM = 0.98  # of batch norm's moving mean and variance, a step


def build(recipe: Recipe, num_classes: int) -> keras.Model:
    """A network of Conv2D, MaxPooling2D, Dropout, Flatten and Dense layers with batch norm.

    The pooling of a block comes before its last batch norm and ReLU: with positive scales the answer is the
    same, and those two then work on a quarter of the values (a third more faces a second; docs/log.md).

    Input shape: (N, 48, 48, 1), gray values 0..255; they are divided by 255 inside the graph.
    Output shape: (N, K) probabilities; the layer `logits` before them is what the loss is computed from.
    """
    faces = keras.Input((SIDE, SIDE, 1), name="faces")
    x = layers.Rescaling(1 / 255, name="scale")(faces)
    for b, filters in enumerate(recipe.blocks, 1):
        for c, width in enumerate(filters, 1):
            x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{b}_{c}")(x)
            if c == len(filters):
                x = layers.MaxPooling2D(name=f"pool{b}")(x)  # (N, 48 / 2^b, 48 / 2^b, width)
            x = layers.BatchNormalization(momentum=NORM_MOMENTUM, name=f"norm{b}_{c}")(x)
            x = layers.ReLU(name=f"relu{b}_{c}")(x)
        if b > 1:
            x = layers.Dropout(recipe.block_dropout, seed=recipe.seed + b, name=f"drop{b}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(recipe.dense, use_bias=False, name="dense")(x)
    x = layers.BatchNormalization(momentum=NORM_MOMENTUM, name="norm_dense")(x)
    x = layers.ReLU(name="relu_dense")(x)
    x = layers.Dropout(recipe.dense_dropout, seed=recipe.seed, name="drop_dense")(x)
    logits = layers.Dense(num_classes, name="logits")(x)
    return keras.Model(faces, layers.Softmax(name="probabilities")(logits), name=recipe.name)


def multiply_adds(model: keras.Model) -> int:
    """Multiplications with addition that convolutions and dense layers do for one face."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            _, height, width, _ = layer.output.shape
            total += height * width * int(layer.kernel.shape.num_elements())
        elif isinstance(layer, layers.Dense):
            total += int(layer.kernel.shape.num_elements())
    return total
