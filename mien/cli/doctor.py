"""Facts for a bug report: versions, processor, backend, and the data that would be used."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

from mien import __version__, runtime
from mien.bundle import open_bundle
from mien.bundle.classifier import Classifier
from mien.data.readers import find_data
from mien.errors import MienError
from mien.runtime import cores, has_bf16, processor
from mien.text_table import aligned
from mien.vision.detect import mtcnn_is_installed
from mien.vision.yunet import YuNet
from mien.vision.yunet_weights import kept_weights

PACKAGES = (
    "numpy", "pillow", "opencv-python-headless", "onnxruntime", "pooch", "typer", "rich", "mtcnn",
    "av", "pyarrow", "keras", "tensorflow-cpu", "tensorflow", "pandas", "scikit-learn", "mlxtend",
    "matplotlib", "jinja2", "filelock", "kagglehub", "tensorboard",
)  # fmt: skip
NOT_INSTALLED = "not installed"


def examine() -> tuple[dict[str, Any], str]:
    """Facts as JSON-able values, and as text."""
    versions = {name: _version(name) for name in PACKAGES}
    facts: dict[str, Any] = {
        "mien": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": processor(),
        "threads": cores(),
        "bf16_instructions": has_bf16(),
        "backend": _backend(),
        "data": _data(),
        "network": _network(),
        "face detector": _detector(),
        "packages": versions,
    }
    rows = [(name, _words(value)) for name, value in facts.items() if name != "packages"]
    rows += [(f"package {name}", version) for name, version in versions.items()]
    return facts, "\n".join(aligned(rows, num_left=2))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return NOT_INSTALLED


def _words(value: object) -> str:
    return (
        {True: "yes", False: "no", None: "unknown"}.get(value, str(value))
        if isinstance(value, bool | None)
        else str(value)
    )


def _backend() -> str:
    try:
        runtime.import_tensorflow()
        import tensorflow as tf
    except ImportError:
        return "none: TensorFlow is not installed (mien's extra [train])"
    gpus = len(tf.config.list_physical_devices("GPU"))
    return f"TensorFlow {tf.__version__}, {gpus} GPU(s)"


def _network() -> str:
    """The network that comes with mien, and how far its answers here are from those it was packed
    with.
    """
    try:
        bundle = open_bundle()
        with Classifier(bundle) as classify:
            difference = classify.replay_goldens()
    except MienError as error:
        return f"error: {error}"
    sound = (
        "as packed"
        if difference <= bundle.golden_tolerance
        else "NOT as packed: please report this"
    )
    return (
        f"{bundle.name} {bundle.digest[:16]}, answers differ by at most {difference:.1e}: {sound}"
    )


def _detector() -> str:
    """Which detector would find faces now; nothing is downloaded."""
    try:
        kept = kept_weights()
        if kept is not None:
            return f"{YuNet(kept).name}, {kept}"
    except MienError as error:
        return f"error: {error}"
    other = "MTCNN if it fails" if mtcnn_is_installed() else "and MTCNN is not installed"
    return f"YuNet, to be downloaded when first needed (230 KB); {other}"


def _data() -> str:
    try:
        path = find_data()
    except MienError as error:
        return f"error: {error}"
    return str(path) if path else "none found: the embedded drawn faces would be used"
