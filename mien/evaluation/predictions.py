"""Predictions of runs, of bundles, and of the mean of several networks, for `mien.evaluation`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mien.bundle import Bundle, open_bundle
from mien.bundle.answer import TEMPERATURE, AnswerRule
from mien.bundle.classifier import Classifier, check_mode
from mien.data.dataset import SPLITS, Dataset
from mien.errors import UsageError, printable
from mien.evaluation.evaluate import Predictions
from mien.evaluation.judged_data import Learned, data_to_judge, widened
from mien.evaluation.phrasing import percent
from mien.labels import FERPLUS, VOTES_HEAD
from mien.runtime import tell_progress

if TYPE_CHECKING:
    from mien.training.runs import Run

    Network = Run | Bundle | str | os.PathLike[str]

Opened = TypeVar("Opened")  # a run or a bundle
Say = Callable[[str], None]
_TRAINING_FACTS = ("data", "photographs")  # facts about the training data of a network
_BLOCK = 512  # faces between two reports of progress; a multiple of the batch size of each mode
Kinds = Mapping[str, Predictions]  # suffix of the name, such as ` --best` -> predictions


def predictions(
    dataset: Dataset, network: Network, *, mode: str = "fast", name: str | None = None
) -> list[Predictions]:
    """Predictions of a trained network for all labelled rows, for `mien.evaluate`.

    Args:
        dataset: The data. It must have the labels of the network, in the same order
            (`dataset.with_labels`); `mien.evaluate(dataset, network)` takes care of that itself.
        network: The result of `mien.fit` or `mien.open_bundle`, a run folder, or a bundle: its
            folder, its zip file, or `shipped`.
        mode: `fast`: one view of each face; for bundles also `best`: 14 views, without the training
            rows.
        name: The name in the report; by default that of the run folder or the bundle.

    Returns:
        One `Predictions` for a run. For a bundle, as in `mien evaluate --bundle`: its prediction
        under the default class prior, under each other prior, and that of its main head alone.

    Raises:
        UsageError: if network and data have different labels, or no row can be predicted.
        RunError, BundleError: if there is no such network.

    >>> dataset = mien.load_dataset("faces")  # faces/happy/1.png and so on
    >>> found = mien.predictions(dataset, "shipped")
    >>> [one.name for one in found]
    ['mien --fast', 'mien, balanced --fast', 'mien, fer2013 --fast']
    >>> found[0].probabilities["training"].shape  # a row for each face, a column for each label
    (21, 7)
    """
    check_mode(mode)
    opened = opened_network(network)
    name = name or _name(opened)
    if isinstance(opened, Bundle):
        kinds = of_bundle(dataset, opened, name, _quiet, modes=(mode,))
    elif mode == "fast":
        kinds = of_run(dataset, opened, name, _quiet)
    else:
        raise UsageError(
            f"mode: got {mode!r} for the run {name}; expected 'fast'. Fix: export it, and give "
            "the bundle"
        )
    if not any(kind.probabilities for kind in kinds.values()):
        raise UsageError(
            f"{dataset.source}: got no labelled rows to answer in mode {mode!r}; expected some in "
            "a validation or test split (in mode 'fast' in any). Fix: give data with such a split"
        )
    return list(kinds.values())


def all_predictions(
    dataset: Dataset, networks: Sequence[Network]
) -> tuple[Dataset, list[Predictions]]:
    """The rows on which all networks can be judged, and the predictions of each from one view."""
    opened = [opened_network(network) for network in networks]
    entries: list[tuple[Learned, Any, Any]] = []
    for network, name in zip(opened, unique_names([_name(each) for each in opened]), strict=True):
        if isinstance(network, Bundle):
            predict = partial(of_bundle, modes=("fast",))
            entries.append((learned_by_bundle(network, name), predict, network))
        else:
            entries.append((learned_by_run(network, name), of_run, network))
    dataset = data_to_judge(dataset, [learned for learned, _, _ in entries])
    all_kinds = [with_all_labels(dataset, *entry, _quiet) for entry in entries]
    return dataset, [network for kinds in all_kinds for network in kinds.values()]


def opened_network(network: Network) -> Run | Bundle:
    """The network itself, or the run or bundle at a path.

    Raises:
        RunError, BundleError: if there is no such network.
    """
    if not isinstance(network, str | os.PathLike):
        return network
    if (Path(network) / "run.json").is_file():
        from mien.training.runs import load_run

        return load_run(Path(network))
    return open_bundle(network)


def _quiet(text: str) -> None:
    """Print nothing: only commands report their progress."""


def _name(network: Run | Bundle) -> str:
    named = network.name if isinstance(network, Bundle) else network.folder.resolve().name
    return printable(named)


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, with a number appended to those that occur more than once."""
    all_numbered = [f"{name} {n}" for n, name in enumerate(names, 1)]
    numbered = [
        name if names.count(name) == 1 else with_number
        for name, with_number in zip(names, all_numbered, strict=True)
    ]
    # A numbered name may equal another name.
    return numbered if len(set(numbered)) == len(numbered) else all_numbered


def learned_by_run(run: Run, name: str) -> Learned:
    """The facts about a run that decide what it can be judged on."""
    return Learned(
        name,
        run.label_set,
        run.facts.get("data"),
        {VOTES_HEAD: FERPLUS} if run.recipe.votes_weight else {},
        run.facts.get("photographs"),
        _before(run.facts),
    )


def learned_by_bundle(bundle: Bundle, name: str) -> Learned:
    """The facts about a bundle that decide what it can be judged on."""
    main, *others = bundle.heads
    data = bundle.training.get("data")
    heads = {head.name: head.labels for head in others}
    training = bundle.training
    return Learned(name, main.labels, data, heads, training.get("photographs"), _before(training))


def _before(training: Mapping[str, Any]) -> dict[str, Any]:
    return {key: training[key] for key in ("begun_from", "taught_by") if key in training}


def classified(
    classify: Classifier, faces: np.ndarray, *, mode: str, what: str
) -> dict[str, np.ndarray]:
    """Probabilities of each head, float32 (N, K), with reports of the progress."""
    parts = []
    for start in range(0, len(faces), _BLOCK):
        parts.append(classify(faces[start : start + _BLOCK], mode=mode))
        tell_progress(what, min(start + _BLOCK, len(faces)), len(faces))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def heads_of_run(run: Run) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A function: faces -> probabilities of each head of a run. Each call loads the network."""

    def predict(faces: np.ndarray) -> dict[str, np.ndarray]:
        from mien.training import runs

        return runs.predict_heads(runs.load_network(run), faces)

    return predict


def heads_of_bundle(bundle: Bundle) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A function: faces -> probabilities of each head of a bundle, from one view of each face."""
    return lambda faces: classified(Classifier(bundle), faces, mode="fast", what=bundle.name)


def with_all_labels(
    dataset: Dataset,
    learned: Learned,
    predict: Callable[[Dataset, Opened, str, Say], Kinds],
    network: Opened,
    say: Say,
) -> Kinds:
    """Predictions of a network, with a column for each label of the data; 0 for labels that it
    lacks.
    """
    kinds = predict(dataset.with_labels(learned.labels), network, learned.name, say)
    return {
        kind: widened(predictions, learned.labels, dataset.label_set)
        for kind, predictions in kinds.items()
    }


def of_run(dataset: Dataset, run: Run, name: str, say: Say) -> Kinds:
    """Predictions of a run for all labelled rows, as the only kind, whose suffix is empty.

    Args:
        dataset: The data.
        run: The run.
        name: The name in the report.
        say: Not used; it makes the signature that of `of_bundle`.

    Raises:
        UsageError: if network and data have different labels.
    """
    from mien.training import models, runs

    dataset.must_be_labelled_as(run.label_set, str(run.folder))
    model = runs.load_network(run)
    main, *others = models.heads(run.recipe, run.label_set)
    by_split = {
        split: runs.predict_heads(model, part.images)
        for split in SPLITS
        if len(part := dataset.part(split))
    }
    num_trained_on = run.facts["data"]["num_training"]
    info = {**run.facts, "recipe": run.recipe.to_dict(), "num_trained_on": num_trained_on}
    predictions = Predictions(
        name,
        {split: heads[main] for split, heads in by_split.items()},
        info,
        partial(runs.predict, model),
        {split: heads[VOTES_HEAD] for split, heads in by_split.items()} if others else None,
    )
    return {"": predictions}


def of_bundle(
    dataset: Dataset,
    bundle: Bundle,
    name: str,
    say: Say,
    *,
    modes: Sequence[str] = tuple(TEMPERATURE),
) -> Kinds:
    """Predictions of a bundle for all labelled rows, from one view (`fast`) and 14 views (`best`).

    There is a kind for each class prior of the bundle and, if it has several heads, one for the
    main head alone. `best` leaves out the training faces, which would take most of the time and
    show nothing about unseen faces.

    Args:
        dataset: The data.
        bundle: The bundle.
        name: The name in the report, before the suffix of the kind.
        say: Receives a sentence on the accuracy of `fast`, since `best` takes 14 times as long.
        modes: `fast`, `best` or both.

    Returns:
        Kinds such as ` --best` (under the default prior), `, balanced --best` (under another prior)
        and `, fer2013 --best` (a head alone).

    Raises:
        UsageError: if bundle and data have different labels.
    """
    main = bundle.heads[0]
    dataset.must_be_labelled_as(main.labels, bundle.name)
    info = dict(bundle.training)
    for fact in ("history", "members"):  # only runs and means have them; a file may hold anything
        info.pop(fact, None)
    info["num_trained_on"] = (bundle.training.get("data") or {}).get("num_training")
    kinds = dict[str, Predictions]()
    classify = Classifier(bundle)
    for mode in modes:
        rules = bundle.rules
        pooled = {prior: dict[str, np.ndarray]() for prior in rules}
        main_head, votes = dict[str, np.ndarray](), dict[str, np.ndarray]()
        for split in SPLITS if mode == "fast" else SPLITS[1:]:
            part = dataset.part(split)
            if len(part):
                heads = classified(classify, part.images, mode=mode, what=f"{name} --{mode}")
                main_head[split] = heads[main.name]
                for prior, rule in rules.items():
                    pooled[prior][split] = classify.answer(heads, mode=mode, rule=rule)
                if VOTES_HEAD in heads and part.votes is not None:
                    votes[split] = heads[VOTES_HEAD]
        if mode == "fast":
            _say_accuracy(dataset, pooled[next(iter(rules))], name, say)
        if main_head:
            for number, (prior, rule) in enumerate(rules.items()):
                kind = f", {prior}" if number else ""
                kinds[f"{kind} --{mode}"] = Predictions(
                    f"{name}{kind} --{mode}",
                    pooled[prior],
                    info,
                    partial(_pooled, classify, rule),
                    votes or None if number == 0 else None,
                    f"{name}{kind} --fast",
                )
            if len(bundle.heads) > 1:
                kind, explain = f", {main.name} --{mode}", partial(_one_head, classify, main.name)
                kinds[kind] = Predictions(
                    name + kind, main_head, info, explain, explained=f"{name}, {main.name} --fast"
                )
    return kinds


def _say_accuracy(
    dataset: Dataset, by_split: Mapping[str, np.ndarray], name: str, say: Say
) -> None:
    """Report the accuracy of the mode `fast` on the test split, or else on validation."""
    split = next((split for split in ("test", "validation") if split in by_split), None)
    if split is not None:
        labels = dataset.part(split).labels
        right = float(np.mean(by_split[split].argmax(1) == labels))
        say(f"  {name} --fast: right on {percent(right)} of {len(labels):,} {split} faces")


def means(members: Sequence[Kinds]) -> list[Predictions]:
    """The mean prediction of several networks, for each kind that all of them have.

    Returns:
        Nothing for fewer than two networks.
    """
    if len(members) < 2:
        return []
    means = []
    for kind in [kind for kind in members[0] if all(kind in kinds for kinds in members)]:
        networks = [kinds[kind] for kinds in members]
        probabilities = _mean([network.probabilities for network in networks])
        all_votes = [network.votes for network in networks if network.votes]
        votes = _mean(all_votes) if len(all_votes) == len(networks) else None
        infos = [network.info for network in networks]
        # Only what all networks have: a sum over some would be taken for that over all.
        info: dict[str, Any] = {}
        for name in ("parameters", "multiply_adds"):
            if all(each.get(name) for each in infos):
                info[name] = sum(each[name] for each in infos)
        if len({(each.get("data") or {}).get("fingerprint") for each in infos}) == 1:
            info |= {name: infos[0].get(name) for name in ("data", "num_trained_on")}
        else:
            info["members"] = [
                {
                    "name": n.name,
                    **{fact: n.info[fact] for fact in _TRAINING_FACTS if fact in n.info},
                }
                for n in networks
            ]
        explains = [network.explain for network in networks if network.explain]
        explain = partial(_mean_of, explains) if len(explains) == len(networks) else None
        name = f"mean of {len(networks)}"
        explained = name + kind.replace("--best", "--fast")
        means.append(Predictions(name + kind, probabilities, info, explain, votes, explained))
    return means


def _mean(members: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Split -> mean probabilities, for the splits that all members have."""
    common = [split for split in members[0] if all(split in each for each in members)]
    return {split: np.mean([each[split] for each in members], axis=0) for split in common}


def _mean_of(
    explains: Sequence[Callable[[np.ndarray], np.ndarray]], faces: np.ndarray
) -> np.ndarray:
    return np.asarray(np.mean([explain(faces) for explain in explains], axis=0))


def _pooled(classify: Classifier, rule: AnswerRule, faces: np.ndarray) -> np.ndarray:
    return classify.answer(classify(faces), rule=rule)


def _one_head(classify: Classifier, head: str, faces: np.ndarray) -> np.ndarray:
    return classify(faces)[head]
