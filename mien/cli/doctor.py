"""Facts for a bug report: versions, processor, backend, default data."""

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
from mien.vision.yunet_weights import local_weights

PACKAGES = (
    "numpy", "pillow", "opencv-python-headless", "onnxruntime", "pooch", "typer", "rich", "mtcnn",
    "av", "pyarrow", "keras", "tensorflow-cpu", "tensorflow", "pandas", "scikit-learn", "mlxtend",
    "matplotlib", "jinja2", "filelock", "kagglehub", "tensorboard",
)  # fmt: skip
NOT_INSTALLED = "not installed"


def examine() -> tuple[dict[str, Any], str]:
    """The facts as values for JSON, and as text."""
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
    """The network that comes with mien, and whether its predictions here equal the stored ones."""
    try:
        bundle = open_bundle()
        with Classifier(bundle) as classify:
            difference = classify.replay_goldens()
    except MienError as error:
        return f"error: {error}"
    verdict = (
        "within tolerance"
        if difference <= bundle.golden_tolerance
        else "TOO LARGE, please report this"
    )
    return (
        f"{bundle.name} {bundle.digest[:16]}, largest difference from the stored probabilities "
        f"{difference:.1e}: {verdict}"
    )


def _detector() -> str:
    """The face detector that would be used; nothing is downloaded."""
    try:
        weights = local_weights()
        if weights is not None:
            return f"{YuNet(weights).name}, {weights}"
    except MienError as error:
        return f"error: {error}"
    fallback = "MTCNN if it fails" if mtcnn_is_installed() else "and MTCNN is not installed"
    return f"YuNet, to be downloaded when first needed (230 KB); {fallback}"


def _data() -> str:
    try:
        path = find_data()
    except MienError as error:
        return f"error: {error}"
    return str(path) if path else "none found: the built-in drawn faces would be used"
