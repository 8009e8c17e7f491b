"""Convolutional networks, built from a recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from mien.constants import FACE_SIDE
from mien.labels import FERPLUS, VOTES_HEAD, LabelSet
from mien.training import backbones, dlib_trunk
from mien.training.layers import FusedBatchNorm
from mien.training.recipe import FOLDED, Recipe

NORM_MOMENTUM = 0.98  # of batch norm's moving mean and variance, in each step
MAIN = "expression"  # name of the head of a network that has no other
TRUNK = "trunk"  # stands for a network of keras.applications, whose own name varies
LOGITS = ("logits", "logits_votes")  # layers of the main head and of the vote head


def heads(recipe: Recipe, label_set: LabelSet) -> dict[str, LabelSet]:
    """The heads of a recipe's network: name -> labels, the main head first."""
    if not recipe.votes_weight:
        return {MAIN: label_set}
    return {"fer2013": label_set, VOTES_HEAD: FERPLUS}


def build(
    recipe: Recipe, label_set: LabelSet, *, policy: str = "float32", any_side: bool = False
) -> keras.Model:
    """Build the network of a recipe, with random weights.

    By default blocks of convolutions with batch norm and ReLU, each followed by max-pooling. The
    pooling comes before the last batch norm and ReLU of its block: with positive scales the output
    is the same, and those two layers then work on a quarter of the values (a third more faces a
    second; docs/log.md). `Recipe.residual` adds the input of a convolution to its output where the
    number of filters stays the same. `Recipe.layout` may join the convolutions in pairs instead.
    With `Recipe.backbone` "folded" there are biases in place of batch norms; other values name a
    network of keras.applications, whose features go through dropout into the heads.

    Args:
        recipe: The recipe.
        label_set: The labels of the main head.
        policy: Keras' dtype policy of the layers, such as `mixed_bfloat16`; weights and logits are
            float32.
        any_side: Leave height and width of the faces open; not possible with a dense layer.

    Returns:
        Faces (N, S, S, 1) with S = `recipe.input_side` and gray values 0..255, which are scaled
        inside the graph -> (N, K) probabilities; with several heads a dict of them by name. The
        loss is computed from the layers before them, `logits` and `logits_votes`.
    """
    options = {"dtype": policy}
    norm = layers.BatchNormalization if policy == "float32" else FusedBatchNorm
    folded = recipe.backbone == FOLDED
    side = None if any_side else recipe.input_side
    faces = keras.Input((side, side, 1), name="faces")
    if recipe.backbone and not folded:
        x = backbones.features(recipe.backbone, faces, recipe.backbone_side)
        return _with_heads(recipe, label_set, faces, x, policy)
    scale, offset = (1 / 64, -2.0) if recipe.centre else (1 / 255, 0.0)
    x = layers.Rescaling(scale, offset, name="scale", **options)(faces)
    if recipe.layout == dlib_trunk.NAME:
        x = _in_pairs(recipe, x, None if folded else norm, options)
        return _with_heads(recipe, label_set, faces, x, policy)
    for b, filters in enumerate(recipe.blocks, 1):
        pooled = b < len(recipe.blocks) or recipe.dense
        for c, width in enumerate(filters, 1):
            before = x
            last = c == len(filters)
            added = recipe.residual and before.shape[-1] == width
            x = layers.Conv2D(
                width,
                **_window(recipe, first=b == c == 1),
                use_bias=folded,
                kernel_initializer=recipe.initializer,
                name=f"conv{b}_{c}",
                **options,
            )(x)
            if last and pooled and not added:
                # (N, 48 / 2^b, 48 / 2^b, width)
                x = layers.MaxPooling2D(name=f"pool{b}", **options)(x)
            if not folded:
                x = norm(momentum=NORM_MOMENTUM, name=f"norm{b}_{c}", **options)(x)
            x = layers.ReLU(name=f"relu{b}_{c}", **options)(x)
            if added:
                x = layers.Add(name=f"add{b}_{c}", **options)([before, x])
                if last and pooled:
                    x = layers.MaxPooling2D(name=f"pool{b}", **options)(x)
        if b > 1 and recipe.block_dropout:
            x = layers.Dropout(
                recipe.block_dropout, seed=recipe.seed + b, name=f"drop{b}", **options
            )(x)
    if recipe.dense:
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(recipe.dense, use_bias=folded, name="dense", **options)(x)
        if not folded:
            x = norm(momentum=NORM_MOMENTUM, name="norm_dense", **options)(x)
        x = layers.ReLU(name="relu_dense", **options)(x)
    else:
        x = layers.GlobalAveragePooling2D(name="mean", dtype="float32")(x)
    return _with_heads(recipe, label_set, faces, x, policy)


def _in_pairs(recipe: Recipe, x: Any, norm: Any, options: dict[str, Any]) -> Any:
    """Features (N, F) of a network in dlib's layout; without `norm` convolutions have biases."""

    def convolved(x: Any, name: str, width: int, size: int, stride: int, padding: str) -> Any:
        x = layers.Conv2D(
            width,
            size,
            stride,
            padding,
            use_bias=norm is None,
            kernel_initializer=recipe.initializer,
            name=name,
            **options,
        )(x)
        if norm is None:
            return x
        return norm(momentum=NORM_MOMENTUM, name=norm_of(name), **options)(x)

    x = dlib_trunk.features(x, recipe.blocks, convolved, **options)
    return layers.GlobalAveragePooling2D(name="mean", dtype="float32")(x)


def norm_of(name: str) -> str:
    """The name of the batch norm that follows the layer of that name."""
    return name.replace("conv", "norm") if name.startswith("conv") else f"norm_{name}"


def _with_heads(
    recipe: Recipe, label_set: LabelSet, faces: Any, x: Any, policy: str
) -> keras.Model:
    """The network from `faces` to features `x` (N, F), with dropout and the heads on top."""
    x = layers.Dropout(recipe.dense_dropout, seed=recipe.seed, name="drop_dense", dtype=policy)(x)
    label_sets = heads(recipe, label_set)
    probabilities = {}
    for name, labels in label_sets.items():
        logits = layers.Dense(len(labels), name=LOGITS[name == VOTES_HEAD], dtype="float32")(x)
        probabilities[name] = layers.Softmax(
            name=VOTES_HEAD if name == VOTES_HEAD else "probabilities", dtype="float32"
        )(logits)
    return keras.Model(
        faces,
        probabilities if len(label_sets) > 1 else next(iter(probabilities.values())),
        name=recipe.name,
    )


def _window(recipe: Recipe, *, first: bool) -> dict[str, Any]:
    """Kernel, stride and padding of a convolution; the first one halves faces of 96 px."""
    factor = recipe.input_side // FACE_SIDE if first else 1
    return {"kernel_size": 3 * factor, "strides": factor, "padding": "same"}


def build_folded(
    recipe: Recipe,
    label_sets: Mapping[str, LabelSet],
    *,
    policy: str = "float32",
    any_side: bool = False,
) -> keras.Model:
    """Build the network of a bundle: batch norms are folded into the layers before them.

    A convolution, pooling, a batch norm of positive scales and a ReLU compute the same as the
    scaled convolution with bias, a ReLU and pooling. Layers with weights have the names that
    `build` gives them, in the same order.

    Args:
        recipe: The recipe.
        label_sets: Head name -> labels, as `heads` returns them.
        policy: As for `build`.
        any_side: As for `build`.

    Returns:
        Faces (N, S, S, 1) as for `build` -> logits (N, K) by head. Without `Recipe.centre` the
        division by 255 is part of the first kernel.
    """
    options = {"dtype": policy}
    side = None if any_side else recipe.input_side
    x = faces = keras.Input((side, side, 1), name="faces")
    if recipe.centre:
        x = layers.Rescaling(1 / 64, -2.0, name="scale", **options)(x)
    in_pairs = recipe.layout == dlib_trunk.NAME
    for b, filters in enumerate(() if in_pairs else recipe.blocks, 1):
        for c, width in enumerate(filters, 1):
            before = x
            x = layers.Conv2D(
                width,
                **_window(recipe, first=b == c == 1),
                activation="relu",
                name=f"conv{b}_{c}",
                **options,
            )(x)
            if recipe.residual and before.shape[-1] == width:
                x = layers.Add(name=f"add{b}_{c}", **options)([before, x])
        if b < len(recipe.blocks) or recipe.dense:
            x = layers.MaxPooling2D(name=f"pool{b}", **options)(x)
    if in_pairs:
        x = _in_pairs(recipe, x, None, options)
    elif recipe.dense:
        # Not Flatten: it reads the batch size at run time, which adds six nodes to the ONNX graph.
        x = keras.ops.reshape(x, (-1, math.prod(x.shape[1:])))
        x = layers.Dense(recipe.dense, activation="relu", name="dense", **options)(x)
    else:
        x = layers.GlobalAveragePooling2D(name="mean", dtype="float32")(x)
    return keras.Model(
        faces,
        {
            name: layers.Dense(len(labels), name=LOGITS[name == VOTES_HEAD], dtype="float32")(x)
            for name, labels in label_sets.items()
        },
    )


def head_layers(network: keras.Model) -> dict[str, layers.Dense]:
    """Head name -> layer of its logits, for a network of `build`."""
    names = list(network.output) if isinstance(network.output, dict) else [MAIN]
    return {name: network.get_layer(LOGITS[name == VOTES_HEAD]) for name in names}


def logits_of(network: keras.Model) -> keras.Model:
    """A network of `build` without its softmax: faces -> logits (N, K) by head."""
    return keras.Model(
        network.input, {name: layer.output for name, layer in head_layers(network).items()}
    )


def multiply_adds(model: keras.Model) -> int:
    """Multiply-adds of the convolutions and dense layers for one face."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            total += multiply_adds(layer)
        elif isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            _, height, width, _ = layer.output.shape
            total += height * width * int(layer.kernel.shape.num_elements())
        elif isinstance(layer, layers.Dense):
            total += int(layer.kernel.shape.num_elements())
    return total
