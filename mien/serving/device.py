"""The device document: the constants with which a browser computes the same as the library.

The page's device mode computes everything in JavaScript. Its numbers (labels, temperatures, answer
rules, crop geometry, thresholds, golden faces) come from here, so each is defined only once.
"""

from __future__ import annotations

import base64
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mien import __version__
from mien.bundle import Head
from mien.bundle.tta import VIEWS
from mien.recognizer import Recognizer
from mien.results import Face, Frame, Quality
from mien.results.columns import column_kinds
from mien.vision import align, detections, head_pose, quality, yunet

# Only its fields and defaults matter.
_A_FACE = Face((0, 0, 1, 1), 1, None, "a", {"a": 1, "b": 0}, 0, Quality(1, 1))
RUNTIME = Path(__file__).parent / "page" / "vendor" / "ort" / "ort-wasm-simd-threaded.wasm"


def device_document(
    recognizer: Recognizer, *, max_faces: int = 64, max_pixels: int = 25_000_000
) -> dict[str, Any]:
    """The model as data for JSON.

    Args:
        recognizer: The server's recognizer.
        max_faces: Faces in the result for one picture, those with the best detection score.
        max_pixels: Width times height of one picture.
    """
    bundle, detector = recognizer.bundle, recognizer.detector
    labels = recognizer.labels
    return {
        "mien": __version__,
        "missing": missing(recognizer),
        "name": bundle.name,
        "digest": bundle.digest,
        "licence": bundle.licence,
        "input": {"name": bundle.input_name, "side": bundle.side},
        "heads": [_head(head) for head in bundle.heads],
        "rules": [asdict(rule) for rule in bundle.rules.values()],
        "views": VIEWS,
        "golden": {
            "faces": base64.b64encode(bundle.golden_faces.tobytes()).decode(),
            "logits": {name: rows.tolist() for name, rows in bundle.golden_logits.items()},
            "answers": {prior: rows.tolist() for prior, rows in bundle.golden_answers.items()},
            "tolerance": bundle.golden_tolerance,
        },
        "detector": {
            "name": detector.name,
            "max_side": yunet.MAX_SIDE,
            "min_score": yunet.MIN_SCORE,
            "first_side": yunet.FIRST_SIDE,
            "large_px": yunet.LARGE_PX,
            "seen_px": yunet.VISIBLE_PX,
            "sure": yunet.HIGH_SCORE,
            "same": detections.SAME_FACE_IOU,
        },
        "geometry": asdict(align.GEOMETRIES["yunet"]),
        "head": {"mean_face": head_pose.MEAN_FACE.tolist(), "far": head_pose.CAMERA_DISTANCE},
        "quality": {
            "min_score": quality.MIN_SCORE,
            "min_brightness": quality.MIN_BRIGHTNESS,
            "min_size_px": quality.MIN_SIZE_PX,
            "max_turn": quality.MAX_TURN,
        },
        "colours": {name: labels.colour(i) for i, name in enumerate(labels)},
        "columns": column_kinds(
            list(labels),
            heads={name: list(head) for name, head in recognizer.heads.items()},
            raw=True,
        ),
        "empty_frame": Frame("", 0, None, 0, 0, "").to_dict(),
        "empty_face": _A_FACE.to_dict(),
        "max_faces": max_faces,
        "max_pixels": max_pixels,
        "training": {
            key: bundle.training.get(key)
            for key in ("parameters", "data")
            if bundle.training.get(key)
        },
        "metrics": {split: dict(facts) for split, facts in bundle.metrics.items()},
        "measured": bundle.facts.get("answer", {}).get("measured", {}),
    }


def _head(head: Head) -> dict[str, Any]:
    return {
        "name": head.name,
        "output": head.output,
        "labels": list(head.labels),
        "temperature": head.temperature,
        "temperature_best": head.temperature_best,
    }


def missing(recognizer: Recognizer) -> str:
    """Why this server's page cannot recognise faces in the browser; '' if it can."""
    if recognizer.detector.geometry != "yunet":
        return (
            f"Faces are found by {recognizer.detector.name} here, and only YuNet runs in a "
            "browser. To add it, start the server with --detector yunet."
        )
    if not RUNTIME.is_file():
        return (
            "This build has no onnxruntime-web. To add it, run make vendor in the source and "
            "install it again."
        )
    return ""
