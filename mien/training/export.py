"""From a trained run to a bundle: ONNX, proof that it answers alike, temperature, scores, drawn
faces to check by.

    export(load_run(Path("runs/small")), Path("small.zip"), dataset=dataset, measure=measure)

The network is first folded: batch norm and the division by 255 go into the convolutions' weights,
and each ReLU before its pooling, which changes no answer and lets ONNX Runtime do a block in two
steps. Then tf2onnx converts it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mien import __version__
from mien.bundle import Bundle, write_bundle
from mien.bundle.classifier import Classifier, logs, pool, softmax
from mien.bundle.schema import TEMPERATURE
from mien.constants import FACE_SIDE
from mien.data.dataset import Dataset
from mien.data.synthetic import draw_faces
from mien.data.votes import majority, vote_shares
from mien.errors import BundleError, UsageError
from mien.labels import FER2013, FERPLUS, VOTES_HEAD, LabelSet
from mien.training import models, runs
from mien.training.calibration import cross_fitted, fit_temperature, nll
from mien.training.onnx_graph import INPUT, halve, quantise, to_onnx
from mien.training.recipes import FOLDED, Recipe
from mien.training.runs import Run

PARITY_BATCHES = (1, 7, 64)
PARITY_ATOL = 1e-4
PARITY_ATOL_DEEP = (
    1e-3  # of networks of keras.applications: rounding grows over their 50 to 200 layers
)
# Probabilities may differ so much between machines. Activations of int8 may round the other way
# there.
GOLDEN_TOLERANCE = {"float32": 1e-4, "float16": 1e-4, "int8": 0.05}
BEGUN = (
    "name",
    "digest",
    "data",
    "keep_leaks",
)  # what a bundle says of what its network began with
# What the main head and the vote head each give to the answer that is shown; docs/results.md has what
# others give.
ANSWER = (0.85, 0.15)
_PACKAGES = (
    "numpy",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "scipy",
)

# labels int (n,), probabilities float32 (n, K) -> scores by name.
Measure = Callable[[np.ndarray, np.ndarray], Mapping[str, Any]]


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
        out: A folder, or a zip where the name ends in `.zip`. A bundle that lies there is replaced.
        dataset: The data; its validation split fits the temperature, validation and test splits are
            measured. Without it the temperature is 1 and the bundle has no scores.
        measure: Makes scores with intervals of labels and calibrated probabilities; by default
            accuracy alone.
        int8: Quantise weights and activations to 8 bits, calibrated on training faces; the bundle
            then says what that cost against float32 on the same faces.
        half: Store the weights as 16-bit floats: half the size; what is computed from them is
            float32 as before.
        licence: SPDX name of the licence of the weights.

    Raises:
        UsageError: if int8 is asked for without data, or with `half`, or the data has other labels.
        BundleError: if ONNX and Keras differ by more than 1e-4 in any logit (1e-3 for
            keras.applications), or `out` cannot be written.
    """
    if dataset is None and int8:
        raise UsageError(
            "int8: came no data; expected data, whose training faces set the ranges of the 8 bits"
        )
    if int8 and half:
        raise UsageError(
            "int8, half: came both; expected at most one, since each says how weights are stored"
        )
    if dataset is not None:
        dataset = dataset.with_labels(run.label_set)
        dataset.must_be_labelled_as(run.label_set, str(run.folder))
        if int8 and not len(dataset.part("training")):
            raise UsageError(
                "int8: came data without training faces; expected some, which set the ranges of the 8 bits"
            )
    network = runs.load_network(run)
    heads = models.heads(run.recipe, run.label_set)
    plain_keras = models.logits_of(network)
    folded = fold(network, run.recipe, heads)
    model = to_onnx(plain_keras if folded is None else folded, heads)
    own = run.recipe.backbone in ("", FOLDED)
    parity = prove(plain_keras, model, heads, out, atol=PARITY_ATOL if own else PARITY_ATOL_DEEP)
    parity["batch_norm_folded"] = folded is not None
    golden_faces = _golden_faces()
    plain = model
    precision = "int8" if int8 else "float16" if half else "float32"
    if int8 and dataset is not None:
        model = quantise(plain, dataset)
    elif half:
        model = halve(plain, out)
    golden = (
        _keras_logits(plain_keras, golden_faces)
        if model is plain
        else logits(model, heads, golden_faces)
    )
    if model is not plain:
        before = logits(plain, heads, golden_faces)
        worst = max(float(np.abs(golden[name] - before[name]).max()) for name in heads)
        parity[f"{precision}_max_difference"] = worst
    found = [
        {"name": name, "output": name, "labels": list(labels), "temperature": 1.0}
        for name, labels in heads.items()
    ]
    facts: dict[str, Any] = {
        "name": run.recipe.name + ("-int8" if int8 else ""),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "licence": licence,
        "precision": precision,
        "input_name": INPUT,
        "heads": found,
        "golden_tolerance": GOLDEN_TOLERANCE[precision],
        "training": _training(run, dataset),
        "metrics": {},
        "parity": parity,
        "versions": _versions(),
    }
    if VOTES_HEAD in heads:
        facts["answer"] = {"weights": dict(zip(heads, ANSWER, strict=True)), "temperature": 1.0}
    write = partial(write_bundle, facts=facts, golden_faces=golden_faces)
    if dataset is not None:
        with tempfile.TemporaryDirectory() as folder:
            unscored = write(Path(folder) / "unscored.zip", model=model, golden_logits=golden)
            before_int8 = None
            if int8:
                plain_golden = logits(plain, heads, golden_faces)
                before_int8 = write(
                    Path(folder) / "plain.zip", model=plain, golden_logits=plain_golden
                )
            _score(facts, unscored, dataset, measure or accuracy, before_int8)
    return write(out, model=model, golden_logits=golden)


# The network


def fold(network: keras.Model, recipe: Recipe, heads: Mapping[str, LabelSet]) -> keras.Model | None:
    """The same function in fewer steps (`models.build_folded`).

    None where a batch norm's scale is not positive, and for networks of keras.applications.
    """
    if recipe.backbone not in ("", FOLDED):
        return None
    folded = models.build_folded(recipe, heads)
    scale_in = 1.0 if recipe.centre else network.get_layer("scale").scale
    norms = {
        f"conv{b}_{c}": f"norm{b}_{c}"
        for b, filters in enumerate(recipe.blocks, 1)
        for c in range(1, len(filters) + 1)
    }
    norms["dense"] = "norm_dense"
    if recipe.backbone == FOLDED:
        norms = {}
    for layer in folded.layers:
        if not layer.weights:
            continue
        kernel, bias = _folded(network, layer.name, norms.get(layer.name))
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            return None
        if layer.name == "conv1_1":
            kernel = kernel * scale_in
        layer.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return folded


def _folded(network: keras.Model, name: str, norm: str | None) -> tuple[np.ndarray, np.ndarray]:
    """float64 kernel and bias of a layer with the batch norm after it; NaN where its scale is not
    positive.
    """
    layer = network.get_layer(name)
    kernel = _numpy(layer.kernel)
    bias = _numpy(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1])
    if norm is None:
        return kernel, bias
    after = network.get_layer(norm)
    scale = _numpy(after.gamma) / np.sqrt(_numpy(after.moving_variance) + after.epsilon)
    scale[scale <= 0] = np.nan
    return kernel * scale, (bias - _numpy(after.moving_mean)) * scale + _numpy(after.beta)


def prove(
    network: keras.Model,
    model: bytes,
    heads: Mapping[str, LabelSet],
    where: Path,
    *,
    atol: float = PARITY_ATOL,
) -> dict[str, Any]:
    """Compare Keras and ONNX Runtime on drawn and on random faces.

    Raises:
        BundleError: if any logit differs by more than `atol`.
    """
    noise = np.random.default_rng(0).integers(0, 256, (32, FACE_SIDE, FACE_SIDE, 1), np.uint8)
    faces = np.concatenate(
        [_golden_faces(), draw_faces(np.arange(16) % len(FER2013), seed=1), noise]
    )
    worst = 0.0
    for size in PARITY_BATCHES:
        batch = faces[:size]
        theirs, ours = _keras_logits(network, batch), logits(model, heads, batch, batch_size=size)
        difference = max(float(np.abs(theirs[name] - ours[name]).max()) for name in heads)
        if not difference <= atol:
            raise BundleError(
                where,
                "parity",
                came=f"logits of ONNX and Keras that differ by {difference:g} at batch {size}",
                expected=f"at most {atol:g}",
                mend="report it with the output of mien doctor: the converter and this network do not agree",
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
    """Head name -> float32 (N, K): what an ONNX file answers to uint8 faces (N, 48, 48, 1), N >= 1."""
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
    found = network(faces.astype(np.float32), training=False)
    return {name: np.asarray(keras.ops.convert_to_numpy(value)) for name, value in found.items()}


def _golden_faces() -> np.ndarray:
    """uint8 (16, 48, 48, 1): two drawn faces of each expression, a black and a white square."""
    faces = draw_faces(np.arange(2 * len(FER2013)) % len(FER2013), seed=0)
    return np.concatenate([faces, np.zeros_like(faces[:1]), np.full_like(faces[:1], 255)])


def _numpy(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float64)


# The numbers


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Share of rows whose likeliest class is the label, with Wilson's 95 % interval (Wilson 1927)."""
    n, share, z = len(labels), float(np.mean(probabilities.argmax(1) == labels)), 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return {"accuracy": {"value": share, "low": middle - half, "high": middle + half}}


def _score(
    facts: dict[str, Any], bundle: Bundle, dataset: Dataset, measure: Measure, plain: Bundle | None
) -> None:
    """Put temperatures and scores into the facts of a bundle (`plain`: the same before int8).

    Temperatures are fitted on the validation split. Its own scores come from probabilities that
    were calibrated by cross-fitting; those of the test split, which chooses nothing, from the
    temperatures of the bundle.
    """
    parts = {split: dataset.part(split) for split in ("validation", "test")}
    parts = {split: part for split, part in parts.items() if len(part)}
    facts["metrics"] = {split: {"n": len(part)} for split, part in parts.items()}
    for mode, key in TEMPERATURE.items():
        with Classifier(bundle) as classify:
            answers = {
                split: classify.logits(part.images, mode=mode) for split, part in parts.items()
            }
        for split, part in parts.items():  # validation first
            probabilities = dict[str, np.ndarray]()
            for head in facts["heads"]:
                found, name = answers[split][head["name"]], head["name"]
                targets = part.labels if head is facts["heads"][0] else _shares(part)
                probabilities[name], temperature = _calibrated(
                    targets, found, split, head.get(key, 1.0)
                )
                head[key] = temperature
            shown = pool(probabilities, bundle)
            if "answer" in facts:
                shown, facts["answer"][key] = _calibrated(
                    part.labels, logs(shown), split, facts["answer"].get(key, 1.0)
                )
            main = answers[split][facts["heads"][0]["name"]]
            scores = {
                **measure(part.labels, shown),
                "nll_uncalibrated": nll(part.labels, main, 1.0),
                "nll_calibrated": nll(part.labels, logs(shown), 1.0),
            }
            if len(probabilities) > 1:
                scores["heads"] = _heads(part, probabilities, measure)
            if mode == "fast":
                facts["metrics"][split] |= scores
            else:
                facts["metrics"][split][mode] = scores
    if plain is not None:
        for split, part in parts.items():
            facts["metrics"][split]["int8_cost"] = _int8_cost(part, plain, bundle)


def _calibrated(
    targets: np.ndarray, logits: np.ndarray, split: str, known: float
) -> tuple[np.ndarray, float]:
    """Probabilities as the scores of a split want them, and the temperature (`known`: from an
    earlier split).
    """
    if split != "validation":
        return softmax(logits, known), known
    return cross_fitted(targets, logits), fit_temperature(targets, logits)


def _shares(part: Dataset) -> np.ndarray:
    """float32 (n, 8): how the annotators voted; zeros, which weigh nothing, where they did not."""
    return (
        np.zeros((len(part), len(FERPLUS)), np.float32)
        if part.votes is None
        else vote_shares(part.votes)
    )


def _heads(
    part: Dataset, probabilities: Mapping[str, np.ndarray], measure: Measure
) -> dict[str, Any]:
    """Scores of each head by itself: against the labels, and the vote head by FER+'s majority
    protocol.
    """
    main, votes = probabilities
    scores = {main: {"n": len(part), **measure(part.labels, probabilities[main])}}
    if part.votes is not None:
        winner = majority(part.votes)
        won = winner >= 0
        if won.any():
            scores[votes] = {"n": int(won.sum()), **measure(winner[won], probabilities[votes][won])}
    return scores


def _int8_cost(part: Dataset, plain: Bundle, bundle: Bundle) -> dict[str, Any]:
    """What the 8 bits cost the main head on the same faces."""
    name = bundle.heads[0].name
    with Classifier(plain) as before, Classifier(bundle) as after:
        old, new = (classify.logits(part.images)[name].argmax(1) for classify in (before, after))
    wins = int(np.sum((old == part.labels) & (new != part.labels)))
    losses = int(np.sum((old != part.labels) & (new == part.labels)))
    return {
        "accuracy_float32": float(np.mean(old == part.labels)),
        "accuracy_lost": (wins - losses) / len(part),
        "only_float32_right": wins,
        "only_int8_right": losses,
        "answers_changed": int(np.sum(old != new)),
    }


def _training(run: Run, dataset: Dataset | None) -> dict[str, Any]:
    facts = run.facts
    names = [
        "averaged",
        "teachers",
        "taught_by",
        "epochs",
        "best_epoch",
        "stopped",
        "parameters",
        "multiply_adds",
    ]
    names += ["deterministic", "mien", "versions"]
    data = dict(facts["data"])
    if isinstance(
        data.get("left_out"), list
    ):  # only how many: there may be thousands, and they are named by paths
        data["left_out"] = len(data["left_out"])
    begun_from = (
        {key: facts["begun_from"].get(key) for key in BEGUN} if "begun_from" in facts else None
    )
    return {
        # Names, not paths: bundles are given away.
        "recipe": {
            **run.recipe.to_dict(),
            "init": run.recipe.init and Path(run.recipe.init).resolve().name,
        },
        "data": {**data, "source": Path(data["source"]).name},
        "measured_on": None if dataset is None else dataset.fingerprint,
        "begun_from": begun_from,
        **{name: facts[name] for name in names if name in facts},
    }


def _versions() -> dict[str, str]:
    found = {"mien": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
