"""Rebuild the network of a bundle in Keras, to train it further or to teach with it.

A bundle holds a folded network (`mien.training.models.build_folded`): convolutions with bias and no
batch norm. It is built from the bundle's recipe, gets the weights of the ONNX file, and must
reproduce the bundle's golden logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import keras
import numpy as np

from mien.bundle import Bundle
from mien.errors import BundleError
from mien.labels import VOTES_HEAD, LabelSet
from mien.training import dlib_trunk, models
from mien.training.recipe import FOLDED, Recipe

GOLDEN_ATOL = 1e-3  # of logits, Keras against those in the bundle


def rebuilt(bundle: Bundle, where: str, fix: str = "") -> tuple[Recipe, keras.Model]:
    """Rebuild the network of a bundle in Keras, and verify it with the golden faces.

    Args:
        bundle: A bundle from `open_bundle`.
        where: Its name in errors.
        fix: The advice in errors; by default to start from another network.

    Returns:
        The recipe of the bundle, and its folded network (`models.build_folded`).

    Raises:
        BundleError: if it is int8, its recipe or weights do not fit this version, or the rebuilt
            network gives other predictions.
    """

    def refuse(field: str, got: str, expected: str, fix: str) -> NoReturn:
        raise BundleError(where, field, got=got, expected=expected, fix=fix)

    if bundle.precision == "int8":
        refuse(
            "bundle.json: precision",
            bundle.precision,
            "float32: weights of 8 bits cannot be trained on",
            f"export the run again without --int8, {fix or 'or begin with the run folder'}",
        )
    another = fix.removeprefix("or ") or "begin with the run folder, or with a bundle of this mien"
    try:
        recipe = Recipe.from_dict(bundle.training["recipe"])
    except (KeyError, TypeError, ValueError) as error:
        refuse(
            "bundle.json: training.recipe",
            f"none that mien knows ({error})",
            "a recipe of this version",
            another,
        )
    heads = {head.name: head.labels for head in bundle.heads}
    expected_heads = list(models.heads(recipe, bundle.heads[0].labels))
    if recipe.backbone not in ("", FOLDED) or list(heads) != expected_heads:
        refuse(
            "bundle.json: training.recipe",
            f"a network of {recipe.backbone or 'own layers'} with the heads {', '.join(heads)}",
            f"mien's own layers, heads {', '.join(expected_heads)}",
            another,
        )
    folded = models.build_folded(recipe, heads)
    if difference := _put_weights(bundle, folded, heads):
        refuse("model.onnx: weights", *difference, another)
    logits = folded(bundle.golden_faces.astype(np.float32))
    worst = max(
        float(np.abs(np.asarray(logits[name]) - bundle.golden_logits[name]).max()) for name in heads
    )
    if not worst <= GOLDEN_ATOL:
        refuse(
            "model.onnx: weights",
            f"answers in Keras that differ from golden.npz by {worst:g}",
            f"at most {GOLDEN_ATOL:g}",
            another,
        )
    return recipe, folded


def _put_weights(
    bundle: Bundle, folded: keras.Model, heads: Mapping[str, LabelSet]
) -> tuple[str, str] | None:
    """Set the weights of a folded network to those of a bundle.

    Returns:
        None; or, if the shapes differ, what was got and what was expected.
    """
    layers = {layer.name: layer for layer in folded.layers if layer.weights}
    outputs = {
        models.LOGITS[name == VOTES_HEAD]: head.output
        for name, head in zip(heads, bundle.heads, strict=True)
    }
    trunk, head_weights = _onnx_weights(bundle.model, list(outputs.values()))
    names = sorted(layers.keys() - outputs.keys(), key=dlib_trunk.graph_order)
    weights = dict(zip(names, trunk, strict=False))
    weights |= {name: head_weights.get(output, []) for name, output in outputs.items()}
    shapes = {name: [value.shape for value in values] for name, values in weights.items()}
    expected = {
        name: [tuple(weight.shape) for weight in layer.weights] for name, layer in layers.items()
    }
    if shapes != expected or len(trunk) + len(outputs) != len(layers):
        return (
            f"{len(trunk) + len(head_weights)} layers of the shapes {list(shapes.values())}"[:300],
            f"{len(layers)} of the shapes {list(expected.values())}, as its recipe says"[:300],
        )
    for name, values in weights.items():
        layers[name].set_weights(values)
    return None


def _onnx_weights(
    model: bytes, outputs: Sequence[str]
) -> tuple[list[list[np.ndarray]], dict[str, list[np.ndarray]]]:
    """Kernel (Keras' order of axes) and bias of each convolution and dense layer of an ONNX file.

    Args:
        model: The ONNX file.
        outputs: Names of the graph's outputs.

    Returns:
        The weights of the trunk's layers, in the order of the graph; and output -> weights of the
        layer that computes it.
    """
    import onnx

    graph = onnx.load_from_string(model).graph
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in values:  # weights stored as float16
            values[node.output[0]] = values[node.input[0]].astype(np.float32)
    trunk, heads = list[list[np.ndarray]](), dict[str, list[np.ndarray]]()
    for node in graph.node:
        arrays = [values[name] for name in node.input if name in values]
        output = node.output[0]
        if node.op_type == "Conv" and arrays:
            # (out, in, h, w) -> (h, w, in, out)
            weights = [arrays[0].transpose(2, 3, 1, 0), *arrays[1:]]
        elif node.op_type == "MatMul" and arrays:
            adds = [add for add in graph.node if add.op_type == "Add" and output in add.input]
            biases = [values[name] for add in adds for name in add.input if name in values]
            output = adds[0].output[0] if adds else output
            weights = [arrays[0], *biases]
        elif node.op_type == "Gemm" and arrays:
            transposed = any(each.name == "transB" and each.i for each in node.attribute)
            weights = [arrays[0].T if transposed else arrays[0], *arrays[1:]]
        else:
            continue
        if output in outputs:
            heads[output] = weights
        else:
            trunk.append(weights)
    return trunk, heads
