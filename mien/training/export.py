"""From a trained run to a bundle: ONNX, proof that it answers alike, temperature, scores, drawn faces to check by.

    export(load_run(Path("runs/small")), Path("small.zip"), dataset=dataset, measure=measure)

The network is first folded: batch norm and the division by 255 go into the convolutions' weights, and each ReLU
before its pooling, which changes no answer and lets ONNX Runtime do a block in two steps. Then tf2onnx converts it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import os
import platform
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mien import __version__
from mien.bundle import SIDE, Bundle, write_bundle
from mien.classify import softmax
from mien.data.dataset import Dataset
from mien.data.synth import draw_faces
from mien.errors import BundleError, UsageError
from mien.labels import FER2013
from mien.training import runs
from mien.training.recipes import Recipe
from mien.training.runs import Run

HEAD = "expression"
INPUT = "faces"
OPSET = 15  # what Keras 3.15.1 asks tf2onnx for
PARITY_BATCHES = (1, 7, 64)
PARITY_ATOL = 1e-4
NUM_CALIBRATION = 512  # training faces that set the ranges of int8
# Probabilities may differ so much between machines. int8 products saturate on processors without VNNI.
GOLDEN_TOLERANCE = {"float32": 1e-4, "int8": 0.05}
TEMPERATURES = (0.05, 20.0)
_PACKAGES = ("numpy", "keras", "tensorflow", "tensorflow-cpu", "tf2onnx", "onnx", "onnxruntime", "scipy")

# labels int (n,), probabilities float32 (n, K) -> scores by name.
Measure = Callable[[np.ndarray, np.ndarray], Mapping[str, Any]]


def export(
    run: Run,
    out: Path,
    *,
    dataset: Dataset | None = None,
    measure: Measure | None = None,
    int8: bool = False,
    licence: str = "MIT",
) -> Bundle:
    """Write the network of a run as a bundle.

    Args:
        run: A trained run.
        out: A folder, or a zip where the name ends in `.zip`. A bundle that lies there is replaced.
        dataset: The data; its validation split fits the temperature, validation and test splits are measured.
            Without it the temperature is 1 and the bundle has no scores.
        measure: Makes scores with intervals of labels and calibrated probabilities; by default accuracy alone.
        int8: Quantise weights and activations to 8 bits, calibrated on training faces; the bundle then says what that
            cost against float32 on the same faces.
        licence: SPDX name of the licence of the weights.

    Raises:
        UsageError: if int8 is asked for without data, or the data has other labels.
        BundleError: if ONNX and Keras differ by more than 1e-4 in any logit, or `out` cannot be written.
    """
    if dataset is None and int8:
        raise UsageError("int8: came no data; expected data, whose training faces set the ranges of the 8 bits")
    if dataset is not None and dataset.label_set != run.label_set:
        raise UsageError(
            f"data: came the labels {', '.join(dataset.label_set)}; expected {', '.join(run.label_set)}, the run's own"
        )
    network = runs.load_network(run)
    logits_of = keras.Model(network.input, network.get_layer("logits").output)
    folded = fold(network, run.recipe)
    model = to_onnx(logits_of if folded is None else folded, len(run.label_set))
    parity = prove(logits_of, model, out)
    parity["batch_norm_folded"] = folded is not None
    golden_faces = _golden_faces()
    plain = model
    if int8 and dataset is not None:
        model = quantise(plain, dataset)
    golden = logits(model, golden_faces) if int8 else _keras_logits(logits_of, golden_faces)
    if int8:
        parity["int8_max_difference"] = float(np.abs(golden - logits(plain, golden_faces)).max())
    temperature, metrics = 1.0, dict[str, Any]()
    if dataset is not None:
        temperature, metrics = _score(model, dataset, measure or accuracy, plain if int8 else None)
    return write_bundle(
        out,
        model=model,
        golden_faces=golden_faces,
        golden_logits={HEAD: golden},
        facts={
            "name": run.recipe.name + ("-int8" if int8 else ""),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "licence": licence,
            "precision": "int8" if int8 else "float32",
            "input_name": INPUT,
            "heads": [{"name": HEAD, "output": HEAD, "labels": list(run.label_set), "temperature": temperature}],
            "golden_tolerance": GOLDEN_TOLERANCE["int8" if int8 else "float32"],
            "training": _training(run, dataset),
            "metrics": metrics,
            "parity": parity,
            "versions": _versions(),
        },
    )


# The network


def fold(network: keras.Model, recipe: Recipe) -> keras.Model | None:
    """The same function with fewer steps, or None where a batch norm's scale is not positive.

    A convolution, then pooling, then a batch norm of positive scales, then ReLU answers as the scaled convolution,
    then ReLU, then pooling.

    Returns:
        Gray faces (N, 48, 48, 1) in 0..255 -> logits (N, K): convolutions and dense layers with bias, ReLU, pooling.
    """
    x = faces = keras.Input((SIDE, SIDE, 1), name=INPUT)
    parts = list[tuple[keras.layers.Layer, list[np.ndarray]]]()
    scale_in = network.get_layer("scale").scale
    for b, filters in enumerate(recipe.blocks, 1):
        for c, width in enumerate(filters, 1):
            kernel, bias = _folded(network, f"conv{b}_{c}", f"norm{b}_{c}")
            layer = keras.layers.Conv2D(width, 3, padding="same", activation="relu")
            x = layer(x)
            parts.append((layer, [kernel * scale_in, bias]))
            scale_in = 1.0
        x = keras.layers.MaxPooling2D()(x)
    # Flatten asks for the batch size while it runs, which takes ONNX six nodes more.
    x = keras.ops.reshape(x, (-1, math.prod(x.shape[1:])))
    for layer, name, norm in (
        (keras.layers.Dense(recipe.dense, activation="relu"), "dense", "norm_dense"),
        (keras.layers.Dense(network.output_shape[1]), "logits", None),
    ):
        x = layer(x)
        parts.append((layer, list(_folded(network, name, norm))))
    if not all(np.isfinite(value).all() for _, values in parts for value in values):
        return None
    for layer, values in parts:
        layer.set_weights([value.astype(np.float32) for value in values])
    return keras.Model(faces, x)


def _folded(network: keras.Model, name: str, norm: str | None) -> tuple[np.ndarray, np.ndarray]:
    """float64 kernel and bias of a layer with the batch norm after it; NaN where its scale is not positive."""
    layer = network.get_layer(name)
    kernel = _numpy(layer.kernel)
    bias = _numpy(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1])
    if norm is None:
        return kernel, bias
    after = network.get_layer(norm)
    scale = _numpy(after.gamma) / np.sqrt(_numpy(after.moving_variance) + after.epsilon)
    scale[scale <= 0] = np.nan
    return kernel * scale, (bias - _numpy(after.moving_mean)) * scale + _numpy(after.beta)


def to_onnx(network: keras.Model, num_classes: int) -> bytes:
    """An ONNX file of faces (N, 48, 48, 1) -> logits (N, K), its output named after the head."""
    import onnx

    signature = [keras.InputSpec(shape=(None, SIDE, SIDE, 1), dtype="float32", name=INPUT)]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of tf2onnx, about numpy
        path = Path(folder) / "model.onnx"
        network.export(path, format="onnx", verbose=False, input_signature=signature, opset_version=OPSET)
        model = onnx.load(path)
    made = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = [HEAD if name == made else name for name in node.output]
    for value, name, shape in (
        (model.graph.input[0], INPUT, ("N", SIDE, SIDE, 1)),
        (model.graph.output[0], HEAD, ("N", num_classes)),
    ):
        value.CopyFrom(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    return _tidy(model)


def _tidy(model: Any) -> bytes:
    """The bytes of an ONNX model in the form that `mien.onnx_file` takes."""
    import onnx

    used = {node.domain for node in model.graph.node}
    opsets = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    for tensor in model.graph.initializer:
        # One form of storage instead of the six that ONNX has.
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
    del model.graph.value_info[:]
    model.graph.name = "mien"
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def prove(network: keras.Model, model: bytes, where: Path) -> dict[str, Any]:
    """Compare Keras and ONNX Runtime on drawn and on random faces.

    Raises:
        BundleError: if any logit differs by more than `PARITY_ATOL`.
    """
    noise = np.random.default_rng(0).integers(0, 256, (32, SIDE, SIDE, 1), np.uint8)
    faces = np.concatenate([_golden_faces(), draw_faces(np.arange(16) % len(FER2013), seed=1), noise])
    worst = 0.0
    for size in PARITY_BATCHES:
        batch = faces[:size]
        difference = float(np.abs(_keras_logits(network, batch) - logits(model, batch, batch_size=size)).max())
        if not difference <= PARITY_ATOL:
            raise BundleError(
                where,
                "parity",
                came=f"logits of ONNX and Keras that differ by {difference:g} at batch {size}",
                expected=f"at most {PARITY_ATOL:g}",
                mend="report it with the output of mien doctor: the converter and this network do not agree",
            )
        worst = max(worst, difference)
    return {"batches": list(PARITY_BATCHES), "atol": PARITY_ATOL, "max_difference": worst, "of": "logits, Keras - ONNX"}


def quantise(model: bytes, dataset: Dataset) -> bytes:
    """Static int8: weights by output channel, activations unsigned, ranges from training faces of all classes."""
    import onnx

    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as mien.classify does
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    training = dataset.part("training")
    order = np.random.default_rng(0).permutation(len(training))[:NUM_CALIBRATION]

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches: Iterator[np.ndarray] = iter(
                [training.images[np.sort(part)] for part in np.array_split(order, -(-len(order) // 64))]
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch.astype(np.float32)}

    with tempfile.TemporaryDirectory() as folder:
        plain, ready, small = (str(Path(folder) / name) for name in ("plain.onnx", "ready.onnx", "small.onnx"))
        Path(plain).write_bytes(model)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        quantization.quantize_static(
            ready,
            small,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return _tidy(onnx.load(small))


def logits(model: bytes, faces: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
    """float32 (N, K): what an ONNX file answers to uint8 faces (N, 48, 48, 1), N >= 1."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as mien.classify does
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    parts = [
        session.run([HEAD], {INPUT: faces[start : start + batch_size].astype(np.float32)})[0]
        for start in range(0, len(faces), batch_size)
    ]
    return np.concatenate(parts)


def _keras_logits(network: keras.Model, faces: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(network(faces.astype(np.float32), training=False)))


def _golden_faces() -> np.ndarray:
    """uint8 (16, 48, 48, 1): two drawn faces of each expression, a black and a white square."""
    faces = draw_faces(np.arange(2 * len(FER2013)) % len(FER2013), seed=0)
    return np.concatenate([faces, np.zeros_like(faces[:1]), np.full_like(faces[:1], 255)])


def _numpy(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float64)


# The numbers


def fit_temperature(labels: np.ndarray, logits: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    Args:
        labels: int (n,), n >= 1, of rows the network was not trained on.
        logits: float32 (n, K).
    """
    from scipy.optimize import minimize_scalar

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(lambda x: nll(labels, logits, float(np.exp(x))), bounds=(low, high), method="bounded")
    return float(np.exp(found.x))


def nll(labels: np.ndarray, logits: np.ndarray, temperature: float) -> float:
    """Mean negative log-likelihood in nats of labels (n,) under softmax(logits / temperature)."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    own = scaled[np.arange(len(labels)), labels]
    return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - own))


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Share of rows whose likeliest class is the label, with Wilson's 95 % interval (Wilson 1927)."""
    n, share, z = len(labels), float(np.mean(probabilities.argmax(1) == labels)), 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return {"accuracy": {"value": share, "low": middle - half, "high": middle + half}}


def _score(model: bytes, dataset: Dataset, measure: Measure, plain: bytes | None) -> tuple[float, dict[str, Any]]:
    """Temperature, and for validation and test n and scores of the file that is written (`plain`: before int8)."""
    parts = {split: dataset.part(split) for split in ("validation", "test")}
    parts = {split: part for split, part in parts.items() if len(part)}
    answers = {split: logits(model, part.images) for split, part in parts.items()}
    temperature = 1.0
    if "validation" in parts:
        temperature = fit_temperature(parts["validation"].labels, answers["validation"])
    metrics = dict[str, Any]()
    for split, part in parts.items():
        found = answers[split]
        metrics[split] = {
            "n": len(part),
            **measure(part.labels, softmax(found, temperature)),
            "nll_uncalibrated": nll(part.labels, found, 1.0),
            "nll_calibrated": nll(part.labels, found, temperature),
        }
        if plain is not None:
            before = logits(plain, part.images).argmax(1)
            wins = int(np.sum((before == part.labels) & (found.argmax(1) != part.labels)))
            losses = int(np.sum((before != part.labels) & (found.argmax(1) == part.labels)))
            metrics[split]["int8_cost"] = {
                "accuracy_float32": float(np.mean(before == part.labels)),
                "accuracy_lost": (wins - losses) / len(part),
                "only_float32_right": wins,
                "only_int8_right": losses,
                "answers_changed": int(np.sum(before != found.argmax(1))),
            }
    return temperature, metrics


def _training(run: Run, dataset: Dataset | None) -> dict[str, Any]:
    facts = run.facts
    names = ("epochs", "best_epoch", "stopped", "parameters", "multiply_adds", "deterministic", "mien", "versions")
    return {
        "recipe": run.recipe.to_dict(),
        # A name, not a path: bundles are given away.
        "data": {**facts["data"], "source": Path(facts["data"]["source"]).name},
        "measured_on": None if dataset is None else dataset.fingerprint,
        **{name: facts[name] for name in names if name in facts},
    }


def _versions() -> dict[str, str]:
    found = {"mien": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
