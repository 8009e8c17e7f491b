"""Evaluate networks: compute every number of the report once.

`Evaluation.to_dict()` is the content of report.json. Tables, pictures and pages are views of it.
docs/evaluation.md explains each key.
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

# Occlusion maps of each class. 21 maps take 7,602 predictions, 7 s for `large` on two cores.
NUM_MAPS = 3
_PACKAGES = (
    *("mien", "numpy", "scipy", "scikit-learn", "mlxtend", "matplotlib", "pillow"),
    *("keras", "tensorflow", "tensorflow-cpu"),
)


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions of one network.

    Attributes:
        name: The name of the network in the report.
        probabilities: Split -> float32 (n, K) in the order of `dataset.part(split)`, rows sum to 1;
            not every split must be there.
        info: `parameters`, `multiply_adds`, `seconds_per_epoch`, `peak_memory_mb`, `epochs`,
            `best_epoch`, `recipe`, `history` (a dict for each epoch: epoch, loss, accuracy,
            val_loss, val_calibrated_loss, val_accuracy, learning_rate, seconds), `stopped` (why
            training ended), `num_trained_on`, and `data`: `source`, `fingerprint` and, by split,
            `fingerprints` of the training data, which are compared with the evaluated data. All of
            them are optional.
        votes: Split -> predicted distribution of FER+ votes, float32 (n, 8) in the order of
            `labels.FERPLUS`; None without a vote head.
        explain: A function for occlusion maps: uint8 (m, S, S, 1) -> probabilities float (m, K);
            None leaves the maps out.
        explained: The name of what `explain` computes, if it differs from `name`: maps of a
            prediction from many views use a single view.
    """

    name: str
    probabilities: Mapping[str, np.ndarray]
    info: Mapping[str, Any]
    explain: Callable[[np.ndarray], np.ndarray] | None = None
    votes: Mapping[str, np.ndarray] | None = None
    explained: str = ""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of `evaluate`; `mien.evaluation.report.write_report` writes it to files."""

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
        """All numbers for JSON, without NaN: the content of report.json."""
        return copy.deepcopy(self.truth)

    def with_findings(self, name: str, values: Any, sentences: Sequence[str]) -> Evaluation:
        """A copy with further numbers under a name, and sentences about them for the report and the
        terminal.
        """
        truth = copy.deepcopy(self.truth)
        truth[name] = _plain(values)
        words = truth["words"]
        words["further"] = [*words.get("further", []), *sentences]
        words["verdict"] = [*words["verdict"], *sentences]
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
    """Evaluate and compare one or more networks.

    The best network is chosen by the validation split, never by the test split.

    Args:
        dataset: The data as read, before training rows were left out, so that equal pictures in
            several splits are found.
        networks: Runs and bundles, or their paths (`shipped` is the network in the package). As in
            `mien evaluate`, they are evaluated on the labels that all of them have; data without
            splits is test data, unless one of them was trained on it. `Evaluation.dataset` is the
            data that was used, and its notes say how it differs. Or `Predictions` of any network,
            which are evaluated as they are (`mien.predictions` makes them from runs and bundles).
        num_bootstrap: Resamples for the 95 % intervals; 0 leaves the intervals out.
        seed: Seed of the resamples and of the choice of example faces.
        data_notes: Sentences about the data to print beside `dataset.notes`.
        num_maps: Occlusion maps for each class, of the best network (the first one if there is no
            best) if it has `explain`; 0 leaves the maps out.

    Raises:
        UsageError: if predictions do not fit the data, or the data has no label of the networks.
        RunError, BundleError: if there is no such network.

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
                votes, predicted = parts[split].votes, (network.votes or {}).get(split)
                if votes is not None and predicted is not None:
                    splits[split]["ferplus"] = vote_agreement.by_majority(
                        votes, predicted, num_bootstrap=num_bootstrap, seed=seed
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
        # Errors are studied on validation, where choices are allowed; the gap uses the test split.
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
    """The data to evaluate on, and the predictions of all networks."""
    from mien.evaluation.predictions import all_predictions

    single = isinstance(networks, str) or not isinstance(networks, Sequence)
    listed: list[Any] = [networks] if single else list(networks)  # type: ignore[arg-type]
    predictions = [each for each in listed if isinstance(each, Predictions)]
    if len(predictions) == len(listed):
        return dataset, predictions
    if predictions:
        raise UsageError(
            "networks: got predictions beside runs or bundles; expected one or the other. Fix: "
            "mien.predictions(dataset, network) for each"
        )
    return all_predictions(dataset, listed)


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
    """A value for JSON: numpy as plain Python, NaN as None, other objects as printable text."""
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
