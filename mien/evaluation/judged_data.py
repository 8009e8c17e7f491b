"""Which rows are judged, as which split, and under which labels.

Data that no network has learned from is test data. So data without splits is judged as a whole,
unless one of the networks was trained on it: then it is split again as for training. Rows with
labels that a network does not know are left out of the judgement, and a note says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mien.data.dataset import SPLITS, UNLABELLED, Dataset
from mien.data.label_names import PRESETS, label_set_of
from mien.data.split import with_validation
from mien.errors import DataError, UsageError
from mien.evaluation.evaluate import Predictions
from mien.evaluation.phrasing import listed
from mien.evaluation.provenance import origins, taught_by_photographs
from mien.evaluation.sentences import other_data
from mien.labels import LabelSet


@dataclasses.dataclass(frozen=True)
class Learned:
    """What is known about a network before it predicts.

    Attributes:
        name: The network's name.
        labels: What it answers with.
        data: Facts about what it was trained on; None where they are not known.
        heads: Labels of its further heads, by name.
        photographs: Facts about further photographs that it learned from; None: it had none.
        before: `begun_from` and `taught_by`, as in its facts of training.
    """

    name: str
    labels: LabelSet
    data: Mapping[str, Any] | None
    heads: Mapping[str, LabelSet] = dataclasses.field(default_factory=dict)
    photographs: Mapping[str, Any] | None = None
    before: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def data_to_judge(dataset: Dataset, networks: Sequence[Learned]) -> Dataset:
    """The rows that all networks can be judged on, with the splits they are judged as.

    Raises:
        UsageError: where the networks know none of the labels, or fewer than two of them.
    """
    return with_known_labels(with_splits(dataset, networks), networks)


def lacking(dataset: Dataset, networks: Sequence[Learned]) -> list[str]:
    """Labels that occur in the data, and that not all networks answer with."""
    occur = [dataset.label_set[k] for k in np.unique(dataset.labels[dataset.labels != UNLABELLED])]
    return [name for name in occur if not all(name in one.labels.names for one in networks)]


def widened(network: Predictions, labels: LabelSet, to: LabelSet) -> Predictions:
    """Predictions with a column for each label of a larger set; those it does not know get 0."""
    if labels == to:
        return network
    columns = [to.index(name) for name in labels]

    def widen(p: np.ndarray) -> np.ndarray:
        wide = np.zeros((len(p), len(to)), np.float32)
        wide[:, columns] = p
        return wide

    explain = network.explain
    return dataclasses.replace(
        network,
        probabilities={split: widen(p) for split, p in network.probabilities.items()},
        explain=None if explain is None else lambda faces: widen(np.asarray(explain(faces))),
    )


def with_splits(dataset: Dataset, networks: Sequence[Learned]) -> Dataset:
    """The data with the splits that it is judged as."""
    labelled = dataset.labels != UNLABELLED
    if np.any(dataset.mask("test") & labelled) and np.any(dataset.mask("validation") & labelled):
        return dataset
    carved = dataset
    with contextlib.suppress(DataError):
        carved = with_validation(dataset)
    if any(_trained_on(carved, network) for network in networks):
        return carved
    if np.any((dataset.mask("test") | dataset.mask("validation")) & labelled):
        return dataset
    splits = np.full(len(dataset), SPLITS.index("test"), np.uint8)
    return dataclasses.replace(dataset, splits=splits).with_notes(
        "The data has no splits: all of its pictures are judged as test pictures."
    )


def foreign_sources(dataset: Dataset, networks: Sequence[Learned]) -> list[str]:
    """What the networks learned from that cannot be compared with these pictures, in the words of
    the report; and which of them say nothing about it.
    """
    facts = [
        {
            "name": one.name,
            **origins({**one.before, "data": one.data, "photographs": one.photographs}, dataset),
        }
        for one in networks
    ]
    silent = [one.name for one in networks if not one.data and not one.photographs]
    told = [other_data(facts)]
    if silent:
        told.append(f"What {listed(silent)} learned from is not known.")
    return [sentence for sentence in told if sentence]


def _trained_on(dataset: Dataset, network: Learned) -> bool:
    if taught_by_photographs(network.photographs, dataset):
        return True
    known = (network.data or {}).get("fingerprints")
    if not isinstance(known, Mapping):
        return bool(network.data) and (network.data or {}).get("fingerprint") in (
            dataset.fingerprint,
            dataset.with_labels(network.labels).fingerprint,
        )
    return any(
        known.get("training") == one.fingerprints["training"]
        for one in (
            dataset,
            dataset.with_labels(network.labels),
            dataset.with_labels_that_occur(),
        )
    )


def with_known_labels(dataset: Dataset, networks: Sequence[Learned]) -> Dataset:
    """The rows whose labels all networks know.

    Raises:
        UsageError: where there are none.
    """
    occur = [dataset.label_set[k] for k in np.unique(dataset.labels[dataset.labels != UNLABELLED])]
    lacked = lacking(dataset, networks)
    known = [name for name in occur if name not in lacked]
    if not known:
        names = ", ".join(f"{one.name}: {', '.join(one.labels)}" for one in networks)
        numbers = all(name.isdecimal() for name in occur)
        fix = (
            f"say what the numbers mean with --labels ({', '.join(PRESETS)}, or 1=surprise,...)"
            if numbers
            else "give data with labels that they know, or rename with --labels OLD=NEW,..."
        )
        raise UsageError(
            f"{dataset.source}: got the labels {', '.join(occur)}, none of which all networks "
            f"know; expected some of theirs ({names}). Fix: {fix}"
        )
    if lacked:
        kept = np.isin(dataset.labels, [dataset.label_set.index(name) for name in known])
        kept |= dataset.labels == UNLABELLED
        notes = [
            f"Not judged: {int(np.sum(~kept)):,} pictures of {', '.join(lacked)}, which "
            f"{_who_lacks(lacked, networks)} not know."
        ]
        for one in networks:
            for head, labels in one.heads.items():
                if knows := [name for name in lacked if name in labels.names]:
                    notes.append(
                        f"The head {head} of {one.name} knows {', '.join(knows)} and is judged "
                        "beside it."
                    )
        dataset = dataset.take(kept).with_notes(*dict.fromkeys(notes))
    sets = list(dict.fromkeys(one.labels for one in networks))
    every = sets[0] if len(sets) == 1 else label_set_of([n for s in sets for n in s], "networks")
    return dataset.with_labels(every)


def _who_lacks(lacked: Sequence[str], networks: Sequence[Learned]) -> str:
    who = [one.name for one in networks if any(name not in one.labels.names for name in lacked)]
    return f"{' and '.join(who)} {'does' if len(who) == 1 else 'do'}"
