"""Start from trained weights: of the network in the package, a bundle, a run, or ImageNet.

A bundle has a folded network (`mien.training.models.build_folded`): convolutions with bias and no
batch norm. It is built again in Keras from the bundle's recipe, with the weights of the ONNX file.
Before training starts, it must reproduce the bundle's golden predictions.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np

from mien.bundle import SHIPPED, Bundle, open_bundle
from mien.constants import FACE_SIDE
from mien.errors import BundleError, RunError, UsageError
from mien.labels import VOTES_HEAD, LabelSet
from mien.training import backbones, dlib_trunk, init_names, models, runs
from mien.training.folding import fold
from mien.training.init_names import IMAGENET, OWN
from mien.training.recipe import FOLDED, Recipe
from mien.vision.preprocess import all_resized

KERNEL_NORM = 1.0  # length of each filter if batch norms are restored
NUM_FACES = 512  # faces from which their statistics are taken
GOLDEN_ATOL = 1e-3  # of logits, Keras against the answers in the bundle

# Name of a layer -> its weights.
Layers = Mapping[str, list[np.ndarray]]


@dataclass(frozen=True, eq=False)
class Start:
    """The weights that a network starts from.

    Attributes:
        recipe: The recipe, with the network that `init` names.
        facts: For run.json: `source`, `name` and `digest` of the weights, and `heads`, the labels
            they knew.
    """

    recipe: Recipe
    facts: dict[str, Any]
    _load: Callable[[], Layers]
    _heads: tuple[tuple[LabelSet, np.ndarray, np.ndarray], ...] = ()

    def put(self, network: keras.Model, heads: Mapping[str, LabelSet], faces: np.ndarray) -> None:
        """Give a network of `models.build(self.recipe, ...)` these weights.

        Restored batch norms (`Recipe.restore_batch_norm`) take their statistics from some of the
        `faces`, uint8 (N, S, S, 1) of any side. Each head keeps the columns of labels
        that it already has, by name, whatever their order; other columns start at zero. If it has
        none of the labels, it starts from its random weights.
        """
        some = faces[:: max(1, len(faces) // NUM_FACES)][:NUM_FACES]
        some = all_resized(some, self.recipe.input_side)
        for name, values in self._load().items():
            if self.recipe.restore_batch_norm and name != models.TRUNK:
                _restore_batch_norm(network, name, values, some)
                continue
            layer = backbones.trunk(network) if name == models.TRUNK else network.get_layer(name)
            layer.set_weights(values)
        for name, layer in models.head_layers(network).items():
            if head := self._nearest(heads[name]):
                known, kernel, bias = head
                columns = [known.index(one) if one in known else len(known) for one in heads[name]]
                padded = np.concatenate([kernel, np.zeros_like(kernel[:, :1])], axis=1)
                layer.set_weights([padded[:, columns], np.append(bias, np.float32(0))[columns]])

    def kept(self, labels: LabelSet) -> list[str]:
        """The labels of which a head already has weights."""

        head = self._nearest(labels)
        return [one for one in labels if head and one in head[0]]

    def _nearest(self, labels: LabelSet) -> tuple[LabelSet, np.ndarray, np.ndarray] | None:
        """The head that knows most of these labels."""
        nearest = max(
            self._heads, key=lambda head: sum(one in head[0] for one in labels), default=None
        )
        return nearest if nearest and any(one in nearest[0] for one in labels) else None


def _restore_batch_norm(
    network: keras.Model, name: str, values: list[np.ndarray], faces: np.ndarray
) -> None:
    """Set a layer without bias and its batch norm so that they answer like the layer with bias.

    Filters get the length `KERNEL_NORM`, which batch norm cancels, because the speed at which a
    filter turns in training depends on its length. Layers are set in the order of the network, so
    the earlier ones are ready.
    """
    kernel, bias = values
    lengths = np.sqrt(np.sum(kernel**2, axis=tuple(range(kernel.ndim - 1)))) / KERNEL_NORM
    network.get_layer(name).set_weights([kernel / np.maximum(lengths, 1e-12)])
    norm = network.get_layer(models.norm_of(name))
    before = keras.Model(network.input, norm.input)
    answers = np.asarray(before(faces.astype(np.float32), training=False), np.float64)
    places = tuple(range(answers.ndim - 1))
    mean, variance = answers.mean(axis=places), answers.var(axis=places)
    norm.set_weights(
        [lengths * np.sqrt(variance + norm.epsilon), bias + lengths * mean, mean, variance]
    )


def begin(recipe: Recipe) -> Start:
    """Find and verify the network that `recipe.init` names.

    Args:
        recipe: Its `init` is `mien`, the path of a bundle or of a run folder, `dlib`,
            `imagenet:NAME` or `imagenet:NAME:random` with a NAME of `recipe.BACKBONES`.

    Raises:
        UsageError: if there is no such network.
        BundleError: if the bundle is absent, damaged, int8, or its network cannot be built again
            with equal answers.
        RunError: if the run has no network, or one that cannot be folded.
    """
    init_names.check(recipe.init)
    if recipe.init.partition(":")[0] == IMAGENET:
        return _imagenet(recipe)
    if recipe.init == dlib_trunk.NAME:
        return _dlib(recipe)
    path = Path(recipe.init)
    if recipe.init not in OWN and (path / runs.RUN_FILE).exists():
        return _run(recipe, path)
    bundle = open_bundle(SHIPPED if recipe.init in OWN else path)
    theirs, folded = rebuilt(bundle, recipe.init)
    heads = {head.name: head.labels for head in bundle.heads}
    facts = {
        "source": path.resolve().name,
        **runs.known_of(bundle.name, bundle.digest, bundle.training),
        "heads": {name: list(labels) for name, labels in heads.items()},
    }
    return of_folded(recipe, theirs, folded, heads, facts)


def input_side(init: str) -> int:
    """Side in pixels of the faces that the network `Recipe.init` names takes; 48 of those that can
    be made to take any.
    """
    init_names.check(init)
    path = Path(init)
    if init.partition(":")[0] == IMAGENET:
        return FACE_SIDE
    if init == dlib_trunk.NAME:
        return dlib_trunk.SIDE
    if init not in OWN and (path / runs.RUN_FILE).exists():
        return runs.load_run(path).recipe.input_side
    return open_bundle(SHIPPED if init in OWN else path).side


def of_folded(
    recipe: Recipe,
    theirs: Recipe,
    folded: keras.Model,
    heads: Mapping[str, LabelSet],
    facts: dict[str, Any],
) -> Start:
    """The start of `recipe` from a folded network of the recipe `theirs` and its heads."""
    adopted = dataclasses.replace(
        recipe,
        backbone="" if recipe.restore_batch_norm else FOLDED,
        blocks=theirs.blocks,
        dense=theirs.dense,
        residual=theirs.residual,
        layout=theirs.layout,
        centre=theirs.centre,
        input_side=max(recipe.input_side, theirs.input_side),
        stages=((1.0, FACE_SIDE),) if theirs.dense else recipe.stages,
    )
    weights = {layer.name: layer.get_weights() for layer in folded.layers if layer.weights}
    known = tuple(
        (labels, *weights.pop(models.LOGITS[name == VOTES_HEAD])) for name, labels in heads.items()
    )
    if not theirs.centre:
        # The folded kernel contains the division by 255. It returns to the graph; otherwise Adam's
        # steps, which have no scale, would be large compared with the tiny weights.
        weights["conv1_1"][0] = weights["conv1_1"][0] * np.float32(255)
    if (factor := adopted.input_side // theirs.input_side) > 1:
        # Each weight over the pixels that one had become: it answers as to the faces' means.
        wide = np.repeat(np.repeat(weights["conv1_1"][0], factor, axis=0), factor, axis=1)
        weights["conv1_1"][0] = wide / np.float32(factor**2)
    return Start(adopted, facts, lambda: weights, known)


def _run(recipe: Recipe, path: Path) -> Start:
    run = runs.load_run(path)
    network = runs.load_network(run)
    heads = models.heads(run.recipe, run.label_set)
    facts = {
        "source": path.resolve().name,
        **runs.known_of(run.recipe.name, _digest(network.get_weights()), run.facts),
        "heads": {name: list(labels) for name, labels in heads.items()},
    }
    if run.recipe.backbone not in ("", FOLDED):
        values = {models.TRUNK: backbones.trunk(network).get_weights()}
        layers = models.head_layers(network)
        known = tuple((labels, *layers[name].get_weights()) for name, labels in heads.items())
        return Start(
            _on(recipe, run.recipe.backbone, run.recipe.backbone_side), facts, lambda: values, known
        )
    folded = fold(network, run.recipe, heads)
    if folded is None:
        raise RunError(
            f"{path}: got a network with a batch norm whose scale is not positive, which cannot be "
            "folded; expected positive scales. Fix: start from another run or from --init mien"
        )
    return of_folded(recipe, run.recipe, folded, heads, facts)


def _dlib(recipe: Recipe) -> Start:
    adopted = dataclasses.replace(recipe, **dlib_trunk.FIELDS)
    weights = dlib_trunk.weights()
    facts = runs.known_of(dlib_trunk.NAME, dlib_trunk.DIGEST, {})
    return Start(adopted, {"source": dlib_trunk.NAME, **facts, "heads": {}}, lambda: weights)


def _imagenet(recipe: Recipe) -> Start:
    name, random = init_names.imagenet(recipe.init)
    adopted = _on(recipe, name, recipe.backbone_side)

    def load() -> Layers:
        return {} if random else {models.TRUNK: backbones.imagenet(name, recipe.backbone_side)}

    return Start(adopted, {"source": recipe.init, "name": name, "digest": None, "heads": {}}, load)


def _on(recipe: Recipe, backbone: str, side: int) -> Recipe:
    if recipe.restore_batch_norm:
        raise UsageError(
            f"restore_batch_norm: got true with init={recipe.init}, a network of "
            "keras.applications; expected a network of mien's own layers. Fix: give "
            "restore_batch_norm=false"
        )
    return dataclasses.replace(
        recipe,
        backbone=backbone,
        backbone_side=side,
        blocks=(),
        dense=0,
        residual=False,
        centre=False,
        precision="float32",
    )


# A bundle's network, in Keras


def rebuilt(bundle: Bundle, where: str, fix: str = "") -> tuple[Recipe, keras.Model]:
    """The recipe of a bundle, and its folded network with its weights, verified by golden faces.

    Args:
        bundle: A bundle from `open_bundle`.
        where: Its name in errors.
        fix: The advice in errors; by default another start.

    Raises:
        BundleError: if it is int8, or its network cannot be built again with equal answers.
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
    wanted = list(models.heads(recipe, bundle.heads[0].labels))
    if recipe.backbone not in ("", FOLDED) or list(heads) != wanted:
        built = f"a network of {recipe.backbone or 'own layers'} with the heads {', '.join(heads)}"
        refuse(
            "bundle.json: training.recipe",
            built,
            f"mien's own layers, heads {', '.join(wanted)}",
            another,
        )
    folded = models.build_folded(recipe, heads)
    if differing := _put_weights(bundle, folded, heads):
        refuse("model.onnx: weights", *differing, another)
    answers = folded(bundle.golden_faces.astype(np.float32))
    worst = max(
        float(np.abs(np.asarray(answers[name]) - bundle.golden_logits[name]).max())
        for name in heads
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
    """Give a folded network the weights of a bundle; if they do not fit, returns what it got and
    what it expected.
    """
    layers = {layer.name: layer for layer in folded.layers if layer.weights}
    tops = {
        models.LOGITS[name == VOTES_HEAD]: head.output
        for name, head in zip(heads, bundle.heads, strict=True)
    }
    trunk, ends = _onnx_weights(bundle.model, list(tops.values()))
    names = sorted(layers.keys() - tops.keys(), key=dlib_trunk.place)
    weights = dict(zip(names, trunk, strict=False))
    weights |= {name: ends.get(output, []) for name, output in tops.items()}
    shapes = {name: [value.shape for value in values] for name, values in weights.items()}
    wanted = {
        name: [tuple(weight.shape) for weight in layer.weights] for name, layer in layers.items()
    }
    if shapes != wanted or len(trunk) + len(tops) != len(layers):
        return (
            f"{len(trunk) + len(ends)} layers of the shapes {list(shapes.values())}"[:300],
            f"{len(layers)} of the shapes {list(wanted.values())}, as its recipe says"[:300],
        )
    for name, values in weights.items():
        layers[name].set_weights(values)
    return None


def _onnx_weights(
    model: bytes, outputs: Sequence[str]
) -> tuple[list[list[np.ndarray]], dict[str, list[np.ndarray]]]:
    """Kernel (Keras' order of axes) and bias of each convolution and dense layer, in the order of
    the graph.

    Args:
        model: An ONNX file.
        outputs: Outputs of the graph.

    Returns:
        Those of the trunk, and of the layer that makes each output.
    """
    import onnx

    graph = onnx.load_from_string(model).graph
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in values:  # weights stored as float16
            values[node.output[0]] = values[node.input[0]].astype(np.float32)
    trunk, ends = list[list[np.ndarray]](), dict[str, list[np.ndarray]]()
    for node in graph.node:
        given = [values[name] for name in node.input if name in values]
        made = node.output[0]
        if node.op_type == "Conv" and given:
            weights = [
                given[0].transpose(2, 3, 1, 0),
                *given[1:],
            ]  # (out, in, h, w) -> (h, w, in, out)
        elif node.op_type == "MatMul" and given:
            adds = [one for one in graph.node if one.op_type == "Add" and made in one.input]
            biases = [values[name] for one in adds for name in one.input if name in values]
            made = adds[0].output[0] if adds else made
            weights = [given[0], *biases]
        elif node.op_type == "Gemm" and given:
            turned = any(one.name == "transB" and one.i for one in node.attribute)
            weights = [given[0].T if turned else given[0], *given[1:]]
        else:
            continue
        if made in outputs:
            ends[made] = weights
        else:
            trunk.append(weights)
    return trunk, ends


def _digest(arrays: list[np.ndarray]) -> str:
    return hashlib.sha256(
        b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    ).hexdigest()
