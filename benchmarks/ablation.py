"""What each part of the recipe `champion` is worth, and what tries gave, on a short schedule;
learning curve.

    python benchmarks/ablation.py fer2013.csv
    python benchmarks/ablation.py fer2013.csv --only "as it is" "no vote head"
    python benchmarks/ablation.py fer2013.csv --curve

Each row is a whole run of `mien train --recipe champion --epochs 8 --set
'stages=[[0.75,32],[1,48]]'`, with the blocks `NARROW`, a rate that falls to zero and no faces
mixed, from random weights with one thing changed, judged on PublicTest in one view. Eight epochs
show what helps early; what only pays in long runs (docs/log.md) looks worse here than it is. The
learning curve trains on random shares of the training faces, for as many steps as on all of them;
it has more epochs to choose the best of, which flatters small shares a little. The network in the
package, a teacher in one row, was itself chosen by PublicTest.

Layers and weights that no recipe has are made here, so that mien need not carry what does not pay:
a squeeze-excitation (Hu et al. 2018, https://arxiv.org/abs/1709.01507) behind each block, a first
convolution of stride 2, rows weighted by how many of the annotators see their label.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import harness
import keras
import numpy as np
from keras import layers

from mien.bundle import open_bundle
from mien.data.dataset import Dataset
from mien.data.readers import load_dataset
from mien.data.votes import plurality
from mien.evaluation import metrics
from mien.labels import FERPLUS_VOTES
from mien.runtime import cores, processor
from mien.training import fit, models, recipes, runs, targets, trainer
from mien.training.recipe import Recipe

NARROW = ((32, 32), (64, 64), (160, 160), (320, 320))
WIDE = ((32, 32), (96, 96), (192, 192), (384, 384))
TAUGHT = "taught by the network in the package"
# The rate falls to zero and the average is a short one: how `champion` was trained until
# 2026-11-25.
UNTIL_ZERO: dict[str, Any] = {
    "fall_epochs": 0,
    "last_rate": 0.0,
    "average_decay": 0.998,
    "choose_by": "accuracy",
}
MILD: dict[str, Any] = {
    "turn": 12.0,
    "zoom": (0.88, 1.14),
    "shift": 0.1,
    "light": 0.0,
    "erase": 0.0,
}
SQUEEZE = 16  # of a squeeze-excitation: channels for each of its hidden units


@dataclass(frozen=True)
class Change:
    """What a row does otherwise.

    Attributes:
        fields: Of the recipe.
        data: What becomes of the data.
        parts: (module, name of a function in it) -> what takes its place.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    data: Callable[[Dataset], Dataset] = lambda dataset: dataset
    parts: Mapping[tuple[Any, str], Callable[..., Any]] = field(default_factory=dict)

    @contextmanager
    def made(self) -> Iterator[None]:
        with ExitStack() as stack:
            for (module, name), part in self.parts.items():
                stack.enter_context(mock.patch.object(module, name, part))
            yield


def excited(build: Callable[..., keras.Model], *arguments: Any, **options: Any) -> keras.Model:
    """The network with a squeeze-excitation behind each block."""

    def call(layer: layers.Layer, x: Any, **how: Any) -> Any:
        x = layer(x, **how)
        block, _, place = layer.name.removeprefix("relu").partition("_")
        if not layer.name.startswith("relu") or place != "2":  # the last of a block
            return x
        width = x.shape[-1]
        policy = {"dtype": options.get("policy")}
        told = layers.GlobalAveragePooling2D(keepdims=True, **policy)(x)
        told = layers.Dense(width // SQUEEZE, activation="relu", name=f"squeeze{block}", **policy)(
            told
        )
        told = layers.Dense(width, activation="sigmoid", name=f"excite{block}", **policy)(told)
        return layers.Multiply(name=f"excited{block}", **policy)([x, told])

    return keras.models.clone_model(build(*arguments, **options), call_function=call)


def strided(build: Callable[..., keras.Model], *arguments: Any, **options: Any) -> keras.Model:
    """The network with a first convolution of stride 2: a quarter of the work behind it."""

    def clone(layer: layers.Layer) -> layers.Layer:
        settings = layer.get_config()
        if layer.name == "conv1_1":
            settings["strides"] = 2
        return type(layer).from_config(settings)

    return keras.models.clone_model(build(*arguments, **options), clone_function=clone)


def by_agreement(training: Dataset, recipe: Recipe) -> targets.Targets:
    """Targets weighted by the share of the annotators who see the label: from 0.5 to 1.5, before
    they are scaled.
    """
    made = targets.make_targets(training, recipe)
    ballots, _, _ = plurality(votes_of(training), training.label_set)
    share = ballots[np.arange(len(ballots)), training.labels] / np.maximum(ballots.sum(axis=1), 1)
    weights = made.weights * (0.5 + share)
    return dataclasses.replace(made, weights=(weights / weights.mean()).astype(np.float32))


def votes_of(dataset: Dataset) -> np.ndarray:
    if dataset.votes is None:
        raise SystemExit(
            f"ablation: got {dataset.source} without FER+ votes; expected ferplus_votes.csv beside "
            "it"
        )
    return dataset.votes


def without_non_faces(dataset: Dataset) -> Dataset:
    """Training rows in which at least half of the annotators see no face, or nothing that they can
    name, taken out.
    """
    votes = votes_of(dataset).astype(int)
    unseen = votes[:, [FERPLUS_VOTES.index(name) for name in ("unknown", "not_a_face")]].sum(axis=1)
    return dataset.take(~(dataset.mask("training") & (2 * unseen >= votes.sum(axis=1))))


# The decay of the average is (1 + n) / (10 + n) at step n where that is less: near 1 the last ninth
# of all steps makes up two thirds of it.
LAST_NINTH = 0.99999
CHANGES: dict[str, Change] = {
    "as it is": Change(),
    "no vote head": Change({"votes_weight": 0.0}),
    "the annotators' say in the labels too": Change({"soft_label_weight": 0.5}),
    "labels weighted by the annotators' agreement": Change(
        parts={(trainer, "make_targets"): by_agreement}
    ),
    "without non-faces": Change(data=without_non_faces),
    "with the rows whose pixels are in PublicTest": Change({"keep_leaks": True}),
    TAUGHT: Change({"teacher_weight": 0.5}),
    "no moving average": Change({"average_decay": 0.0}),
    "average over the last ninth of all steps": Change({"average_decay": LAST_NINTH}),
    "the same at a constant rate (SWA)": Change({"average_decay": LAST_NINTH, "last_rate": 0.25}),
    "mild augmentation": Change(MILD),
    "no augmentation": Change({"augment": False}),
    "blur, noise and JPEG": Change({"corruption": 0.2}),
    "Adam": Change({"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0}),
    "AdamW": Change({"optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 0.05}),
    "SAM": Change({"sam_radius": 0.05}),
    "no label smoothing": Change({"label_smoothing": 0.0}),
    "faces of 48 px throughout": Change({"stages": ((1.0, 48),)}),
    "mixup 0.5": Change({"mixup": 0.5}),
    "CutMix 0.5": Change({"cutmix": 0.5}),
    "class weights sqrt": Change({"class_weights": "sqrt"}),
    "class weights balanced": Change({"class_weights": "balanced"}),
    "wider: 96, 192 and 384 filters": Change({"blocks": WIDE}),
    "residual additions": Change({"residual": True}),
    "squeeze-excitation": Change(parts={(models, "build"): partial(excited, models.build)}),
    "first convolution of stride 2": Change(
        parts={(models, "build"): partial(strided, models.build)}
    ),
}
SHARES = (0.125, 0.25, 0.5, 1.0)


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("data")
    parser.add_argument(
        "--only", nargs="+", default=list(CHANGES), choices=list(CHANGES), metavar="ROW"
    )
    parser.add_argument("--curve", action="store_true", help="the learning curve, instead")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dataset = load_dataset(options.data)
    votes_of(dataset)  # or there is no vote head
    base = recipes.recipe(
        "champion",
        blocks=NARROW,
        **UNTIL_ZERO,
        mixup=0.0,
        cutmix=0.0,
        max_epochs=options.epochs,
        stages=((0.75, 32), (1.0, 48)),
        seed=options.seed,
    )
    print(
        f"{processor()}, {cores()} cores; {options.epochs} epochs, seed {options.seed}, "
        f"{trainer.precision(base)}"
    )
    right: dict[str, np.ndarray] = {}
    if options.curve:
        for share in SHARES:
            part = shared(dataset, share, options.seed)
            longer = {
                name: round(getattr(base, name) / share) for name in ("max_epochs", "warmup_epochs")
            }
            recipe = dataclasses.replace(base, **longer)
            row(
                f"{fit.training_rows(part, recipe)[0].counts()[0].sum():,} training faces",
                part,
                recipe,
                right,
            )
        return
    for name in options.only:
        change = CHANGES[name]
        with change.made():
            row(name, change.data(dataset), dataclasses.replace(base, **change.fields), right)


def row(name: str, dataset: Dataset, recipe: Recipe, right: dict[str, np.ndarray]) -> None:
    """Train, judge and print; `right` remembers which faces the rows before got right."""
    began = time.perf_counter()
    teachers = [open_bundle("shipped")] if name == TAUGHT else []
    validation = dataset.part("validation")
    with tempfile.TemporaryDirectory() as folder:
        run = fit.fit(dataset, recipe, folder=Path(folder) / "run", sources=fit.Sources(teachers))
        network = runs.load_network(run)
    probabilities = runs.predict(network, validation.images)
    scores, _ = metrics.estimates(validation.labels, probabilities, num_bootstrap=0, seed=0)
    last = run.facts["history"][run.facts["best_epoch"] - 1]
    votes = f"{last['val_votes_accuracy']:.1%}" if "val_votes_accuracy" in last else "n/a"
    right[name] = probabilities.argmax(axis=1) == validation.labels
    first = next(iter(right))
    against = "" if name == first else f"  {paired(right[name], right[first])}"
    print(
        f"{name:55} {scores['accuracy']['value']:6.1%}  macro-F1 "
        f"{scores['macro_f1']['value']:.3f}  votes {votes}  training {last['accuracy']:.1%}  "
        f"{time.perf_counter() - began:.0f} s{against}",
        flush=True,
    )


def paired(ours: np.ndarray, theirs: np.ndarray) -> str:
    found = metrics.mcnemar(ours, theirs)
    return (
        f"against the first row {found['only_first']} to {found['only_second']}, p = "
        f"{found['p_value']:.3f}"
    )


def shared(dataset: Dataset, share: float, seed: int) -> Dataset:
    """The data with a random share of its training rows."""
    training = dataset.mask("training")
    keep = np.random.default_rng(seed).random(len(dataset)) < share
    return dataset.take(keep | ~training)


if __name__ == "__main__":
    main()
