"""Faces and frames for tests of what holds them and writes them: valid ones, any field of which can
be changed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.labels import FER2013
from mien.results import Face, Frame, Quality

PROBABILITIES = (0.05, 0.0, 0.05, 0.7, 0.1, 0.05, 0.05)
POINTS = ((30.0, 40.0), (70.0, 40.0), (50.0, 60.0), (35.0, 80.0), (65.0, 80.0))


def face(**changes: Any) -> Face:
    values: dict[str, Any] = {
        "box": (10, 20, 90, 110.5),
        "score": 0.93,
        "landmarks": POINTS,
        "label": "happy",
        "probabilities": PROBABILITIES,
        "entropy": 0.4,
        "quality": Quality(80, 12.5, 0.1, 0.4),
        "pose": (12.0, -5.0, -3.0),
    }
    values |= changes
    for name in ("probabilities", "raw"):  # given as rows
        if isinstance(values.get(name), tuple | np.ndarray):
            values[name] = dict(zip(FER2013.names, values[name], strict=False))
    return Face(**values)


def random_face(seed: int, **changes: Any) -> Face:
    """Numbers with all the digits of a 32-bit float."""
    generator = np.random.default_rng(seed)
    values: dict[str, Any] = {
        "probabilities": tuple(generator.dirichlet(np.ones(7)).astype(np.float32)),
        "box": tuple(generator.uniform(0, 9, 2).astype(np.float32)) + (100, 120),
        "score": np.float32(0.9),
    }
    values["label"] = FER2013.names[int(np.argmax(values["probabilities"]))]
    return face(**(values | changes))


def frame(*faces: Face, **changes: Any) -> Frame:
    values: dict[str, Any] = {
        "source": "a.jpg",
        "index": 0,
        "time_s": None,
        "width": 640,
        "height": 480,
    }
    return Frame(**(values | {"detector": "yunet", "faces": faces} | changes))
