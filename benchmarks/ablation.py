"""What each part of the recipe `champion` is worth, and what tries gave, on a short schedule; learning curve.

    python benchmarks/ablation.py fer2013.csv
    python benchmarks/ablation.py fer2013.csv --only "as it is" "no crowd's head"
    python benchmarks/ablation.py fer2013.csv --curve

Each row is a whole run of `mien train --recipe champion --epochs 8 --set 'stages=[[0.75,32],[1,48]]'`, with the blocks
`NARROW` and no faces mixed, from random weights with one thing changed, judged on PublicTest in one view. Eight epochs
show what helps early; what only pays in long runs (docs/log.md) looks worse here than it is. The learning curve trains
on random shares of the training faces, for as many steps as on all of them; it has more epochs to choose the best of,
which flatters small shares a little. The network in the package, a teacher in one row, was itself chosen by PublicTest.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from mien.bundle import open_bundle
from mien.data.dataset import Dataset
from mien.data.readers import load_dataset
from mien.evaluation import metrics
from mien.machine import cores, processor
from mien.training import fit, recipes, runs

NARROW = ((32, 32), (64, 64), (160, 160), (320, 320))
WIDE = ((32, 32), (96, 96), (192, 192), (384, 384))
TAUGHT = "taught by the network in the package"
MILD: dict[str, Any] = {"turn": 12.0, "zoom": (0.88, 1.14), "shift": 0.1, "light": 0.0, "erase": 0.0}
CHANGES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "no crowd's head": {"crowd_weight": 0.0},
    "the crowd's say in the labels too": {"vote_weight": 0.5},
    TAUGHT: {"teacher_weight": 0.5},
    "no moving average": {"average_decay": 0.0},
    "mild augmentation": MILD,
    "no augmentation": {"augment": False},
    "blur, noise and JPEG": {"degrade": 0.2},
    "Adam": {"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0},
    "AdamW": {"optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 0.05},
    "SAM": {"sharpness": 0.05},
    "no label smoothing": {"label_smoothing": 0.0},
    "faces of 48 px throughout": {"stages": ((1.0, 48),)},
    "mixup 0.5": {"mixup": 0.5},
    "CutMix 0.5": {"cutmix": 0.5},
    "class weights sqrt": {"class_weights": "sqrt"},
    "class weights balanced": {"class_weights": "balanced"},
    "wider: 96, 192 and 384 filters": {"blocks": WIDE},
    "residual additions": {"residual": True},
}
SHARES = (0.125, 0.25, 0.5, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--only", nargs="+", default=list(CHANGES), choices=list(CHANGES), metavar="ROW")
    parser.add_argument("--curve", action="store_true", help="the learning curve, instead")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dataset = load_dataset(options.data)
    base = recipes.recipe(
        "champion",
        blocks=NARROW,
        mixup=0.0,
        cutmix=0.0,
        max_epochs=options.epochs,
        stages=((0.75, 32), (1.0, 48)),
        seed=options.seed,
    )
    print(f"{processor()}, {cores()} cores; {options.epochs} epochs, seed {options.seed}, {fit.precision(base)}")
    right: dict[str, np.ndarray] = {}
    if options.curve:
        for share in SHARES:
            part = shared(dataset, share, options.seed)
            longer = {name: round(getattr(base, name) / share) for name in ("max_epochs", "warmup_epochs")}
            recipe = dataclasses.replace(base, **longer)
            row(f"{fit.training_rows(part, recipe)[0].counts()[0].sum():,} training faces", part, recipe, right)
        return
    for name in options.only:
        row(name, dataset, dataclasses.replace(base, **CHANGES[name]), right)


def row(name: str, dataset: Dataset, recipe: recipes.Recipe, right: dict[str, np.ndarray]) -> None:
    """Train, judge and print; `right` remembers which faces the rows before got right."""
    began = time.perf_counter()
    teachers = [open_bundle("shipped")] if name == TAUGHT else []
    validation = dataset.part("validation")
    with tempfile.TemporaryDirectory() as folder:
        run = fit.fit(dataset, recipe, folder=Path(folder) / "run", teachers=teachers)
        network = runs.load_network(run)
    probabilities = runs.predict(network, validation.images)
    scores, _ = metrics.estimates(validation.labels, probabilities, num_bootstrap=0, seed=0)
    last = run.facts["history"][run.facts["best_epoch"] - 1]
    crowd = f"{last['val_crowd_accuracy']:.1%}" if "val_crowd_accuracy" in last else "n/a"
    right[name] = probabilities.argmax(axis=1) == validation.labels
    first = next(iter(right))
    against = "" if name == first else f"  {paired(right[name], right[first])}"
    print(
        f"{name:55} {scores['accuracy']['value']:6.1%}  macro-F1 {scores['macro_f1']['value']:.3f}  crowd {crowd}  "
        f"training {last['accuracy']:.1%}  {time.perf_counter() - began:.0f} s{against}",
        flush=True,
    )


def paired(ours: np.ndarray, theirs: np.ndarray) -> str:
    found = metrics.mcnemar(ours, theirs)
    return f"against the first row {found['only_first']} to {found['only_second']}, p = {found['p_value']:.3f}"


def shared(dataset: Dataset, share: float, seed: int) -> Dataset:
    """The data with a random share of its training rows."""
    training = dataset.mask("training")
    keep = np.random.default_rng(seed).random(len(dataset)) < share
    return dataset.take(keep | ~training)


if __name__ == "__main__":
    main()
