"""Facial expression recognition that one can train, measure, trust and use.

Public names are loaded on first use, so `import mien` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Bundle": "mien.bundle",
    "Dataset": "mien.data.dataset",
    "Evaluation": "mien.evaluation.evaluate",
    "Face": "mien.results",
    "Frame": "mien.results",
    "Frames": "mien.results",
    "LabelSet": "mien.labels",
    "MienError": "mien.errors",
    "Predictions": "mien.evaluation.evaluate",
    "Recipe": "mien.training.recipe",
    "Recognizer": "mien.recognizer",
    "Run": "mien.training.runs",
    "evaluate": "mien.evaluation.evaluate",
    "fit": "mien.training.fit",
    "load": "mien.recognizer",
    "load_dataset": "mien.data.readers",
    "load_run": "mien.training.runs",
    "open_bundle": "mien.bundle",
    "predictions": "mien.evaluation.predictions",
    "recipe": "mien.training.recipes",
    "watch": "mien.video.recognize",
    "write_report": "mien.evaluation.report",
}

if TYPE_CHECKING:
    from mien.bundle import Bundle, open_bundle
    from mien.data.dataset import Dataset
    from mien.data.readers import load_dataset
    from mien.errors import MienError
    from mien.evaluation.evaluate import Evaluation, Predictions, evaluate
    from mien.evaluation.predictions import predictions
    from mien.evaluation.report import write_report
    from mien.labels import LabelSet
    from mien.recognizer import Recognizer, load
    from mien.results import Face, Frame, Frames
    from mien.training.fit import fit
    from mien.training.recipe import Recipe
    from mien.training.recipes import recipe
    from mien.training.runs import Run, load_run
    from mien.video.recognize import watch

__all__ = [
    "Bundle",
    "Dataset",
    "Evaluation",
    "Face",
    "Frame",
    "Frames",
    "LabelSet",
    "MienError",
    "Predictions",
    "Recipe",
    "Recognizer",
    "Run",
    "__version__",
    "evaluate",
    "fit",
    "load",
    "load_dataset",
    "load_run",
    "open_bundle",
    "predictions",
    "recipe",
    "watch",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(
            f"module 'mien' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    try:
        return getattr(importlib.import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "mien":
            raise
        from mien.errors import MissingExtraError

        raise MissingExtraError(error.name, "train") from error


def __dir__() -> list[str]:
    return __all__
