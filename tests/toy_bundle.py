"""A tiny network made by hand, and bundles of it, honest and tampered with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mien.bundle import Bundle, schema, write_bundle
from mien.bundle.files import FACTS, GOLDEN, MODEL, npz_bytes, zip_bytes
from mien.labels import FER2013

WEIGHTS = {
    "expression": np.random.default_rng(0).normal(0, 1e-4, (2304, 7)).astype(np.float32),
    "mood": np.random.default_rng(1).normal(0, 1e-4, (2304, 2)).astype(np.float32),
}
LABELS = {"expression": list(FER2013), "mood": ["low", "high"]}
FACES = np.random.default_rng(2).integers(0, 256, (5, 48, 48, 1), np.uint8)


def answers(name: str, faces: np.ndarray) -> np.ndarray:
    """What the network must answer, by numpy."""
    return np.asarray(faces.reshape(-1, 2304).astype(np.float32) @ WEIGHTS[name])


def toy_model(heads: tuple[str, ...] = ("expression",)) -> onnx.ModelProto:
    nodes = [helper.make_node("Reshape", ["faces", "flat"], ["pixels"])]
    weights = [numpy_helper.from_array(np.array([-1, 2304], np.int64), "flat")]
    for name in heads:
        nodes.append(
            helper.make_node("MatMul", ["pixels", f"w_{name}"], [name], name=f"dense_{name}")
        )
        weights.append(numpy_helper.from_array(WEIGHTS[name], f"w_{name}"))
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("faces", TensorProto.FLOAT, ("N", 48, 48, 1))],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ("N", len(LABELS[name])))
            for name in heads
        ],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def toy_facts(heads: tuple[str, ...] = ("expression",), temperature: float = 0.5) -> dict[str, Any]:
    return {
        "name": "toy",
        "licence": "MIT",
        "precision": "float32",
        "input_name": "faces",
        "heads": [
            {"name": name, "output": name, "labels": LABELS[name], "temperature": temperature}
            for name in heads
        ],
        "golden_tolerance": 1e-4,
        "training": {"data": {"fingerprint": "0123456789abcdef"}},
        "metrics": {"validation": {"n": 5, "accuracy": {"value": 0.5, "low": 0.1, "high": 0.9}}},
        "parity": {"max_difference": 0.0},
        "versions": {"mien": "0"},
    }


def toy_answer(**changes: Any) -> dict[str, Any]:
    """The answer of the first head under the prior `plain`, as bundle.json holds it."""
    rule = {
        "class_shares": None,
        "weights": {"expression": 1},
        "log_factors": dict.fromkeys(FER2013, 0.0),
        "temperature": 1,
        "certain_from": 0.5,
    }
    return {"default": "plain", "priors": {"plain": rule | changes}}


def write_toy(target: Path, heads: tuple[str, ...] = ("expression",), **changes: Any) -> Bundle:
    return write_bundle(
        target,
        model=toy_model(heads).SerializeToString(),
        golden_faces=FACES,
        golden_logits={name: answers(name, FACES) for name in heads},
        facts={**toy_facts(heads), **changes},
    )


def rewrite(
    folder: Path,
    facts: Callable[[dict[str, Any]], object] | None = None,
    model: bytes | None = None,
    golden: Mapping[str, np.ndarray] | bytes | None = None,
) -> None:
    """Change a bundle and make its hashes fit again, as one would who means harm."""
    found = json.loads((folder / FACTS).read_text())
    if model is not None:
        (folder / MODEL).write_bytes(model)
    if golden is not None:
        (folder / GOLDEN).write_bytes(golden if isinstance(golden, bytes) else npz_bytes(golden))
    for name in (MODEL, GOLDEN):
        data = (folder / name).read_bytes()
        found["files"][name] = {"bytes": len(data), "sha256": schema.sha256_of(data)}
    if facts is not None:
        facts(found)
    found["sha256"] = schema.hash_of(found)
    (folder / FACTS).write_text(json.dumps(found))


def zipped(folder: Path, target: Path) -> Path:
    target.write_bytes(
        zip_bytes({name: (folder / name).read_bytes() for name in (FACTS, MODEL, GOLDEN)})
    )
    return target
