"""Average the weights of a trained network and of what further training made of it.

Between the two lie networks that are as accurate as either and keep most of what the second one
learned in addition (Wortsman et al. 2022, https://arxiv.org/abs/2109.01903). The mean costs no more
to run than one network. Networks that were trained separately cannot be averaged: their mean
predicts nothing useful, and its accuracy shows it.
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
from mien.training.recipe import Recipe

MOST = 1e6  # the greatest share


def average(
    dataset: Dataset,
    bundles: Sequence[Bundle],
    folder: Path,
    *,
    shares: Sequence[float] = (),
    fresh: bool = False,
) -> runs.Run:
    """Write the mean of the weights of some bundles as a run, which can be exported and judged as
    any other.

    Args:
        dataset: Its validation split says how right the mean is.
        bundles: Two or more, of equal layers and labels, with float weights; facts of training are
            taken from the last.
        folder: The run folder; made if it is not there.
        shares: Of each bundle, positive; they are scaled to sum to 1. By default all alike.
        fresh: Delete the run that is in the folder.

    Raises:
        UsageError: if the bundles or shares do not fit one another or the data.
        DataError: if the data has no validation rows.
        BundleError: if a bundle is int8, or its network cannot be built again with equal answers.
        RunError: if the folder holds a run, or cannot be written.
    """
    shares = shares or [1.0] * len(bundles)
    built = _built(bundles, shares)
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
    theirs, mean = built[-1]
    values = zip(*(network.get_weights() for _, network in built), strict=True)
    mean.set_weights(
        [
            np.sum([part * one for part, one in zip(parts, each, strict=True)], axis=0)
            for each in values
        ]
    )
    recipe, network = _runnable(theirs, mean, bundles[0], dataset)
    scores = runs.evaluated(network, validation)
    facts = _facts(bundles, parts, dataset, recipe, network) | {
        "num_validation": len(validation),  # of the mean; that in `data` is of the training
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


def _built(bundles: Sequence[Bundle], shares: Sequence[float]) -> list[tuple[Recipe, keras.Model]]:
    """The recipes and networks of bundles that can be averaged."""
    if (
        len(bundles) < 2
        or len(shares) != len(bundles)
        or not all(0 < share <= MOST for share in shares)
    ):
        raise UsageError(
            f"average: got {len(bundles)} bundle(s) and the shares "
            f"{', '.join(f'{share:g}' for share in shares)}; expected two or more bundles, and a "
            f"positive share of at most {MOST:g} for each. Fix: give as many shares as bundles"
        )
    built = [
        transfer.rebuilt(bundle, bundle.name, "or average other bundles") for bundle in bundles
    ]
    layers = [
        (r.centre, r.residual, [weight.shape for weight in network.weights]) for r, network in built
    ]
    labels = [[(head.name, head.labels) for head in bundle.heads] for bundle in bundles]
    for bundle, these, heads in zip(bundles, layers, labels, strict=True):
        if these != layers[0] or heads != labels[0]:
            raise UsageError(
                f"average: got {bundle.name} {bundle.digest[:16]}, of other layers or labels than "
                f"{bundles[0].name} {bundles[0].digest[:16]}; expected the same network, trained "
                "further. Fix: average bundles of one network"
            )
    return built


def _runnable(
    theirs: Recipe, mean: keras.Model, first: Bundle, dataset: Dataset
) -> tuple[Recipe, keras.Model]:
    """The mean as a network that runs hold, and its recipe."""
    untrained = Recipe(
        theirs.name,
        theirs.blocks,
        dense=0,
        block_dropout=0.0,
        dense_dropout=theirs.dense_dropout,
        max_epochs=1,
        seed=theirs.seed,
        votes_weight=theirs.votes_weight,
    )
    heads = {head.name: head.labels for head in first.heads}
    start = transfer.of_folded(untrained, theirs, mean, heads, {})
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
    """run.json, less what validation says."""
    # If any of them was trained on other data than the rest, that is what is known of the mean.
    known = [bundle.training.get("data") or {} for bundle in bundles]
    data = dict(next((d for d in known if d.get("fingerprint") != dataset.fingerprint), known[-1]))
    if data.get("fingerprint") == dataset.fingerprint:
        data["fingerprints"] = dataset.fingerprints  # which older bundles lack
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
            {"name": one.name, "digest": one.digest, "share": part, "training": one.training}
            for one, part in zip(bundles, parts, strict=True)
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
