"""Convert a Keras network to ONNX, and store its weights in 16 or 8 bits."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mien.data.dataset import Dataset
from mien.errors import BundleError
from mien.labels import LabelSet

INPUT = "faces"
OPSET = 15  # the opset that Keras 3.15.1 requests from tf2onnx
NUM_CALIBRATION = 512  # training faces that set the ranges of int8
SMALL = 1_000  # values; smaller tensors, such as biases, stay float32


def to_onnx(network: keras.Model, heads: Mapping[str, LabelSet]) -> bytes:
    """Convert a network to ONNX.

    Args:
        network: Faces (N, S, S, 1) -> logits (N, K) by head.
        heads: Head name -> labels.

    Returns:
        The ONNX file, with the input `faces` float32 and an output for each head, by its name.
    """
    import onnx

    side = network.input_shape[1]
    signature = [keras.InputSpec(shape=(None, side, side, 1), dtype="float32", name=INPUT)]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of tf2onnx, about numpy
        path = Path(folder) / "model.onnx"
        # A list: outputs in a dict would be sorted by name.
        ordered = keras.Model(network.input, [network.output[name] for name in heads])
        ordered.export(
            path, format="onnx", verbose=False, input_signature=signature, opset_version=OPSET
        )
        model = onnx.load(path)
    renamed = {value.name: name for value, name in zip(model.graph.output, heads, strict=True)}
    for node in model.graph.node:
        node.output[:] = [renamed.get(name, name) for name in node.output]
    outputs = zip(model.graph.output, heads.items(), strict=True)
    for value, name, shape in (
        (model.graph.input[0], INPUT, ("N", side, side, 1)),
        *((value, name, ("N", len(labels))) for value, (name, labels) in outputs),
    ):
        value.CopyFrom(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    return _tidy(model)


def _tidy(model: Any) -> bytes:
    """The bytes of an ONNX model in the form that `mien.bundle.onnx_file` accepts."""
    import onnx

    used = {node.domain for node in model.graph.node}
    opsets = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    for tensor in model.graph.initializer:
        # Raw bytes, one of the six ways in which ONNX can store a tensor.
        tensor.CopyFrom(
            onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name)
        )
    _pads_into_convolutions(model.graph)
    del model.graph.value_info[:]
    model.graph.name = "mien"
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _pads_into_convolutions(graph: Any) -> None:
    """Merge each Pad of zeros into the convolution that reads it: bundles may not contain Pad
    (`mien.bundle.onnx_file`).
    """
    import onnx

    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for pad in [node for node in graph.node if node.op_type == "Pad"]:
        readers = [node for node in graph.node if pad.output[0] in node.input]
        pads = values.get(pad.input[1], np.ones(8, np.int64)).astype(int)
        if (
            len(readers) != 1
            or readers[0].op_type != "Conv"
            or len(pads) != 8
            or any(pads[[0, 1, 4, 5]])  # of the batch or the channels
        ):
            continue  # `open_bundle` refuses the Pad by name
        attributes = {each.name: each for each in readers[0].attribute}
        own = list(attributes["pads"].ints) if "pads" in attributes else [0] * 4
        kept = [each for name, each in attributes.items() if name not in ("pads", "auto_pad")]
        del readers[0].attribute[:]
        total = [int(a + b) for a, b in zip(own, pads[[2, 3, 6, 7]], strict=True)]
        readers[0].attribute.extend([*kept, onnx.helper.make_attribute("pads", total)])
        readers[0].input[0] = pad.input[0]
        graph.node.remove(pad)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def quantise(model: bytes, dataset: Dataset) -> bytes:
    """Quantise an ONNX file to int8, statically, with ranges from training faces.

    Weights are scaled by output channel and have 7 bits: on processors without VNNI the sum of two
    8-bit products overflows silently. Activations are unsigned.
    """
    import onnx

    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as mien.bundle.classifier does
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    training = dataset.part("training")
    order = np.random.default_rng(0).permutation(len(training))[:NUM_CALIBRATION]

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches: Iterator[np.ndarray] = iter(
                [
                    training.images[np.sort(part)]
                    for part in np.array_split(order, -(-len(order) // 64))
                ]
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch.astype(np.float32)}

    with tempfile.TemporaryDirectory() as folder:
        plain, ready, small = (
            str(Path(folder) / name) for name in ("plain.onnx", "ready.onnx", "small.onnx")
        )
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
            reduce_range=True,
        )
        return _tidy(onnx.load(small))


def halve(model: bytes, where: Path) -> bytes:
    """Store the weights of an ONNX file as float16.

    Each gets a Cast to float32, which ONNX Runtime computes once, when it opens the file.

    Args:
        model: The ONNX file.
        where: The bundle's path, for the error.

    Raises:
        BundleError: if a weight is too large for float16.
    """
    import onnx

    proto = onnx.load_from_string(model)
    casts = []
    for tensor in proto.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALL:
            continue
        if not (largest := float(np.abs(values).max())) <= float(np.finfo(np.float16).max):
            raise BundleError(
                where,
                tensor.name,
                got=f"a weight of {largest:g}",
                expected="at most 65504, which 16-bit floats can hold",
                fix="export without --half",
            )
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(
            onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return _tidy(proto)
