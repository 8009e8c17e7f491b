"""Predictions and their data -> one Evaluation: every number of the report, computed once.

`Evaluation.to_dict()` is the truth that report.json holds; tables, pictures and pages are views of
it. docs/evaluation.md explains each key.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.metadata
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.data.dataset import SPLITS, UNLABELLED, Dataset, twins
from mien.errors import UsageError, check_word, printable
from mien.evaluation import findings, metrics, vote_agreement
from mien.evaluation.judge import best, comparisons, judge
from mien.evaluation.occlusion import maps_of_best
from mien.evaluation.provenance import origins
from mien.runtime import cores, processor

if TYPE_CHECKING:
    from mien.evaluation.predictions import Network

# Faces of a class that are mapped: 21 maps are 7,602 questions, 7 s for `large` on two cores.
NUM_MAPS = 3
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

    def with_findings(self, name: str, values: Any, told: Sequence[str]) -> Evaluation:
        """The evaluation with further numbers under a name, and sentences about them, which the
        report and the terminal show.
        """
        truth = copy.deepcopy(self.truth)
        truth[name] = _plain(values)
        words = truth["words"]
        words["further"] = [*words.get("further", []), *told]
        words["verdict"] = [*words["verdict"], *told]
        return dataclasses.replace(self, truth=truth)

    def table(self) -> str:
        """The networks side by side, for a terminal."""
        return findings.table(self.truth)


def evaluate(
    dataset: Dataset,
    networks: Predictions | Network | Sequence[Predictions | Network],
    *,
    num_bootstrap: int = 1000,
    seed: int = 0,
    data_notes: Sequence[str] = (),
    num_maps: int = NUM_MAPS,
) -> Evaluation:
    """Judge one or more networks, side by side.

    Args:
        dataset: The data as read, before training rows were left out, so that twins are seen.
        networks: The networks: runs and bundles, or where they lie (`shipped` is the one in the
            package). As in `mien evaluate` they are then judged on the labels that all of them
            know, and data without splits is judged whole, unless one was trained on it:
            `Evaluation.dataset` is what was judged, and its notes say so. Or predictions, of
            whatever network, which are judged as they are (`mien.predictions` has those of runs
            and bundles). The best is chosen by the validation split, never by the test split.
        num_bootstrap: Resamples for the 95 % intervals; 0 leaves the intervals out.
        seed: Of the resamples and of the choice of example faces.
        data_notes: Sentences about the data to print beside `dataset.notes`.
        num_maps: Faces of each class whose occlusion maps are made, for the best network (the first
            where none is the best) if it brings `explain`; 0 leaves the maps out.

    Raises:
        UsageError: for predictions that cannot belong to this data, and for data with none of the
            labels that the networks know.
        RunError, BundleError: if a network is not there.

    >>> dataset = mien.load_dataset("faces")  # faces/happy/1.png and so on, no splits
    >>> evaluation = mien.evaluate(dataset, "shipped", num_bootstrap=0, num_maps=0)
    >>> truth = evaluation.to_dict()
    >>> truth["measured"], truth["networks"][0]["splits"]["test"]["n"]
    (['test'], 21)
    """
    dataset, networks = _predicted(dataset, networks)
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
                splits[split] = judge(
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
        "comparisons": comparisons(parts, networks, num_bootstrap, seed),
        "best": best(judged),
    }
    truth["maps"] = maps_of_best(truth, parts, places, networks, num_maps, seed)
    truth["words"] = findings.sentences(truth)
    return Evaluation(dataset, tuple(networks), truth)


def _predicted(
    dataset: Dataset, networks: Predictions | Network | Sequence[Any]
) -> tuple[Dataset, list[Predictions]]:
    """The data that is judged, and the predictions; networks are asked for theirs."""
    from mien.evaluation.predictions import all_answers

    one = isinstance(networks, str) or not isinstance(networks, Sequence)
    listed: list[Any] = [networks] if one else list(networks)  # type: ignore[arg-type]
    given = [one for one in listed if isinstance(one, Predictions)]
    if len(given) == len(listed):
        return dataset, given
    if given:
        raise UsageError(
            "networks: got predictions beside runs or bundles; expected one or the other. Fix: "
            "mien.predictions(dataset, network) for each"
        )
    return all_answers(dataset, listed)


def _check(dataset: Dataset, networks: Sequence[Predictions]) -> None:
    names = [network.name for network in networks]
    if not names or len(set(names)) != len(names):
        raise UsageError(
            f"networks: got the names {names}; expected one or more different names. Fix: give "
            "each network its own name"
        )
    counts = dataset.counts().sum(1)
    num_classes = len(dataset.label_set)
    for network in networks:
        where = f"predictions of {network.name!r}"
        for split, probabilities in network.probabilities.items():
            check_word(f"{where}: split", split, SPLITS)
            expected = (int(counts[SPLITS.index(split)]), num_classes)
            if np.shape(probabilities) != expected:
                raise UsageError(
                    f"{where}, {split}: got shape {np.shape(probabilities)}; expected {expected}. "
                    f"Fix: give a row for each labelled {split} picture and a column for each label"
                )
            p = np.asarray(probabilities)
            if p.size and not (
                np.isfinite(p).all() and p.min() >= 0 and np.allclose(p.sum(1), 1, atol=1e-3)
            ):
                raise UsageError(
                    f"{where}, {split}: got values that are not probabilities; expected numbers "
                    "from 0 to 1, with a sum of 1 in each row. Fix: give the output of a softmax"
                )
    if not any(len(p) for network in networks for p in network.probabilities.values()):
        raise UsageError(
            "networks: got no predictions for labelled pictures; expected those of at least one "
            "split. Fix: predict the validation or test split"
        )


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
        "interval": (
            "95 %, percentile bootstrap over rows; exact binomial where no resample differs"
        ),
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
