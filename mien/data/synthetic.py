"""Drawn faces for tests, demos and a first try: brows, eyes and mouths of seven expressions.

The movements follow the Facial Action Coding System (Ekman and Friesen 1978; the usual combinations
for each expression:
https://imotions.com/blog/learning/research-fundamentals/facial-action-coding-system/). Everything
else is random: who is drawn (head, skin, hair, glasses, beard), how strong the expression is, the
light, the pose, and what hides the face. Nothing here was made from photographs.
"""

from __future__ import annotations

import operator

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.dataset import SPLITS, Dataset
from mien.data.face_canvas import MOVES
from mien.data.face_drawing import Painter
from mien.errors import UsageError
from mien.labels import FER2013

_BLOCK = 48  # faces painted together: their working arrays fit a core's cache

# How far each part moves (in the order of `face_canvas.MOVES`) in two variants of each expression;
# a face lies between them.
_REST = tuple(MOVES.values())
_VARIANTS = {
    "angry": (
        (-1.9, -2.4, -0.5, 1.7, 0.75, 0.6, -1.5, 0.85, 0, -1.1, 0, 0, 0, 0, 0.2, 0.3, 1, 0),
        (-1.7, -2.6, -0.5, 1.7, 0.85, 0.7, -1.5, 0.95, 2.3, -0.9, 0.3, 1, 1.5, 0, 0.3, 0.5, 1, 0),
    ),
    "disgust": (
        (-1.3, -0.8, -0.5, 0.9, 0.5, 0.9, -0.3, 0.8, 0.2, -1.2, 1.7, 0, 0, 1.5, 1, 1, 0.3, 0),
        (-1.1, -0.8, -0.5, 0.9, 0.45, 1.1, -0.3, 0.85, 1.5, -1.7, 2.3, 0.2, 1.1, 1.1, 1, 1, 0.3, 0),
    ),
    "fear": (
        (2.4, 1.9, -0.9, 1.3, 1.55, -0.3, 0.4, 1.28, 1.3, -0.9, 0, 0.7, 0.8, 0, 0, 0.2, 0.2, 0.8),
        (2.7, 1.7, -0.9, 1.3, 1.65, -0.4, 0.4, 1.18, 2.3, -1.1, 0, 0.8, 1, 0, 0, 0.2, 0.2, 0.8),
    ),
    "happy": (
        (0.3, 0, 0.4, 0, 0.8, 1.3, 0.2, 1.22, 0.2, 2.5, 0, 0, 0, 0, 0, 0.4, 0, 0),
        (0.4, 0, 0.4, 0, 0.75, 1.6, 0.2, 1.3, 4, 2.5, 0, 0, 2.6, 0, 0, 0.5, 0, 0),
    ),
    "sad": (
        (0, 2.8, -0.9, 0.8, 0.75, 0, 1.6, 0.82, 0, -2.1, 0, 0, 0, 0, 0, 0.2, 0.2, 0.2),
        (-0.2, 3.1, -0.9, 0.9, 0.62, 0.3, 1.8, 0.9, 0.7, -2.6, 0, 0, 0, 0, 0, 0.3, 0.3, 0.2),
    ),
    "surprise": (
        (3.3, 0.2, 1.3, -0.3, 1.55, -0.3, 0, 0.6, 3.6, 0, 0, 0.9, 0, 0, 0, 0, 0, 0.7),
        (3.8, 0.2, 1.6, -0.3, 1.75, -0.5, 0, 0.68, 5.2, 0, 0, 0.9, 0, 0, 0, 0, 0, 0.8),
    ),
    "neutral": (_REST, _REST),
}  # fmt: skip
# (7, 2, 18): the same in label order.
_TABLE = np.array([_VARIANTS[name] for name in FER2013], np.float32)

# Shares of the classes in `drawn_dataset`: mildly imbalanced.
_SHARES = (0.135, 0.105, 0.14, 0.175, 0.15, 0.135, 0.16)


def draw_faces(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draw one face for each label.

    Face i depends only on the seed, i and label i, so the first faces stay the same however many
    follow.

    Args:
        labels: integers (N,), positions in `labels.FER2013`.
        seed: 0 or more; the same labels and seed give the same bytes on the same machine.

    Returns:
        uint8 (N, 48, 48, 1), 0 black to 255 white.

    Raises:
        UsageError: if a label or the seed is out of range.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
        raise UsageError(
            f"draw_faces labels: got {labels.dtype} {labels.shape}; expected integers of shape "
            "(N,). Fix: give positions in labels.FER2013"
        )
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < len(FER2013):
        raise UsageError(
            f"draw_faces labels: got values {labels.min()} to {labels.max()}; expected 0 to "
            f"{len(FER2013) - 1}. Fix: give positions in labels.FER2013"
        )
    return _draw(labels.astype(np.int64), (_checked_seed(seed), len(SPLITS)))


def drawn_dataset(
    num_training: int = 4200, num_validation: int = 700, num_test: int = 700, seed: int = 0
) -> Dataset:
    """A data set of drawn faces with all three splits and every class in each.

    The splits are drawn independently: their faces do not change if another split grows.

    Raises:
        UsageError: if a split would have fewer pictures than there are classes.
    """
    seed = _checked_seed(seed)
    sizes = (num_training, num_validation, num_test)
    images, labels = [], []
    for position, (split, size) in enumerate(zip(SPLITS, sizes, strict=True)):
        if size < len(FER2013):
            raise UsageError(
                f"drawn faces for {split}: got {size}; expected at least {len(FER2013)}, one of "
                "each class. Fix: draw more"
            )
        order = np.random.default_rng((seed, position)).permutation(size)
        labels.append(np.repeat(np.arange(len(FER2013)), _class_sizes(size))[order])
        images.append(_draw(labels[-1], (seed, position)))
    return Dataset(
        images=np.concatenate(images),
        labels=np.concatenate(labels),
        splits=np.repeat(np.arange(len(SPLITS), dtype=np.uint8), sizes),
        rows=np.arange(2, 2 + sum(sizes)),
        label_set=FER2013,
        source=f"drawn faces (seed {seed})",
        notes=(
            "These are faces drawn by mien: they try out every step from data to report, but say "
            "nothing about photographs of people.",
        ),
    )


def _checked_seed(seed: int) -> int:
    try:
        value = operator.index(seed)
    except TypeError:
        value = -1
    if value < 0:
        raise UsageError(
            f"seed of the drawn faces: got {seed!r}; expected a whole number. Fix: give 0 or more"
        )
    return value


def _class_sizes(size: int) -> np.ndarray:
    """int64 (7,): pictures of each class, at least one, near `_SHARES`; the sum is `size`."""
    ideal = np.array(_SHARES) * (size - len(FER2013))
    sizes = np.floor(ideal).astype(np.int64)
    sizes[np.argsort(sizes - ideal, kind="stable")[: size - len(FER2013) - int(sizes.sum())]] += 1
    return np.asarray(sizes + 1)


def _draw(labels: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    out = np.empty((len(labels), FACE_SIDE, FACE_SIDE, 1), np.uint8)
    for start in range(0, len(labels), _BLOCK):
        part = labels[start : start + _BLOCK]
        # Always a whole block, so that a face does not depend on how many follow it.
        block = np.zeros(_BLOCK, np.int64)
        block[: len(part)] = part
        rng = np.random.default_rng((*key, start // _BLOCK))
        out[start : start + _BLOCK, :, :, 0] = Painter(_moves(block, rng), rng).paint()[: len(part)]
    return out


def _moves(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float32 (N, 18): the movements of each face, for `Painter`."""
    between, strength = (
        rng.uniform(0, 1, (len(labels), 1)),
        rng.uniform(0.7, 1.15, (len(labels), 1)),
    )
    between = between * between * (3 - 2 * between)  # most faces are near one of the two variants
    full = _TABLE[labels, 0] * (1 - between) + _TABLE[labels, 1] * between
    moves = np.array(_REST) + (full - np.array(_REST)) * strength
    # No two faces move exactly alike, whatever they express.
    moves += rng.normal(0, 0.06, moves.shape) * np.abs(_TABLE).max((0, 1))
    return np.asarray(moves, np.float32)
