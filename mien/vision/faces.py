"""Build the faces of a picture from detections, crops and probabilities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mien.labels import LabelSet
from mien.results import Face, Faces
from mien.results.mappings import values_by_name
from mien.vision import quality
from mien.vision.detections import Detections
from mien.vision.head_pose import head_pose

Prediction = tuple[LabelSet, np.ndarray]  # labels, and their probabilities float32 (F, K)


def make_faces(
    detections: Detections,
    crops: np.ndarray,
    prediction: Prediction,
    heads: Mapping[str, Prediction],
    *,
    certain_from: float,
) -> Faces:
    """The faces of one picture, in the order of their detections.

    Args:
        detections: F boxes, with landmarks or without.
        crops: The faces as the network sees them, uint8 (F, S, S, 1).
        prediction: Labels and probabilities of the faces.
        heads: The same of each head, by name.
        certain_from: Lowest probability of the likeliest label in a certain prediction.
    """
    labels, probabilities = prediction
    faces = Faces(labels=labels.names, heads={n: its.names for n, (its, _) in heads.items()})
    for i, (box, score) in enumerate(zip(detections.boxes, detections.scores, strict=True)):
        p = probabilities[i]
        points = None if detections.landmarks is None else detections.landmarks[i]
        face_quality = quality.measure(box, points, crops[i])
        reason = quality.doubt(float(p.max()), face_quality, certain_from, score=float(score))
        x0, y0, x1, y1 = (float(value) for value in box)
        faces.append(
            Face(
                box=(x0, y0, x1, y1),
                score=float(score),
                landmarks=None
                if points is None
                else tuple((float(x), float(y)) for x, y in points),
                label=labels[int(p.argmax())],
                probabilities=values_by_name(labels.names, p),
                entropy=entropy(p),
                quality=face_quality,
                uncertain=bool(reason),
                reason=reason,
                heads={
                    name: values_by_name(its.names, rows[i]) for name, (its, rows) in heads.items()
                },
                pose=None if points is None else head_pose(points),
                crop=crops[i].copy(),  # not a view, which would keep all of them in memory
            )
        )
    return faces


def entropy(p: np.ndarray) -> float:
    """Entropy of probabilities (K,) relative to a uniform distribution: 0 certain, 1 uniform."""
    inside = p[p > 0].astype(np.float64)
    return float(min(1.0, max(0.0, -(inside * np.log(inside)).sum() / np.log(len(p)))))
