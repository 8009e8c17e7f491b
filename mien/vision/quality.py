"""The quality of a face's picture, and when a prediction is uncertain."""

from __future__ import annotations

import cv2
import numpy as np

from mien.results import Quality
from mien.results.types import NO_FACE
from mien.vision.align import turn_aside
from mien.vision.preprocess import resized

# A prediction is uncertain if one of these holds; docs/photos.md has the costs and gains.
MIN_SIZE_PX = 24.0  # shorter side of the box; the networks see 48 x 48
MAX_TURN = 0.65
# A box is perhaps no face if the detector's score and the probability are low, or if it is nearly
# black.
MIN_SCORE = 0.78
MIN_BRIGHTNESS = 0.06


def measure(box: np.ndarray, landmarks: np.ndarray | None, crop: np.ndarray) -> Quality:
    """Size, sharpness, turn and brightness of one face.

    Args:
        box: float (4,), x0 y0 x1 y1 in pixels of the picture.
        landmarks: float (5, 2) or None; right eye, left eye, nose tip, mouth corners.
        crop: uint8 (S, S, 1), the face as the network sees it. Sharpness is that at 48 pixels.
    """
    gray = resized(crop[..., 0]).astype(np.float32)
    contrast = float(gray.std())
    sharpness = float(cv2.Laplacian(gray, cv2.CV_32F).std() / contrast) if contrast > 0 else 0.0
    size = float(min(box[2] - box[0], box[3] - box[1]))
    return Quality(
        size_px=size,
        sharpness=sharpness,
        turn=None if landmarks is None else float(turn_aside(landmarks[None])[0]),
        brightness=float(gray.mean() / 255),
    )


def doubt(probability: float, quality: Quality, certain_from: float, *, score: float = 1.0) -> str:
    """The reasons why a prediction is uncertain, as text; '' if it is certain.

    Args:
        probability: The calibrated probability of the likeliest label.
        quality: As measured by `measure`.
        certain_from: Lowest probability of a certain prediction (`mien.bundle.answer.AnswerRule`).
        score: The detector's score, 0 to 1.
    """
    reasons = []
    is_dark = quality.brightness is not None and quality.brightness < MIN_BRIGHTNESS
    if is_dark or (probability < certain_from and score < MIN_SCORE):
        reasons.append(NO_FACE)
    if probability < certain_from:
        reasons.append(f"no label reaches {certain_from:.0%}")
    if quality.size_px < MIN_SIZE_PX:
        reasons.append(f"face smaller than {MIN_SIZE_PX:.0f} pixels")
    if quality.turn is not None and quality.turn > MAX_TURN:
        reasons.append("face turned away")
    return "; ".join(reasons)
