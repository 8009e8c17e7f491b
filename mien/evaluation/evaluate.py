"""Predictions and their data -> one Evaluation: every number of the report, computed once.

`Evaluation.to_dict()` is the truth that report.json holds; tables, pictures and pages are views of
it. docs/evaluation.md explains each key.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import importlib.metadata
import itertools
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mien.constants import FACE_SIDE
from mien.data.dataset import SPLITS, UNLABELLED, Dataset, twins
from mien.errors import UsageError, printable
from mien.evaluation import findings, metrics, vote_agreement
from mien.evaluation.provenance import origins
from mien.runtime import cores, processor
from mien.vision.explain import PATCH, STRIDE, occlusion_map

NUM_EXAMPLES = 16  # faces on a contact sheet
NUM_WORST = 12
NUM_PAIRS = 8  # most confused pairs
NUM_MAPS = (
    3  # faces of a class that are mapped: 21 maps are 7,602 questions, 7 s for `large` on two cores
)
NUM_MAPPED = 2  # of them shown by themselves; the mean may rest on more
MAP_DIGITS = 4  # of a probability, as report.json keeps a map
_PACKAGES = (
    *("mien", "numpy", "scipy", "scikit-learn", "mlxtend", "matplotlib", "pillow"),
    *("keras", "tensorflow", "tensorflow-cpu"),
)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one network answered.

    Attributes:
        name: The network's name, as the report shows it.
        probabilities: Split -> float32 (n, K) in the order of `dataset.part(split)`, rows sum to 1;
            splits may miss.
        info: `parameters`, `multiply_adds`, `seconds_per_epoch`, `peak_memory_mb`, `epochs`,
            `best_epoch`, `recipe`, `history` (a dict an epoch: epoch, loss, accuracy, val_loss,
            val_calibrated_loss, val_accuracy, learning_rate, seconds),
            `stopped` (why training ended), `num_trained_on`, `data` (`source`, `fingerprint` and,
            by split, `fingerprints` of what it was trained on, compared with the data judged). Any
            may be missing.
        votes: Split -> float32 (n, 8), what a second head says of how people would vote, in the
            order of `labels.FERPLUS`; None where the network has none.
        explain: The network itself, uint8 (m, 48, 48, 1) -> float (m, K) probabilities, for
            occlusion maps; None: none.
        explained: What `explain` asks, where that is not quite this: an answer in many views is
            explained in one.
    """

    name: str
    probabilities: Mapping[str, np.ndarray]
    info: Mapping[str, Any]
    explain: Callable[[np.ndarray], np.ndarray] | None = None
    votes: Mapping[str, np.ndarray] | None = None
    explained: str = ""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The judged networks. Made by `evaluate`; written out by
    `mien.evaluation.report.write_report`.
    """

    dataset: Dataset
    networks: tuple[Predictions, ...]
    truth: dict[str, Any]

    @property
    def best(self) -> str | None:
        """Name of the network with the highest validation accuracy; None without validation
        predictions.
        """
        name: str | None = self.truth["best"]["name"]
        return name

    def to_dict(self) -> dict[str, Any]:
        """All numbers, JSON-able (no NaN): the content of report.json."""
        return copy.deepcopy(self.truth)

    def table(self) -> str:
        """The networks side by side, for a terminal."""
        return findings.table(self.truth)


def evaluate(
    dataset: Dataset,
    networks: Sequence[Predictions],
    *,
    num_bootstrap: int = 1000,
    seed: int = 0,
    data_notes: Sequence[str] = (),
    num_maps: int = NUM_MAPS,
) -> Evaluation:
    """Judge one or more networks on the splits they predicted.

    Args:
        dataset: The data as read, before training rows were left out, so that twins are seen.
        networks: Their predictions; the best is chosen by the validation split, never by the test
            split.
        num_bootstrap: Resamples for the 95 % intervals; 0 leaves the intervals out.
        seed: Of the resamples and of the choice of example faces.
        data_notes: Sentences about the data to print beside `dataset.notes`.
        num_maps: Faces of each class whose occlusion maps are made, for the best network (the first
            where none is the best) if it brings `explain`; 0 leaves the maps out.

    Raises:
        UsageError: for predictions that cannot belong to this data.
    """
    _check(dataset, networks)
    parts = {split: dataset.part(split) for split in SPLITS}
    places = {
        split: np.flatnonzero(dataset.mask(split) & (dataset.labels != UNLABELLED))
        for split in SPLITS
    }  # the rows of each part, as positions in the whole data set
    twin = twins(dataset)
    judged = []
    for network in networks:
        splits: dict[str, Any] = dict.fromkeys(SPLITS)
        for split in SPLITS:
            probabilities = network.probabilities.get(split)
            if probabilities is not None and len(probabilities):
                splits[split] = _judge(
                    parts[split],
                    places[split],
                    twin[places[split]],
                    np.asarray(probabilities),
                    num_bootstrap,
                    seed,
                )
                votes, said = parts[split].votes, (network.votes or {}).get(split)
                if votes is not None and said is not None:
                    splits[split]["ferplus"] = vote_agreement.by_majority(
                        votes, said, num_bootstrap=num_bootstrap, seed=seed
                    )
        judged.append(
            {
                "name": network.name,
                **_plain(origins(network.info, dataset)),
                "info": _plain(network.info),
                "splits": splits,
            }
        )
    measured = [split for split in SPLITS if any(n["splits"][split] for n in judged)]
    truth: dict[str, Any] = {
        "format": "mien report 1",
        "made": _made(num_bootstrap, seed),
        "data": _plain(_data(dataset, parts, twin, data_notes)),
        "measured": measured,
        # Errors are studied where choices may be made; the gap is told where nothing was chosen.
        "study_split": next(s for s in ("validation", "test", "training") if s in measured),
        "yardstick": next(s for s in ("test", "validation", "training") if s in measured),
        "networks": judged,
        "comparisons": _comparisons(parts, networks, num_bootstrap, seed),
        "best": _best(judged),
    }
    truth["maps"] = _maps(truth, parts, places, networks, num_maps, seed)
    truth["words"] = findings.sentences(truth)
    return Evaluation(dataset, tuple(networks), truth)


def _check(dataset: Dataset, networks: Sequence[Predictions]) -> None:
    names = [network.name for network in networks]
    if not names or len(set(names)) != len(names):
        raise UsageError(f"networks: came the names {names}; expected one or more, each once")
    counts = dataset.counts().sum(1)
    num_classes = len(dataset.label_set)
    for network in networks:
        where = f"predictions of {network.name!r}"
        for split, probabilities in network.probabilities.items():
            if split not in SPLITS:
                raise UsageError(
                    f"{where}: came the split {split!r}; expected one of {', '.join(SPLITS)}"
                )
            expected = (int(counts[SPLITS.index(split)]), num_classes)
            if np.shape(probabilities) != expected:
                raise UsageError(
                    f"{where}, {split}: came shape {np.shape(probabilities)}; expected {expected}, "
                    f"a row for each labelled {split} picture and a column for each label"
                )
            p = np.asarray(probabilities)
            if p.size and not (
                np.isfinite(p).all() and p.min() >= 0 and np.allclose(p.sum(1), 1, atol=1e-3)
            ):
                raise UsageError(
                    f"{where}, {split}: came values that are not probabilities; expected numbers from 0 to 1, "
                    "each row summing to 1 (the output of a softmax)"
                )
    if not any(len(p) for network in networks for p in network.probabilities.values()):
        raise UsageError(
            "networks: came no predictions for any labelled picture; expected at least one split"
        )


def _judge(
    part: Dataset,
    places: np.ndarray,
    twin: np.ndarray,
    probabilities: np.ndarray,
    num_bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """Everything about one network on one split of n > 0 labelled rows."""
    labels, names = part.labels, part.label_set.names
    num_classes = len(names)
    predicted = probabilities.argmax(1)
    scores, f1 = metrics.estimates(labels, probabilities, num_bootstrap=num_bootstrap, seed=seed)
    without = scores
    if twin.any():
        without, _ = metrics.estimates(
            labels[~twin], probabilities[~twin], num_bootstrap=num_bootstrap, seed=seed
        )
    bins = metrics.reliability(labels, probabilities)
    matrix = metrics.confusion(labels, predicted, num_classes)
    by_class = metrics.per_class(labels, predicted, num_classes)
    wrong = predicted != labels
    losses = metrics.row_losses(labels, probabilities)
    own = probabilities[np.arange(len(labels)), labels]
    worst = np.flatnonzero(wrong)
    worst = worst[np.argsort(own[worst], kind="stable")][:NUM_WORST]
    doubtful = None
    if part.votes is not None:
        doubtful = np.flatnonzero(
            vote_agreement.sides_with_network(part.votes, labels, predicted, part.label_set)
        )
        doubtful = doubtful[np.argsort(-probabilities.max(1)[doubtful], kind="stable")][:NUM_WORST]

    def show(rows: np.ndarray) -> list[dict[str, Any]]:
        return [
            {
                "index": int(places[i]),
                "row": int(part.rows[i]),
                "label": names[labels[i]],
                "predicted": names[predicted[i]],
                "loss": float(losses[i]),
                "probabilities": [float(p) for p in probabilities[i]],
                "votes": None if part.votes is None else vote_agreement.ballot(part.votes[i]),
            }
            for i in rows
        ]

    most = int(np.bincount(labels, minlength=num_classes).argmax())
    return {
        "n": len(labels),
        **scores,
        "ece": metrics.calibration_error(bins),
        "confidence": float(probabilities.max(1).astype(np.float64).mean()),
        "reliability": bins,
        "baseline": {"label": names[most], "accuracy": float(np.mean(labels == most))},
        "per_class": [{"label": names[k], **by_class[k], "f1": f1[k]} for k in range(num_classes)],
        "confusion": matrix.tolist(),
        "confused_pairs": _confused_pairs(matrix, names),
        "twins": {
            "n": int(twin.sum()),
            "accuracy_of_twins": float(np.mean(~wrong[twin])) if twin.any() else None,
            "n_without": int((~twin).sum()),
            "accuracy_without": without["accuracy"],
        },
        "ferplus": None,
        "vote_agreement": None
        if part.votes is None
        else vote_agreement.siding(part.votes, labels, predicted, part.label_set),
        "worst": show(worst),
        "doubtful": None if doubtful is None else show(doubtful),
        "correct": show(_spread(labels, ~wrong, seed)),
        "wrong": show(_spread(labels, wrong, seed)),
        "predictions_sha256": hashlib.sha256(
            np.ascontiguousarray(probabilities, "<f4").tobytes()
        ).hexdigest()[:16],
    }


def _confused_pairs(matrix: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """The largest off-diagonal cells; share is of the true label's rows."""
    off = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-off, axis=None, kind="stable")[:NUM_PAIRS]
    rows, columns = np.unravel_index(order, off.shape)
    return [
        {
            "label": names[i],
            "predicted": names[j],
            "n": int(off[i, j]),
            "of": int(matrix[i].sum()),
            "share": float(off[i, j] / matrix[i].sum()),
        }
        for i, j in zip(rows, columns, strict=True)
        if off[i, j]
    ]


def _spread(labels: np.ndarray, eligible: np.ndarray, seed: int) -> np.ndarray:
    """Up to NUM_EXAMPLES eligible rows drawn at random, one of each class before a second of any."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(eligible))
    turn = np.zeros(len(rows), int)  # how many of the same class were drawn before
    for label in np.unique(labels[rows]):
        same = labels[rows] == label
        turn[same] = np.arange(same.sum())
    return np.asarray(rows[np.lexsort((labels[rows], turn))][:NUM_EXAMPLES])


def _comparisons(
    parts: Mapping[str, Dataset], networks: Sequence[Predictions], num_bootstrap: int, seed: int
) -> list[dict[str, Any]]:
    """McNemar's test and the paired loss for each pair on each evaluation split that both
    predicted.
    """
    found = []
    for split in ("validation", "test"):
        labels = parts[split].labels
        answers = {
            n.name: np.asarray(n.probabilities[split])
            for n in networks
            if len(labels) and split in n.probabilities
        }
        right = {name: answer.argmax(1) == labels for name, answer in answers.items()}
        losses = {name: metrics.row_losses(labels, answer) for name, answer in answers.items()}
        for first, second in itertools.combinations(answers, 2):
            loss = metrics.paired_loss(
                losses[first], losses[second], num_bootstrap=num_bootstrap, seed=seed
            )
            pair = {"split": split, "first": first, "second": second}
            found.append(
                {**pair, **metrics.mcnemar(right[first], right[second]), "loss_difference": loss}
            )
    return found


def _best(judged: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    with_validation = [n for n in judged if n["splits"]["validation"]]
    if not with_validation:
        return {
            "name": None,
            "rule": "None was chosen: choosing needs validation predictions, and there are none.",
        }
    best = min(
        with_validation,
        key=lambda n: (
            -n["splits"]["validation"]["accuracy"]["value"],
            n["splits"]["validation"]["loss"]["value"],
        ),
    )
    return {
        "name": best["name"],
        "rule": "The highest accuracy on the validation split; the lower loss among equals.",
    }


def _maps(
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
    found = _map_classes(
        parts[split], places[split], probabilities, network.explain, num=num, seed=seed
    )
    return {
        "network": network.name,
        "asked": network.explained or network.name,
        "split": split,
        **found,
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
                f"explain: came {answers.dtype} {answers.shape}; expected finite probabilities of shape "
                f"({len(faces)}, {num_classes}), a row for each face and a column for each label"
            )
        return answers

    right = probabilities.argmax(1) == part.labels
    classes = []
    for k, label in enumerate(part.label_set):
        rows = np.flatnonzero(right & (part.labels == k))
        drawn = np.random.default_rng([seed, k]).permutation(rows)[:num]
        heats = [occlusion_map(ask, part.images[i], k) for i in drawn]
        found: dict[str, Any] = {
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
            found["mean"] = _kept(mean)
            found["ninths"] = _ninths(mean).round(MAP_DIGITS).tolist()
        classes.append(found)
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
    """Mean of a map in each ninth of the picture, float64 (9,), row by row from the upper left."""
    third = FACE_SIDE // 3
    return np.asarray(heat.astype(np.float64).reshape(3, third, 3, third).mean((1, 3)).ravel())


def _kept(heat: np.ndarray) -> dict[str, Any]:
    """A map as report.json holds it: patches move by STRIDE pixels, so one number a step loses
    nothing.
    """
    grid = heat[::STRIDE, ::STRIDE].astype(np.float64).round(MAP_DIGITS)
    return {"grid": grid.tolist(), "peak": float(grid.max())}


def _data(
    dataset: Dataset, parts: Mapping[str, Dataset], twin: np.ndarray, notes: Sequence[str]
) -> dict[str, Any]:
    counts = dataset.counts()
    return {
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        "labels": list(dataset.label_set.names),
        "colours": [dataset.label_set.colour(k) for k in range(len(dataset.label_set))],
        "counts": {
            split: {name: int(counts[i, k]) for k, name in enumerate(dataset.label_set)}
            for i, split in enumerate(SPLITS)
        },
        "totals": {split: len(parts[split]) for split in SPLITS},
        "unlabelled": int(np.sum(dataset.labels == UNLABELLED)),
        "twins": {
            split: int(np.sum(twin & dataset.mask(split))) for split in ("validation", "test")
        },
        "has_votes": dataset.votes is not None,
        "notes": [*dataset.notes, *notes],
        "left_out": {
            "n": len(dataset.left_out),
            "rows": [dataclasses.asdict(row) for row in dataset.left_out],
        },
    }


def _made(num_bootstrap: int, seed: int) -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "num_bootstrap": num_bootstrap,
        "interval": "95 %, percentile bootstrap over rows",
        "num_bins": metrics.NUM_BINS,
        "versions": versions,
        "hardware": {"platform": platform.platform(), "processor": processor(), "cores": cores()},
    }


def _plain(value: Any) -> Any:
    """What JSON and its readers can hold: numpy to Python, NaN to None, anything foreign to its
    printable text.
    """
    if isinstance(value, Mapping):
        return {printable(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int)) else printable(str(value))
