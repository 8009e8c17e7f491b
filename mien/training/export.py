"""Export a trained run as a bundle.

    export(load_run(Path("runs/small")), Path("small.zip"), dataset=dataset, measure=measure)

The network is folded (`mien.training.folding`), which lets ONNX Runtime compute a block in two
steps, and converted by tf2onnx. The export fails unless ONNX and Keras give the same logits. The
bundle also gets temperatures, scores, and the logits of drawn ("golden") faces, with which it is
checked when it is opened.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mien import __version__
from mien.bundle import Bundle, write_bundle
from mien.bundle.answer import CERTAIN_FROM, TRAINING
from mien.data.dataset import Dataset
from mien.data.synthetic import draw_faces
from mien.errors import BundleError, UsageError
from mien.labels import FER2013, VOTES_HEAD, LabelSet
from mien.training import models, runs
from mien.training.folding import fold
from mien.training.onnx_graph import INPUT, halve, quantise, to_onnx
from mien.training.recipe import FOLDED
from mien.training.runs import Run
from mien.training.scoring import Measure, accuracy, add_scores
from mien.vision.preprocess import all_resized

PARITY_BATCHES = (1, 7, 64)
PARITY_ATOL = 1e-4  # of logits, Keras against ONNX Runtime
PARITY_ATOL_DEEP = 1e-3  # for keras.applications: rounding grows over their 50 to 200 layers
# How far probabilities may differ between machines. int8 activations may round the other way.
GOLDEN_TOLERANCE = {"float32": 1e-4, "float16": 1e-4, "int8": 0.05}
# Weights of the main head and the vote head in the prediction; docs/history.md compares others.
HEAD_WEIGHTS = (0.85, 0.15)
# What a bundle records about the network that its training started from.
START_FIELDS = ("name", "digest", "data", "photographs", "keep_leaks")
_PACKAGES = "numpy keras tensorflow tensorflow-cpu tf2onnx onnx onnxruntime scipy".split()


def export(
    run: Run,
    out: Path,
    *,
    dataset: Dataset | None = None,
    measure: Measure | None = None,
    int8: bool = False,
    half: bool = False,
    licence: str = "MIT",
) -> Bundle:
    """Write the network of a run as a bundle.

    Args:
        run: A trained run.
        out: A folder, or a zip file if the name ends in `.zip`. An existing bundle is replaced.
        dataset: The temperature is fitted on its validation split, and the scores are measured on
            its validation and test splits. Without it the temperature is 1 and the bundle has no
            scores.
        measure: Turns labels int (n,) and calibrated probabilities float32 (n, K) into scores by
            name; by default accuracy alone.
        int8: Quantise weights and activations to 8 bits, calibrated on training faces. The bundle
            then records the loss of accuracy against float32 on the same faces.
        half: Store the weights as 16-bit floats, which halves the file. The arithmetic stays
            float32.
        licence: SPDX name of the licence of the weights.

    Raises:
        UsageError: if `int8` is given without data or together with `half`, or the data has other
            labels than the run.
        BundleError: if ONNX and Keras differ by more than 1e-4 in any logit (1e-3 for
            keras.applications), or `out` cannot be written.
    """
    precision = "int8" if int8 else "float16" if half else "float32"
    if dataset is not None:
        dataset = dataset.with_labels(run.label_set)
        dataset.must_be_labelled_as(run.label_set, str(run.folder))
    _check(int8=int8, half=half, dataset=dataset)
    network = runs.load_network(run)
    heads = models.heads(run.recipe, run.label_set)
    plain_keras = models.logits_of(network)
    folded = fold(network, run.recipe, heads)
    plain = to_onnx(plain_keras if folded is None else folded, heads)
    own = run.recipe.backbone in ("", FOLDED)
    parity = prove(plain_keras, plain, heads, out, atol=PARITY_ATOL if own else PARITY_ATOL_DEEP)
    parity["batch_norm_folded"] = folded is not None
    model, golden_faces = plain, _golden_faces(run.recipe.input_side)
    if int8 and dataset is not None:
        model = quantise(plain, dataset.resized(run.recipe.input_side))
    elif half:
        model = halve(plain, out)
    golden = _keras_logits(plain_keras, golden_faces)
    if model is not plain:
        golden, plain_logits = (logits(file, heads, golden_faces) for file in (model, plain))
        worst = max(float(np.abs(golden[name] - plain_logits[name]).max()) for name in heads)
        parity[f"{precision}_max_difference"] = worst
    facts = _facts(run, heads, dataset, precision, parity) | {"licence": licence}
    write = partial(write_bundle, facts=facts, golden_faces=golden_faces)
    if dataset is not None:
        with tempfile.TemporaryDirectory() as folder:
            unscored = write(Path(folder) / "unscored.zip", model=model, golden_logits=golden)
            unquantised = None
            if int8:
                unquantised = write(
                    Path(folder) / "plain.zip",
                    model=plain,
                    golden_logits=logits(plain, heads, golden_faces),
                )
            add_scores(facts, unscored, dataset, measure or accuracy, unquantised)
    return write(out, model=model, golden_logits=golden)


def _check(*, int8: bool, half: bool, dataset: Dataset | None) -> None:
    if dataset is None and int8:
        raise UsageError(
            "int8: got no data; expected some, whose training faces set the ranges of the 8 bits. "
            "Fix: give the data (--data)"
        )
    if int8 and half:
        raise UsageError(
            "int8, half: got both; expected at most one, since each says how weights are stored. "
            "Fix: leave one out"
        )
    if int8 and dataset is not None and not len(dataset.part("training")):
        raise UsageError(
            "int8: got data without training faces; expected some, which set the ranges of the 8 "
            "bits. Fix: give the data that the run was trained on"
        )


def _facts(
    run: Run,
    heads: Mapping[str, LabelSet],
    dataset: Dataset | None,
    precision: str,
    parity: dict[str, Any],
) -> dict[str, Any]:
    """The contents of bundle.json before temperatures and scores are known."""
    facts: dict[str, Any] = {
        "name": run.recipe.name + ("-int8" if precision == "int8" else ""),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "licence": "",
        "precision": precision,
        "input_name": INPUT,
        "heads": [
            {"name": name, "output": name, "labels": list(labels), "temperature": 1.0}
            for name, labels in heads.items()
        ],
        "golden_tolerance": GOLDEN_TOLERANCE[precision],
        "training": _training(run, dataset),
        "metrics": {},
        "parity": parity,
        "versions": _versions(),
    }
    weights = HEAD_WEIGHTS if VOTES_HEAD in heads else (1.0,)
    facts["answer"] = _training_prior(
        run.label_set, dict(zip(heads, weights, strict=True)), dataset
    )
    return facts


def _training_prior(
    labels: LabelSet, weights: Mapping[str, float], dataset: Dataset | None
) -> dict[str, Any]:
    """The answer rule under the class prior of the training faces, as bundle.json stores it."""
    shares = None
    if dataset is not None and (counts := dataset.counts()[0]).all():
        shares = dict(zip(labels, (counts / counts.sum()).tolist(), strict=True))
    rule = {
        "class_shares": shares,
        "weights": dict(weights),
        "log_factors": dict.fromkeys(labels, 0.0),
        "temperature": 1.0,
        "certain_from": CERTAIN_FROM,
    }
    return {"default": TRAINING, "priors": {TRAINING: rule}}


def prove(
    network: keras.Model,
    model: bytes,
    heads: Mapping[str, LabelSet],
    where: Path,
    *,
    atol: float = PARITY_ATOL,
) -> dict[str, Any]:
    """Compare the logits of Keras and ONNX Runtime on drawn faces and on noise.

    Args:
        network: Faces float32 (N, S, S, 1) -> logits (N, K) by head.
        model: The ONNX file of the same network.
        heads: Head name -> labels.
        where: The bundle's path, for the error.
        atol: Largest accepted difference of a logit.

    Returns:
        The `parity` of bundle.json: batch sizes, `atol`, and the largest difference found.

    Raises:
        BundleError: if any logit differs by more than `atol`.
    """
    side = network.input_shape[1]
    noise = np.random.default_rng(0).integers(0, 256, (32, side, side, 1), np.uint8)
    drawn = draw_faces(np.arange(16) % len(FER2013), seed=1)
    faces = np.concatenate([_golden_faces(side), all_resized(drawn, side), noise])
    worst = 0.0
    for size in PARITY_BATCHES:
        batch = faces[:size]
        from_keras = _keras_logits(network, batch)
        from_onnx = logits(model, heads, batch, batch_size=size)
        difference = max(float(np.abs(from_keras[name] - from_onnx[name]).max()) for name in heads)
        if not difference <= atol:
            raise BundleError(
                where,
                "parity",
                got=f"logits of ONNX and Keras that differ by {difference:g} at batch {size}",
                expected=f"at most {atol:g}",
                fix=(
                    "report it with the output of mien doctor: the converter and this network do "
                    "not agree"
                ),
            )
        worst = max(worst, difference)
    return {
        "batches": list(PARITY_BATCHES),
        "atol": atol,
        "max_difference": worst,
        "of": "logits, Keras - ONNX",
    }


def logits(
    model: bytes, heads: Mapping[str, LabelSet], faces: np.ndarray, *, batch_size: int = 64
) -> dict[str, np.ndarray]:
    """Logits that an ONNX file computes for faces, uint8 (N, S, S, 1): head -> float32 (N, K)."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as mien.bundle.classifier does
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    parts = [
        session.run(list(heads), {INPUT: faces[start : start + batch_size].astype(np.float32)})
        for start in range(0, len(faces), batch_size)
    ]
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(heads)}


def _keras_logits(network: keras.Model, faces: np.ndarray) -> dict[str, np.ndarray]:
    outputs = network(faces.astype(np.float32), training=False)
    return {name: np.asarray(keras.ops.convert_to_numpy(value)) for name, value in outputs.items()}


def _golden_faces(side: int) -> np.ndarray:
    """uint8 (16, S, S, 1): two drawn faces of each expression, a black and a white square."""
    faces = all_resized(draw_faces(np.arange(2 * len(FER2013)) % len(FER2013), seed=0), side)
    return np.concatenate([faces, np.zeros_like(faces[:1]), np.full_like(faces[:1], 255)])


def _training(run: Run, dataset: Dataset | None) -> dict[str, Any]:
    """The `training` of bundle.json. It holds file names instead of paths: bundles are shared."""
    facts = run.facts
    copied = (
        "averaged teachers taught_by photographs epochs best_epoch stopped parameters "
        "multiply_adds deterministic mien versions"
    ).split()
    data = dict(facts["data"])
    # Only the number: there may be thousands of rows, which are named by paths.
    if isinstance(data.get("left_out"), list):
        data["left_out"] = len(data["left_out"])
    begun_from = None
    if "begun_from" in facts:
        begun_from = {key: facts["begun_from"].get(key) for key in START_FIELDS}
    return {
        "recipe": {
            **run.recipe.to_dict(),
            "init": run.recipe.init and Path(run.recipe.init).resolve().name,
        },
        "data": {**data, "source": Path(data["source"]).name},
        "measured_on": None if dataset is None else dataset.fingerprint,
        "begun_from": begun_from,
        **{name: facts[name] for name in copied if name in facts},
    }


def _versions() -> dict[str, str]:
    versions = {"mien": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions
