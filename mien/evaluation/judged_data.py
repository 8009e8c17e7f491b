"""Choose the rows, splits and labels on which networks are evaluated.

Data that no network was trained on is test data. So all rows of data without splits are test rows,
unless one of the networks was trained on it: then it is split as for training. Rows with labels
that a network lacks are left out, and a note says so.
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
from mien.evaluation.provenance import origins, trained_on_photographs
from mien.evaluation.sentences import other_data
from mien.labels import LabelSet


@dataclasses.dataclass(frozen=True)
class Learned:
    """The labels and training data of a network.

    Attributes:
        name: The network's name.
        labels: The labels of its main head.
        data: Facts about its training data; None if unknown.
        heads: Labels of its other heads, by name.
        photographs: Facts about additional training photographs; None if there were none.
        before: `begun_from` and `taught_by`, as in its facts of training.
    """

    name: str
    labels: LabelSet
    data: Mapping[str, Any] | None
    heads: Mapping[str, LabelSet] = dataclasses.field(default_factory=dict)
    photographs: Mapping[str, Any] | None = None
    before: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def data_to_judge(dataset: Dataset, networks: Sequence[Learned]) -> Dataset:
    """The rows on which all networks can be evaluated, with the splits for that.

    Raises:
        UsageError: if the networks have none of the labels of the data in common.
    """
    return with_known_labels(with_splits(dataset, networks), networks)


def lacking(dataset: Dataset, networks: Sequence[Learned]) -> list[str]:
    """Labels that occur in the data and that a network lacks."""
    occur = _occurring(dataset)
    return [name for name in occur if not all(name in each.labels.names for each in networks)]


def _occurring(dataset: Dataset) -> list[str]:
    """Labels that occur in the data."""
    return [dataset.label_set[k] for k in np.unique(dataset.labels[dataset.labels != UNLABELLED])]


def widened(network: Predictions, labels: LabelSet, to: LabelSet) -> Predictions:
    """Predictions with a column for each label of a larger set; new columns are 0."""
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
    """The data with the splits for the evaluation, as the module describes."""
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
    """Sentences about networks whose training data cannot be compared with these pictures, or is
    not known.
    """
    facts = [
        {
            "name": network.name,
            **origins(
                {**network.before, "data": network.data, "photographs": network.photographs},
                dataset,
            ),
        }
        for network in networks
    ]
    unknown = [network.name for network in networks if not network.data and not network.photographs]
    sentences = [other_data(facts)]
    if unknown:
        sentences.append(f"What {listed(unknown)} learned from is not known.")
    return [sentence for sentence in sentences if sentence]


def _trained_on(dataset: Dataset, network: Learned) -> bool:
    """Whether a network was trained on the training split of this data, under whatever labels."""
    if trained_on_photographs(network.photographs, dataset):
        return True
    relabelled = dataset.with_labels(network.labels)
    known = (network.data or {}).get("fingerprints")
    if not isinstance(known, Mapping):
        fingerprints = (dataset.fingerprint, relabelled.fingerprint)
        return bool(network.data) and (network.data or {}).get("fingerprint") in fingerprints
    variants = (dataset, relabelled, dataset.with_labels_that_occur())
    return any(known.get("training") == each.fingerprints["training"] for each in variants)


def with_known_labels(dataset: Dataset, networks: Sequence[Learned]) -> Dataset:
    """The rows whose labels all networks have.

    Raises:
        UsageError: if there are none.
    """
    occur, lacked = _occurring(dataset), lacking(dataset, networks)
    known = [name for name in occur if name not in lacked]
    if not known:
        names = ", ".join(f"{each.name}: {', '.join(each.labels)}" for each in networks)
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
        for network in networks:
            for head, labels in network.heads.items():
                if extra := [name for name in lacked if name in labels.names]:
                    notes.append(
                        f"The head {head} of {network.name} knows {', '.join(extra)} and is judged "
                        "beside it."
                    )
        dataset = dataset.take(kept).with_notes(*dict.fromkeys(notes))
    sets = list(dict.fromkeys(each.labels for each in networks))
    every = sets[0] if len(sets) == 1 else label_set_of([n for s in sets for n in s], "networks")
    return dataset.with_labels(every)


def _who_lacks(lacked: Sequence[str], networks: Sequence[Learned]) -> str:
    """Names of the networks that lack one of the labels, with their verb: `a and b do`."""
    names = [each.name for each in networks if not set(lacked) <= set(each.labels.names)]
    return f"{' and '.join(names)} {'does' if len(names) == 1 else 'do'}"
