"""Average the weights of a network and of the same network after further training.

The mean is often as accurate as either, and keeps most of what the further training added (Wortsman
et al. 2022, https://arxiv.org/abs/2109.01903). It runs as fast as one network. Networks that were
trained separately cannot be averaged: the mean of their weights is no better than chance.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import mien
from mien.bundle import Bundle
from mien.data.dataset import Dataset
from mien.errors import DataError, RunError, UsageError
from mien.training import checkpoint, models, runs, transfer
from mien.training.rebuild import rebuilt
from mien.training.recipe import Recipe

MAX_SHARE = 1e6


def average(
    dataset: Dataset,
    bundles: Sequence[Bundle],
    folder: Path,
    *,
    shares: Sequence[float] = (),
    fresh: bool = False,
) -> runs.Run:
    """Write the mean of the weights of several bundles as a run, for `evaluate` and `export`.

    Args:
        dataset: The mean is scored on its validation split.
        bundles: Two or more with the same layers and labels, not int8. The facts of training are
            taken from the last one.
        folder: The run folder; created if it does not exist.
        shares: A positive number for each bundle, scaled to the sum 1. By default all are equal.
        fresh: Delete an existing run in the folder.

    Raises:
        UsageError: if the bundles or shares do not fit one another or the data.
        DataError: if the data has no validation rows.
        BundleError: if a bundle is int8, or its network rebuilt in Keras gives other predictions.
        RunError: if the folder already holds a run, or cannot be written.
    """
    shares = shares or [1.0] * len(bundles)
    networks = _rebuilt(bundles, shares)
    dataset = dataset.with_labels(bundles[0].heads[0].labels)
    dataset.must_be_labelled_as(bundles[0].heads[0].labels, bundles[0].name)
    validation = dataset.part("validation")
    if not len(validation):
        raise DataError(
            dataset.source,
            got="no labelled validation rows",
            expected="some, which say how right the mean is",
            fix="give the data that the networks were trained on",
        )
    parts = [share / sum(shares) for share in shares]
    last_recipe, mean = networks[-1]
    weights = zip(*(network.get_weights() for _, network in networks), strict=True)
    mean.set_weights(
        [
            np.sum([part * array for part, array in zip(parts, arrays, strict=True)], axis=0)
            for arrays in weights
        ]
    )
    recipe, network = _runnable(last_recipe, mean, bundles[0], dataset)
    scores = runs.evaluated(network, validation)
    facts = _facts(bundles, parts, dataset, recipe, network) | {
        "num_validation": len(validation),  # rows that scored the mean; `data` describes training
        "history": [{"epoch": 1, **scores}],
    }
    with runs.locked(folder):
        if fresh:
            runs.clear(folder)
        if (folder / runs.RUN_FILE).exists():
            raise RunError(
                f"{folder}: got a folder with a run; expected a new one. Fix: choose another "
                "folder with --out, or delete the run with --fresh"
            )
        arrays = {f"{n:03d}": np.asarray(weight) for n, weight in enumerate(network.get_weights())}
        checkpoint.write_verified(runs.best_folder(folder, 1), arrays, {"epoch": 1})
        checkpoint.write_text(folder / runs.RUN_FILE, json.dumps(facts, indent=1))
    return runs.load_run(folder)


def _rebuilt(
    bundles: Sequence[Bundle], shares: Sequence[float]
) -> list[tuple[Recipe, keras.Model]]:
    """The recipes and networks of the bundles, after a check that they can be averaged."""
    valid = len(bundles) == len(shares) >= 2 and all(0 < share <= MAX_SHARE for share in shares)
    if not valid:
        raise UsageError(
            f"average: got {len(bundles)} bundle(s) and the shares "
            f"{', '.join(f'{share:g}' for share in shares)}; expected two or more bundles, and a "
            f"positive share of at most {MAX_SHARE:g} for each. Fix: "
            + ("name another bundle" if len(bundles) < 2 else "give such a share for each bundle")
        )
    networks = [rebuilt(bundle, bundle.name, "or average other bundles") for bundle in bundles]
    structures = [
        (recipe.centre, recipe.residual, [weight.shape for weight in network.weights])
        for recipe, network in networks
    ]
    labels = [[(head.name, head.labels) for head in bundle.heads] for bundle in bundles]
    for bundle, structure, heads in zip(bundles, structures, labels, strict=True):
        if structure != structures[0] or heads != labels[0]:
            raise UsageError(
                f"average: got {bundle.name} {bundle.digest[:16]}, of other layers or labels than "
                f"{bundles[0].name} {bundles[0].digest[:16]}; expected the same network, trained "
                "further. Fix: average bundles of one network"
            )
    return networks


def _runnable(
    last_recipe: Recipe, mean: keras.Model, first: Bundle, dataset: Dataset
) -> tuple[Recipe, keras.Model]:
    """The folded mean as a network of `models.build`, and its recipe."""
    untrained = Recipe(
        last_recipe.name,
        last_recipe.blocks,
        dense=0,
        block_dropout=0.0,
        dense_dropout=last_recipe.dense_dropout,
        max_epochs=1,
        seed=last_recipe.seed,
        votes_weight=last_recipe.votes_weight,
    )
    heads = {head.name: head.labels for head in first.heads}
    start = transfer.of_folded(untrained, last_recipe, mean, heads, {})
    network = models.build(start.recipe, dataset.label_set)
    start.put(network, models.heads(start.recipe, dataset.label_set), dataset.images)
    return start.recipe, network


def _facts(
    bundles: Sequence[Bundle],
    parts: Sequence[float],
    dataset: Dataset,
    recipe: Recipe,
    network: keras.Model,
) -> dict[str, Any]:
    """The contents of run.json without the validation scores."""
    # If a bundle was trained on other data than `dataset`, the mean is recorded with that data.
    sources = [bundle.training.get("data") or {} for bundle in bundles]
    others = (data for data in sources if data.get("fingerprint") != dataset.fingerprint)
    data = dict(next(others, sources[-1]))
    if data.get("fingerprint") == dataset.fingerprint:
        data["fingerprints"] = dataset.fingerprints  # older bundles lack them
    keep_leaks = any((bundle.training.get("recipe") or {}).get("keep_leaks") for bundle in bundles)
    members = [
        f"{bundle.name} {bundle.digest[:16]} ({part:.0%})"
        for bundle, part in zip(bundles, parts, strict=True)
    ]
    return {
        "mien": mien.__version__,
        "recipe": dataclasses.replace(recipe, keep_leaks=keep_leaks).to_dict(),
        "labels": list(dataset.label_set),
        "data": data,
        "averaged": [
            {
                "name": bundle.name,
                "digest": bundle.digest,
                "share": part,
                "training": bundle.training,
            }
            for bundle, part in zip(bundles, parts, strict=True)
        ],
        "deterministic": False,
        "teachers": [],
        "parameters": network.count_params(),
        "multiply_adds": models.multiply_adds(network),
        "seconds_per_epoch": None,
        "peak_memory_mb": None,
        "epochs": 1,
        "best_epoch": 1,
        "warnings": [],
        "stopped": "nothing was trained: the mean of the weights of " + " and ".join(members),
        "versions": bundles[-1].training.get("versions", {}),
    }
