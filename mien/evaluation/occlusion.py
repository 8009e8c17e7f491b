"""Occlusion maps of the best network: which parts of a face its predictions rest on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.dataset import Dataset
from mien.errors import UsageError
from mien.vision.explain import PATCH, STRIDE, occlusion_map

if TYPE_CHECKING:
    from mien.evaluation.evaluate import Predictions

NUM_MAPPED = 2  # of the faces mapped, shown by themselves; the mean may rest on more
MAP_DIGITS = 4  # of a probability, as report.json keeps a map


def maps_of_best(
    truth: Mapping[str, Any],
    parts: Mapping[str, Dataset],
    places: Mapping[str, np.ndarray],
    networks: Sequence[Predictions],
    num: int,
    seed: int,
) -> dict[str, Any] | None:
    """Occlusion maps of the best network on the studied split; None where they are not wanted or
    cannot be made.
    """
    split = truth["study_split"]
    network = next(
        n
        for n in networks
        if truth["best"]["name"] in (None, n.name) and len(n.probabilities.get(split, ()))
    )
    if num < 1 or network.explain is None:
        return None
    probabilities = np.asarray(network.probabilities[split])
    maps = _map_classes(
        parts[split], places[split], probabilities, network.explain, num=num, seed=seed
    )
    return {
        "network": network.name,
        "asked": network.explained or network.name,
        "split": split,
        **maps,
    }


def _map_classes(
    part: Dataset,
    places: np.ndarray,
    probabilities: np.ndarray,
    classify: Callable[[np.ndarray], np.ndarray],
    *,
    num: int,
    seed: int,
) -> dict[str, Any]:
    """Occlusion maps of up to `num` rightly recognised faces of each class, drawn at random.

    Args:
        part: The labelled rows of one split.
        places: Their positions in the whole data set, int (n,).
        probabilities: What the network answered, float (n, K).
        classify: The network itself: uint8 (m, 48, 48, 1) -> float (m, K) probabilities.

    Returns:
        How it was done, and for each class `right` (faces recognised), `indices` of the `n` that
        were mapped, `mean` (their mean map), `ninths` (its mean in each ninth of the picture, row
        by row), `strongest` (the strongest ninth of each face by itself, 0 to 8) and `examples`; a
        map is {"grid": 16 x 16 falls of the label's probability, "peak": the largest}. Without
        right faces `mean` and `ninths` are None.

    Raises:
        UsageError: if `classify` does not answer with probabilities.
    """
    num_classes = len(part.label_set)

    def ask(faces: np.ndarray) -> np.ndarray:
        answers = np.asarray(classify(faces))
        if answers.shape != (len(faces), num_classes) or not np.isfinite(answers).all():
            raise UsageError(
                f"explain: got {answers.dtype} {answers.shape}; expected finite probabilities of "
                f"shape ({len(faces)}, {num_classes}). Fix: return a row for each face and a "
                "column for each label"
            )
        return answers

    right = probabilities.argmax(1) == part.labels
    classes = []
    for k, label in enumerate(part.label_set):
        rows = np.flatnonzero(right & (part.labels == k))
        drawn = np.random.default_rng([seed, k]).permutation(rows)[:num]
        heats = [occlusion_map(ask, part.images[i], k) for i in drawn]
        entry: dict[str, Any] = {
            "label": label,
            "right": len(rows),
            "n": len(drawn),
            "indices": [int(places[i]) for i in drawn],
            "mean": None,
            "ninths": None,
            "strongest": [int(np.argmax(_ninths(heat))) for heat in heats],
            "examples": [
                {
                    "index": int(places[i]),
                    "row": int(part.rows[i]),
                    "probability": float(probabilities[i, k]),
                    **_kept(heat),
                }
                for i, heat in zip(drawn[:NUM_MAPPED], heats, strict=False)
            ],
        }
        if heats:
            mean = np.stack(heats).astype(np.float64).mean(axis=0)
            entry["mean"] = _kept(mean)
            entry["ninths"] = _ninths(mean).round(MAP_DIGITS).tolist()
        classes.append(entry)
    questions = (
        len(range(STRIDE - PATCH, FACE_SIDE, STRIDE)) ** 2
    )  # patches that `occlusion_map` blurs, one at a time
    return {
        "patch": PATCH,
        "questions": questions,
        "most_faces": num,
        "seed": seed,
        "classes": classes,
    }


def _ninths(heat: np.ndarray) -> np.ndarray:
    """Mean of a map in each ninth of the picture, float64 (9,), row by row from the upper left.

    What is left over of a side that 3 does not divide is not counted.
    """
    third = len(heat) // 3
    whole = heat[: 3 * third, : 3 * third].astype(np.float64)
    return np.asarray(whole.reshape(3, third, 3, third).mean((1, 3)).ravel())


def _kept(heat: np.ndarray) -> dict[str, Any]:
    """A map as report.json holds it: patches move by STRIDE pixels, so one number a step loses
    nothing.
    """
    step = STRIDE * max(1, round(len(heat) / FACE_SIDE))
    grid = heat[::step, ::step].astype(np.float64).round(MAP_DIGITS)
    return {"grid": grid.tolist(), "peak": float(grid.max())}
