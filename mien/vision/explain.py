"""Occlusion maps: which parts of a face a prediction depends on.

A patch of the face is replaced by a blurred copy of itself and the face is classified again. If the
label's score falls, the patch supported the label (Zeiler and Fergus 2014,
https://arxiv.org/abs/1311.2901). This needs only predictions, so it works with any network. It
shows what this network uses, not why the face has that expression.

A score is a probability, or its log-odds. Near 100 % no single patch changes the probability much,
but the log-odds still show which patches the label depends on.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from mien.constants import FACE_SIDE
from mien.errors import UsageError

PATCH = 12  # pixels of a face of 48 x 48, as are the next two
STRIDE = 3
_BLUR = 8.0  # standard deviation: removes details, keeps brightness
_FOR, _AGAINST = (230, 159, 0), (86, 180, 233)  # orange and sky blue of Okabe and Ito
# Maps whose strongest value is below this are drawn paler: for probabilities, and for log-odds.
FAINT, FAINT_LOG_ODDS = 0.02, 0.2
_MIN_PROBABILITY = 1e-9  # a probability of 0 counts as this in log-odds


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)) of probabilities (N, K), float64 (N, K) from -20.7 to 20.7.

    1 - p is the sum of the other probabilities, which is exact where p rounds to 1.
    """
    p = np.maximum(probabilities.astype(np.float64), _MIN_PROBABILITY)
    others = np.stack([np.delete(p, k, axis=1).sum(axis=1) for k in range(p.shape[1])], axis=1)
    return np.asarray(np.log(p) - np.log(others))


def occlusion_map(
    classify: Callable[[np.ndarray], np.ndarray], face: np.ndarray, index: int
) -> np.ndarray:
    """How much each part of a face contributes to the score of a label.

    Args:
        classify: uint8 (N, S, S, 1) -> float (N, K) scores: probabilities, or their `log_odds`.
        face: uint8 (S, S, 1), S a multiple of 48, or nearly.
        index: Position of the label among the K.

    Returns:
        float32 (S, S): mean decrease of the score over the patches that cover a pixel; positive
        where the face supports the label.

    Raises:
        UsageError: if the face has another shape or dtype.
    """
    if face.dtype != np.uint8 or face.ndim != 3 or face.shape[2] != 1:
        raise UsageError(
            f"face: got {face.dtype} {face.shape}; expected uint8 (48, 48, 1). Fix: give a face as "
            "the network sees it"
        )
    side = face.shape[0]
    scale = max(1, round(side / FACE_SIDE))
    patch, stride = PATCH * scale, STRIDE * scale
    blurred = cv2.GaussianBlur(face[..., 0], (0, 0), _BLUR * scale)
    # Patches extend beyond the edge, so that each pixel is covered equally often.
    starts = range(stride - patch, side, stride)
    places = [
        (slice(max(0, y), min(side, y + patch)), slice(max(0, x), min(side, x + patch)))
        for y in starts
        for x in starts
    ]
    occluded = np.repeat(face[None], len(places) + 1, axis=0)
    for number, place in enumerate(places):
        occluded[number, ..., 0][place] = blurred[place]
    scores = classify(occluded)[:, index]
    decreases = scores[-1] - scores[:-1]  # the last one is the face itself
    total, covered = np.zeros((side, side)), np.zeros((side, side))
    for place, decrease in zip(places, decreases, strict=True):
        total[place] += decrease
        covered[place] += 1
    return np.asarray(total / covered, np.float32)


def overlay(
    face: np.ndarray, heat: np.ndarray, *, side: int = 192, faint: float = FAINT
) -> np.ndarray:
    """Draw a map over its face: orange supports the label, blue opposes it.

    Args:
        face: uint8 (S, S, 1).
        heat: float (S, S), from `occlusion_map`.
        side: Width and height of the result in pixels.
        faint: The strongest value is drawn in full colour if it is at least this.

    Returns:
        RGB uint8 (side, side, 3).
    """
    gray = cv2.resize(face[..., 0], (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    heat = cv2.resize(heat.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    strength = np.abs(heat) / max(float(np.abs(heat).max()), faint)
    strength = np.where(np.abs(heat) < faint / 4, 0, 0.65 * strength)[..., None]
    colour = np.where(
        heat[..., None] > 0, np.array(_FOR, np.float32), np.array(_AGAINST, np.float32)
    )
    return np.asarray(
        np.clip((1 - strength) * gray[..., None] + strength * colour, 0, 255).round(), np.uint8
    )
