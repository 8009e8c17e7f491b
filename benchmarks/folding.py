"""What folding batch norm into the convolutions gains on export: the same network as it was
trained, and folded.

    python benchmarks/folding.py [--recipe small]

The network has random weights, which cost as much as trained ones. Both forms are converted to
ONNX, in float32 and int8, and take turns in ONNX Runtime, one thread, at batch 1 and 64; the figure
is the median round, in processor time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from mien import runtime
from mien.data.synthetic import drawn_dataset

BATCHES = (1, 64)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each round")
    options = parser.parse_args()
    runtime.import_tensorflow()
    import keras

    from mien.training import folding, onnx_graph
    from mien.training.models import build, heads, logits_of
    from mien.training.recipes import recipe

    dataset = drawn_dataset(600, 70, 70, seed=0)
    chosen = recipe(options.recipe)
    keras.utils.set_random_seed(0)
    network = build(chosen, dataset.label_set)
    found = heads(chosen, dataset.label_set)
    folded = folding.fold(network, chosen, found)
    if folded is None:
        raise SystemExit(f"{options.recipe}: got a network that cannot be folded")
    sessions: dict[str, Any] = {}
    for name, model in (("as trained", logits_of(network)), ("folded", folded)):
        plain = onnx_graph.to_onnx(model, found)
        sessions[f"float32, {name}"] = session(plain)
        sessions[f"int8, {name}"] = session(onnx_graph.quantise(plain, dataset))
    for batch in BATCHES:
        faces = {onnx_graph.INPUT: dataset.images[:batch].astype(np.float32)}
        rounds = [
            {
                name: milliseconds(one, faces, options.seconds) / batch
                for name, one in sessions.items()
            }
            for _ in range(options.rounds + 1)
        ]
        medians = {name: statistics.median(one[name] for one in rounds[1:]) for name in sessions}
        for kind in ("float32", "int8"):
            before, after = medians[f"{kind}, as trained"], medians[f"{kind}, folded"]
            print(
                f"{kind:8s} batch {batch:2d}: {before:.3f} ms a face, folded {after:.3f}, ratio {before / after:.2f}"
            )


def session(model: bytes) -> Any:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.log_severity_level = 3
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def milliseconds(one: Any, faces: dict[str, np.ndarray], seconds: float) -> float:
    """Processor time of a call."""
    began, num = time.process_time(), 0
    while time.process_time() - began < seconds:
        one.run(None, faces)
        num += 1
    return 1000 * (time.process_time() - began) / num


if __name__ == "__main__":
    main()
