"""What a bug report needs: versions, processor, backend, and the data that would be found."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

from mien import __version__
from mien.data.readers import find_data
from mien.errors import MienError
from mien.evaluation.evaluate import cores, cpuinfo, processor
from mien.training import quiet

PACKAGES = (
    "numpy", "pillow", "opencv-python-headless", "typer", "rich",
    "keras", "tensorflow-cpu", "tensorflow", "pandas", "scikit-learn", "mlxtend", "matplotlib", "jinja2",
    "filelock", "kagglehub", "tensorboard",
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
        "bf16_instructions": _has_bf16(),
        "backend": _backend(),
        "data": _data(),
        "packages": versions,
    }
    rows = [(name, _words(value)) for name, value in facts.items() if name != "packages"]
    rows += [(f"package {name}", version) for name, version in versions.items()]
    width = max(len(name) for name, _ in rows)
    return facts, "\n".join(f"{name.ljust(width)}  {value}" for name, value in rows)


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


def _has_bf16() -> bool | None:
    """Whether the processor multiplies bfloat16; None where the system does not tell."""
    flags = cpuinfo()
    return None if not flags else any(name in flags for name in ("avx512_bf16", "amx_bf16", "asimdbf16", " bf16"))


def _backend() -> str:
    try:
        quiet.import_tensorflow()
        import tensorflow as tf
    except ImportError:
        return "none: TensorFlow is not installed (pip install 'mien[train]')"
    gpus = len(tf.config.list_physical_devices("GPU"))
    return f"TensorFlow {tf.__version__}, {gpus} GPU(s)"


def _data() -> str:
    try:
        found = find_data()
    except MienError as error:
        return f"error: {error}"
    return str(found) if found else "none found: the embedded drawn faces would be used"
