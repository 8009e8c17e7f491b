"""Start training from the weights of the network in the package, a bundle, a run, dlib or ImageNet.

The network of a bundle is folded (`mien.training.rebuild`): its convolutions have biases and no
batch norm. A recipe may restore the batch norms.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mien.bundle import SHIPPED, open_bundle
from mien.constants import FACE_SIDE
from mien.errors import RunError, UsageError
from mien.labels import VOTES_HEAD, LabelSet
from mien.training import backbones, dlib_trunk, init_names, models, runs
from mien.training.folding import fold
from mien.training.init_names import IMAGENET, OWN
from mien.training.rebuild import rebuilt
from mien.training.recipe import FOLDED, Recipe
from mien.vision.preprocess import all_resized

KERNEL_NORM = 1.0  # norm of each filter when batch norms are restored
NUM_FACES = 512  # faces from which the statistics of restored batch norms are computed

# Name of a layer -> its weights.
Layers = Mapping[str, list[np.ndarray]]


@dataclass(frozen=True, eq=False)
class Start:
    """The weights that a network starts from.

    Attributes:
        recipe: The recipe, adapted to the network that `init` names.
        facts: For run.json: `source`, `name` and `digest` of the weights, and the labels of their
            `heads`.
    """

    recipe: Recipe
    facts: dict[str, Any]
    _load: Callable[[], Layers]
    _heads: tuple[tuple[LabelSet, np.ndarray, np.ndarray], ...] = ()

    def put(self, network: keras.Model, heads: Mapping[str, LabelSet], faces: np.ndarray) -> None:
        """Set the weights of a new network.

        Each head takes over the columns of labels that the old heads share with it, by name; other
        columns start at zero. A head without a shared label keeps its random weights.

        Args:
            network: A network of `models.build(self.recipe, ...)`.
            heads: Its heads: name -> labels.
            faces: Faces, uint8 (N, S, S, 1) of any side. The statistics of restored batch norms
                (`Recipe.restore_batch_norm`) are computed from at most `NUM_FACES` of them.
        """
        sample = faces[:: max(1, len(faces) // NUM_FACES)][:NUM_FACES]
        sample = all_resized(sample, self.recipe.input_side)
        for name, values in self._load().items():
            if self.recipe.restore_batch_norm and name != models.TRUNK:
                _restore_batch_norm(network, name, values, sample)
                continue
            layer = backbones.trunk(network) if name == models.TRUNK else network.get_layer(name)
            layer.set_weights(values)
        for name, layer in models.head_layers(network).items():
            if head := self._nearest(heads[name]):
                known, kernel, bias = head
                columns = [
                    known.index(label) if label in known else len(known) for label in heads[name]
                ]
                padded = np.concatenate([kernel, np.zeros_like(kernel[:, :1])], axis=1)
                layer.set_weights([padded[:, columns], np.append(bias, np.float32(0))[columns]])

    def kept(self, labels: LabelSet) -> list[str]:
        """The labels for which an old head has weights."""
        head = self._nearest(labels)
        return [label for label in labels if head and label in head[0]]

    def _nearest(self, labels: LabelSet) -> tuple[LabelSet, np.ndarray, np.ndarray] | None:
        """The old head with most of these labels, its kernel and bias; None if none has any."""

        def num_shared(head: tuple[LabelSet, np.ndarray, np.ndarray]) -> int:
            return sum(label in head[0] for label in labels)

        nearest = max(self._heads, key=num_shared, default=None)
        return nearest if nearest and num_shared(nearest) else None


def _restore_batch_norm(
    network: keras.Model, name: str, weights: list[np.ndarray], faces: np.ndarray
) -> None:
    """Set a layer without bias and its batch norm so that together they compute the layer with
    bias.

    Filters are scaled to the norm `KERNEL_NORM`, which the batch norm cancels: how fast a filter
    changes its direction in training depends on its norm. Layers are set in the order of the
    network, since the statistics depend on the earlier ones.
    """
    kernel, bias = weights
    lengths = np.sqrt(np.sum(kernel**2, axis=tuple(range(kernel.ndim - 1)))) / KERNEL_NORM
    network.get_layer(name).set_weights([kernel / np.maximum(lengths, 1e-12)])
    norm = network.get_layer(models.norm_of(name))
    before = keras.Model(network.input, norm.input)
    values = np.asarray(before(faces.astype(np.float32), training=False), np.float64)
    axes = tuple(range(values.ndim - 1))
    mean, variance = values.mean(axis=axes), values.var(axis=axes)
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
        BundleError: if the bundle is absent, damaged or int8, or its network rebuilt in Keras gives
            other predictions.
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
    bundle_recipe, folded = rebuilt(bundle, recipe.init)
    heads = {head.name: head.labels for head in bundle.heads}
    facts = {
        "source": path.resolve().name,
        **runs.ancestor(bundle.name, bundle.digest, bundle.training),
        "heads": {name: list(labels) for name, labels in heads.items()},
    }
    return of_folded(recipe, bundle_recipe, folded, heads, facts)


def input_side(init: str) -> int:
    """Side in pixels of the faces that the network named by `Recipe.init` takes.

    48 for networks of keras.applications, which resize faces themselves.
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
    source: Recipe,
    folded: keras.Model,
    heads: Mapping[str, LabelSet],
    facts: dict[str, Any],
) -> Start:
    """The start of `recipe` from a folded network.

    Args:
        recipe: The recipe to train with.
        source: The recipe of the folded network.
        folded: A network of `models.build_folded`.
        heads: Its heads: name -> labels.
        facts: The facts of the start, for run.json.
    """
    adopted = dataclasses.replace(
        recipe,
        backbone="" if recipe.restore_batch_norm else FOLDED,
        blocks=source.blocks,
        dense=source.dense,
        residual=source.residual,
        layout=source.layout,
        centre=source.centre,
        input_side=max(recipe.input_side, source.input_side),
        stages=((1.0, FACE_SIDE),) if source.dense else recipe.stages,
    )
    weights = {layer.name: layer.get_weights() for layer in folded.layers if layer.weights}
    known = tuple(
        (labels, *weights.pop(models.LOGITS[name == VOTES_HEAD])) for name, labels in heads.items()
    )
    if not source.centre:
        # The folded kernel contains the division by 255, which goes back into the graph. Otherwise
        # Adam's steps, whose size does not depend on the weights, would be large for these.
        weights["conv1_1"][0] = weights["conv1_1"][0] * np.float32(255)
    if (factor := adopted.input_side // source.input_side) > 1:
        # Each weight is spread over factor x factor pixels: the network sees the means of these.
        wide = np.repeat(np.repeat(weights["conv1_1"][0], factor, axis=0), factor, axis=1)
        weights["conv1_1"][0] = wide / np.float32(factor**2)
    return Start(adopted, facts, lambda: weights, known)


def _run(recipe: Recipe, path: Path) -> Start:
    run = runs.load_run(path)
    network = runs.load_network(run)
    heads = models.heads(run.recipe, run.label_set)
    facts = {
        "source": path.resolve().name,
        **runs.ancestor(run.recipe.name, _digest(network.get_weights()), run.facts),
        "heads": {name: list(labels) for name, labels in heads.items()},
    }
    if run.recipe.backbone not in ("", FOLDED):
        weights = {models.TRUNK: backbones.trunk(network).get_weights()}
        layers = models.head_layers(network)
        known = tuple((labels, *layers[name].get_weights()) for name, labels in heads.items())
        adopted = _with_backbone(recipe, run.recipe.backbone, run.recipe.backbone_side)
        return Start(adopted, facts, lambda: weights, known)
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
    facts = runs.ancestor(dlib_trunk.NAME, dlib_trunk.DIGEST, {})
    return Start(adopted, {"source": dlib_trunk.NAME, **facts, "heads": {}}, lambda: weights)


def _imagenet(recipe: Recipe) -> Start:
    name, random = init_names.imagenet(recipe.init)
    adopted = _with_backbone(recipe, name, recipe.backbone_side)

    def load() -> Layers:
        return {} if random else {models.TRUNK: backbones.imagenet(name, recipe.backbone_side)}

    return Start(adopted, {"source": recipe.init, "name": name, "digest": None, "heads": {}}, load)


def _with_backbone(recipe: Recipe, backbone: str, side: int) -> Recipe:
    """The recipe for a network of keras.applications."""
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


def _digest(arrays: list[np.ndarray]) -> str:
    return hashlib.sha256(
        b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    ).hexdigest()
