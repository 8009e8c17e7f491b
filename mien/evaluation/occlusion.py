"""Occlusion maps of the best network: the parts of a face that its predictions depend on."""

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

NUM_MAPPED = 2  # faces of each class whose own maps are shown; the mean may include more
MAP_DIGITS = 4  # decimal places of a map in report.json


def maps_of_best(
    truth: Mapping[str, Any],
    parts: Mapping[str, Dataset],
    places: Mapping[str, np.ndarray],
    networks: Sequence[Predictions],
    num: int,
    seed: int,
) -> dict[str, Any] | None:
    """Occlusion maps of the best network on the study split.

    Returns:
        None if `num` is 0 or the network has no `explain`.
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
    """Occlusion maps of up to `num` correctly predicted faces of each class, chosen at random.

    Args:
        part: The labelled rows of one split.
        places: Their positions in the whole dataset, int (n,).
        probabilities: Predictions of the network, float (n, K).
        classify: The network: uint8 (m, S, S, 1) -> probabilities float (m, K).
        num: Faces of each class.
        seed: Seed of the choice.

    Returns:
        The settings, and for each class: `right`, the number of correctly predicted faces;
        `indices` of the `n` mapped ones; `mean`, their mean map; `ninths`, the mean of that map in
        each ninth of the picture, row by row; `strongest`, the strongest ninth of each face's own
        map, 0 to 8; and `examples`. A map is {"grid": 16 x 16 losses of the label's probability,
        "peak": the largest}. `mean` and `ninths` are None without correctly predicted faces.

    Raises:
        UsageError: if `classify` does not return probabilities.
    """
    num_classes = len(part.label_set)

    def checked(faces: np.ndarray) -> np.ndarray:
        outputs = np.asarray(classify(faces))
        if outputs.shape != (len(faces), num_classes) or not np.isfinite(outputs).all():
            raise UsageError(
                f"explain: got {outputs.dtype} {outputs.shape}; expected finite probabilities of "
                f"shape ({len(faces)}, {num_classes}). Fix: return a row for each face and a "
                "column for each label"
            )
        return outputs

    right = probabilities.argmax(1) == part.labels
    classes = []
    for k, label in enumerate(part.label_set):
        rows = np.flatnonzero(right & (part.labels == k))
        chosen = np.random.default_rng([seed, k]).permutation(rows)[:num]
        heats = [occlusion_map(checked, part.images[i], k) for i in chosen]
        entry: dict[str, Any] = {
            "label": label,
            "right": len(rows),
            "n": len(chosen),
            "indices": [int(places[i]) for i in chosen],
            "mean": None,
            "ninths": None,
            "strongest": [int(np.argmax(_ninths(heat))) for heat in heats],
            "examples": [
                {
                    "index": int(places[i]),
                    "row": int(part.rows[i]),
                    "probability": float(probabilities[i, k]),
                    **_as_json(heat),
                }
                for i, heat in zip(chosen[:NUM_MAPPED], heats, strict=False)
            ],
        }
        if heats:
            mean = np.stack(heats).astype(np.float64).mean(axis=0)
            entry["mean"] = _as_json(mean)
            entry["ninths"] = _ninths(mean).round(MAP_DIGITS).tolist()
        classes.append(entry)
    return {
        "patch": PATCH,
        # The patches that `occlusion_map` blurs, one at a time.
        "questions": len(range(STRIDE - PATCH, FACE_SIDE, STRIDE)) ** 2,
        "most_faces": num,
        "seed": seed,
        "classes": classes,
    }


def _ninths(heat: np.ndarray) -> np.ndarray:
    """Mean of a map in each ninth of the picture, float64 (9,), row by row from the upper left.

    The last one or two rows and columns do not count if 3 does not divide the side.
    """
    third = len(heat) // 3
    whole = heat[: 3 * third, : 3 * third].astype(np.float64)
    return np.asarray(whole.reshape(3, third, 3, third).mean((1, 3)).ravel())


def _as_json(heat: np.ndarray) -> dict[str, Any]:
    """A map for report.json: one value for each step of STRIDE pixels, between which it is
    constant.
    """
    step = STRIDE * max(1, round(len(heat) / FACE_SIDE))
    grid = heat[::step, ::step].astype(np.float64).round(MAP_DIGITS)
    return {"grid": grid.tolist(), "peak": float(grid.max())}
