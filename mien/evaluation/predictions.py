"""What networks answer on data, for `mien.evaluation` to judge: runs, bundles, and the mean of
several.
"""

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

Asked = TypeVar("Asked")
Say = Callable[[str], None]
_LEARNED_FROM = ("data", "photographs")  # what tells of a network's training data
_BLOCK = 512  # faces asked between two words on how far it is; whole batches of either mode
Kinds = Mapping[str, Predictions]  # by what was asked of a network; the names end in that


def predictions(
    dataset: Dataset, network: Network, *, mode: str = "fast", name: str | None = None
) -> list[Predictions]:
    """What a trained network answers for every labelled row, for `mien.evaluate`.

    Of a run comes one `Predictions`. Of a bundle come its answer, its answer under each further
    class prior, and its main head by itself, as `mien evaluate --bundle` shows them.

    Args:
        dataset: The data; its labels must be those of the network, in its order
            (`dataset.with_labels`). `mien.evaluate(dataset, network)` sees to that itself.
        network: What `mien.fit` or `mien.open_bundle` gave, a run folder, or a bundle: its folder,
            its zip, or `shipped`.
        mode: `fast`; or of a bundle `best`, in 14 views, of the validation and test rows alone.
        name: What the answers are called; by default as the run's folder, or the bundle.

    Raises:
        UsageError: if network and data have different labels, or there are no rows to answer.
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
    known = name or _name(opened)
    if isinstance(opened, Bundle):
        found = of_bundle(dataset, opened, known, _quiet, modes=(mode,))
    elif mode == "fast":
        found = of_run(dataset, opened, known, _quiet)
    else:
        raise UsageError(
            f"mode: got {mode!r} for the run {known}; expected 'fast'. Fix: export it, and give "
            "the bundle"
        )
    if not any(one.probabilities for one in found.values()):
        raise UsageError(
            f"{dataset.source}: got no labelled rows to answer in mode {mode!r}; expected some in "
            "a validation or test split (in mode 'fast' in any). Fix: give data with such a split"
        )
    return list(found.values())


def all_answers(dataset: Dataset, networks: Sequence[Network]) -> tuple[Dataset, list[Predictions]]:
    """The rows that all networks can be judged on, and what each answers, looked at once."""
    opened = [opened_network(network) for network in networks]
    to_ask: list[tuple[Learned, Any, Any]] = []
    for network, name in zip(opened, each_once([_name(one) for one in opened]), strict=True):
        if isinstance(network, Bundle):
            ask = partial(of_bundle, modes=("fast",))
            to_ask.append((known_of_bundle(network, name), ask, network))
        else:
            to_ask.append((known_of_run(network, name), of_run, network))
    dataset = data_to_judge(dataset, [known for known, _, _ in to_ask])
    found = [among(dataset, *one, _quiet) for one in to_ask]
    return dataset, [network for kinds in found for network in kinds.values()]


def opened_network(network: Network) -> Run | Bundle:
    """A run or bundle, opened where it is named.

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
    """For functions, which say nothing while they work; the verbs do."""


def _name(network: Run | Bundle) -> str:
    named = network.name if isinstance(network, Bundle) else network.folder.resolve().name
    return printable(named)


def each_once(names: Sequence[str]) -> list[str]:
    """Names, with a number behind those that occur more than once."""
    numbered = [
        name if names.count(name) == 1 else f"{name} {n}" for n, name in enumerate(names, 1)
    ]
    # A name may have been that of another with its number.
    return (
        numbered
        if len(set(numbered)) == len(numbered)
        else [f"{name} {n}" for n, name in enumerate(names, 1)]
    )


def known_of_run(run: Run, name: str) -> Learned:
    """What is known of a run before it is asked."""
    return Learned(
        name,
        run.label_set,
        run.facts.get("data"),
        {VOTES_HEAD: FERPLUS} if run.recipe.votes_weight else {},
        run.facts.get("photographs"),
        _before(run.facts),
    )


def known_of_bundle(bundle: Bundle, name: str) -> Learned:
    """What is known of a bundle before it is asked."""
    main, *others = bundle.heads
    data = bundle.training.get("data")
    heads = {head.name: head.labels for head in others}
    training = bundle.training
    return Learned(name, main.labels, data, heads, training.get("photographs"), _before(training))


def _before(training: Mapping[str, Any]) -> dict[str, Any]:
    return {key: training[key] for key in ("begun_from", "taught_by") if key in training}


def asked(
    classify: Classifier, faces: np.ndarray, *, mode: str, what: str
) -> dict[str, np.ndarray]:
    """What calling a classifier gives, telling how far it is."""
    parts = []
    for start in range(0, len(faces), _BLOCK):
        parts.append(classify(faces[start : start + _BLOCK], mode=mode))
        tell_progress(what, min(start + _BLOCK, len(faces)), len(faces))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def ask_run(run: Run) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Faces -> what each head of a run answers; the network is loaded when first asked."""

    def ask(faces: np.ndarray) -> dict[str, np.ndarray]:
        from mien.training import runs

        return runs.predict_heads(runs.load_network(run), faces)

    return ask


def ask_bundle(bundle: Bundle) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Faces -> what each head of a bundle answers, looking once."""
    return lambda faces: asked(Classifier(bundle), faces, mode="fast", what=bundle.name)


def among(
    dataset: Dataset,
    known: Learned,
    ask: Callable[[Dataset, Asked, str, Say], Kinds],
    network: Asked,
    say: Say,
) -> Kinds:
    """What a network answers, with a column for each label of the data, known to it or not."""
    found = ask(dataset.with_labels(known.labels), network, known.name, say)
    return {kind: widened(one, known.labels, dataset.label_set) for kind, one in found.items()}


def of_run(dataset: Dataset, run: Run, name: str, say: Say) -> Kinds:
    """What the network of a run answers for every labelled row of every split; one kind, named by
    nothing.

    Args:
        dataset: The data.
        run: What is asked.
        name: What the answers are called.
        say: As for `of_bundle`; a run looks once.

    Raises:
        UsageError: if network and data have different labels.
    """
    from mien.training import models, runs

    dataset.must_be_labelled_as(run.label_set, str(run.folder))
    model = runs.load_network(run)
    main, *others = models.heads(run.recipe, run.label_set)
    answers = {
        split: runs.predict_heads(model, part.images)
        for split in SPLITS
        if len(part := dataset.part(split))
    }
    num_trained_on = run.facts["data"]["num_training"]
    info = {**run.facts, "recipe": run.recipe.to_dict(), "num_trained_on": num_trained_on}
    found = Predictions(
        name,
        {split: heads[main] for split, heads in answers.items()},
        info,
        partial(runs.predict, model),
        {split: heads[VOTES_HEAD] for split, heads in answers.items()} if others else None,
    )
    return {"": found}


def of_bundle(
    dataset: Dataset,
    bundle: Bundle,
    name: str,
    say: Say,
    *,
    modes: Sequence[str] = tuple(TEMPERATURE),
) -> Kinds:
    """What a bundle answers for every labelled row, looked at once (`fast`) and in 14 views
    (`best`).

    Judged are the answers under each class prior that the bundle names, and of a bundle with
    several heads the main one by itself.
    The views are not taken of the training faces: that would take most of the time and prove
    nothing.

    Args:
        dataset: The data.
        bundle: What is asked.
        name: What the answers are called, before their kind.
        say: Told how right the first mode is, as soon as that is known: the second takes longer.
        modes: `fast`, `best` or both.

    Returns:
        Kinds such as ` --best` (the answer as shown by default), `, balanced --best` (under another
        prior) and `, fer2013 --best` (a head alone).

    Raises:
        UsageError: if bundle and data have different labels.
    """
    main = bundle.heads[0]
    dataset.must_be_labelled_as(main.labels, bundle.name)
    info = dict(bundle.training)
    for fact in (
        "history",
        "members",
    ):  # what only a run, or a mean, tells; a file may hold anything under that name
        info.pop(fact, None)
    info["num_trained_on"] = (bundle.training.get("data") or {}).get("num_training")
    found = dict[str, Predictions]()
    classify = Classifier(bundle)
    for mode in modes:
        rules = bundle.rules
        shown = {prior: dict[str, np.ndarray]() for prior in rules}
        alone, votes = dict[str, np.ndarray](), dict[str, np.ndarray]()
        for split in SPLITS if mode == "fast" else SPLITS[1:]:
            part = dataset.part(split)
            if len(part):
                heads = asked(classify, part.images, mode=mode, what=f"{name} --{mode}")
                alone[split] = heads[main.name]
                for prior, rule in rules.items():
                    shown[prior][split] = classify.answer(heads, mode=mode, rule=rule)
                if VOTES_HEAD in heads and part.votes is not None:
                    votes[split] = heads[VOTES_HEAD]
        if mode == "fast":
            _say_first(dataset, shown[next(iter(rules))], name, say)
        if alone:
            for number, (prior, rule) in enumerate(rules.items()):
                kind = f", {prior}" if number else ""
                found[f"{kind} --{mode}"] = Predictions(
                    f"{name}{kind} --{mode}",
                    shown[prior],
                    info,
                    partial(_shown, classify, rule),
                    votes or None if number == 0 else None,
                    f"{name}{kind} --fast",
                )
            if len(bundle.heads) > 1:
                kind, explain = f", {main.name} --{mode}", partial(_said, classify, main.name)
                found[kind] = Predictions(
                    name + kind, alone, info, explain, explained=f"{name}, {main.name} --fast"
                )
    return found


def _say_first(dataset: Dataset, answers: Mapping[str, np.ndarray], name: str, say: Say) -> None:
    """How right a network is that looked once: looking in many views takes 14 times as long."""
    split = next((one for one in ("test", "validation") if one in answers), None)
    if split is not None:
        labels = dataset.part(split).labels
        right = float(np.mean(answers[split].argmax(1) == labels))
        say(f"  {name} --fast: right on {percent(right)} of {len(labels):,} {split} faces")


def means(members: Sequence[Kinds]) -> list[Predictions]:
    """The mean of what networks answer, for each kind of answer that all of them give; nothing for
    less than two.
    """
    if len(members) < 2:
        return []
    found = []
    for kind in [kind for kind in members[0] if all(kind in one for one in members)]:
        networks = [one[kind] for one in members]
        answers = _mean([network.probabilities for network in networks])
        all_votes = [network.votes for network in networks if network.votes]
        votes = _mean(all_votes) if len(all_votes) == len(networks) else None
        facts = [network.info for network in networks]
        # What all know, or agree on; a sum of some would be taken for the whole.
        info: dict[str, Any] = {}
        for name in ("parameters", "multiply_adds"):
            if all(one.get(name) for one in facts):
                info[name] = sum(one[name] for one in facts)
        if len({(one.get("data") or {}).get("fingerprint") for one in facts}) == 1:
            info |= {name: facts[0].get(name) for name in ("data", "num_trained_on")}
        else:
            info["members"] = [
                {"name": one.name, **{k: one.info[k] for k in _LEARNED_FROM if k in one.info}}
                for one in networks
            ]
        explains = [network.explain for network in networks if network.explain]
        explain = partial(_mean_answer, explains) if len(explains) == len(networks) else None
        name = f"mean of {len(networks)}"
        found.append(
            Predictions(
                name + kind, answers, info, explain, votes, name + kind.replace("--best", "--fast")
            )
        )
    return found


def _mean(answers: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    common = [split for split in answers[0] if all(split in one for one in answers)]
    return {split: np.mean([one[split] for one in answers], axis=0) for split in common}


def _mean_answer(
    explains: Sequence[Callable[[np.ndarray], np.ndarray]], faces: np.ndarray
) -> np.ndarray:
    return np.asarray(np.mean([explain(faces) for explain in explains], axis=0))


def _shown(classify: Classifier, rule: AnswerRule, faces: np.ndarray) -> np.ndarray:
    return classify.answer(classify(faces), rule=rule)


def _said(classify: Classifier, head: str, faces: np.ndarray) -> np.ndarray:
    return classify(faces)[head]
