"""What folding batch norm into the convolutions gains on export: the same network as it was
trained, and folded.

    python benchmarks/folding.py [--recipe small]

The network has random weights, which cost as much as trained ones. Both forms are converted to
ONNX, in float32 and int8, and take turns in ONNX Runtime, one thread, at batch 1 and 64; the figure
is the median round, in processor time.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import harness
import numpy as np

from mien import runtime
from mien.data.synthetic import drawn_dataset

BATCHES = (1, 64)


def main() -> None:
    parser = harness.parser(__doc__)
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
        sessions[f"float32, {name}"] = runtime.onnx_session(plain, 1)
        sessions[f"int8, {name}"] = runtime.onnx_session(onnx_graph.quantise(plain, dataset), 1)
    for batch in BATCHES:
        faces = {onnx_graph.INPUT: dataset.images[:batch].astype(np.float32)}
        rates = {
            name: harness.timed(partial(one.run, None, faces), batch, time.process_time)
            for name, one in sessions.items()
        }
        speeds = harness.in_turns(rates, options.rounds, options.seconds)
        for kind in ("float32", "int8"):
            before, after = (1000 / speeds[f"{kind}, {form}"] for form in ("as trained", "folded"))
            print(
                f"{kind:8s} batch {batch:2d}: {before:.3f} ms a face, folded {after:.3f}, ratio "
                f"{before / after:.2f}"
            )


if __name__ == "__main__":
    main()
