"""The job of `mien run`: read, audit, train, evaluate, report.

Everything is written into one folder:

    OUT/audit/      audit.json, audit.txt and contact sheets
    OUT/networks/   a run folder for each network
    OUT/report/     report.html, report.json, report.md and pictures
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien import runtime
from mien.bundle.files import refuse_foreign
from mien.constants import FACE_SIDE
from mien.data.dataset import SPLITS, Dataset
from mien.data.source import Source, draw_crops, make_folder, write_audit
from mien.data.split import with_validation
from mien.errors import DataError, MissingExtraError, printable

if TYPE_CHECKING:
    from mien.bundle import Bundle
    from mien.evaluation.evaluate import Evaluation
    from mien.evaluation.weighted import ClassWeights
    from mien.training.callbacks import Moment
    from mien.training.recipe import Recipe
    from mien.training.runs import Run

Say = Callable[[str], None]
MIN_VALIDATION_FACES = 100  # with fewer, an export warns
MAX_LISTED = 20  # rows left out that are listed one by one


@dataclass(frozen=True)
class Job:
    """The result of an evaluation: its scores, and the path of the report."""

    evaluation: Evaluation
    report: Path


def run(
    source: Source, recipes: Sequence[Recipe], *, out: Path, say: Say, options: TrainOptions
) -> Job:
    """Read and audit data, train a network with each recipe, evaluate them and write the report.

    After an interruption, a call with the same arguments continues.

    Args:
        source: The data to read.
        recipes: The recipes to train; their names must differ.
        out: Folder for everything.
        say: Receives sentences for the user.
        options: How to train.
    """
    need_train_extra()
    make_folder(out)
    dataset = read(source, say=say).with_labels_that_occur()
    if dataset.cropped is not None:
        draw_crops(dataset, out / "faces", say=say)
    audit = write_audit(dataset, out / "audit", say=say)
    options = dataclasses.replace(options, source=source)
    runs = []
    for recipe in recipes:
        say(f"Training {recipe.name}: {describe(recipe)}")
        runs.append(
            train(dataset, recipe, folder=out / "networks" / recipe.name, say=say, options=options)
        )
    from mien.evaluation import findings

    notes = findings.audit_sentences(audit.to_dict())
    return judge(dataset, runs, out=out / "report", say=say, data_notes=notes)


@dataclass(frozen=True)
class TrainOptions:
    """Options of training that do not belong to a recipe (`mien train --help`)."""

    deterministic: bool = False
    fresh: bool = False
    tensorboard: bool = False
    teachers: Sequence[Bundle] = ()
    photographs: Dataset | None = None
    watch: Callable[[Moment], None] | None = None
    source: Source = Source(None)  # where the data comes from, for the commands that follow


def read(source: Source, *, say: Say, side: int = FACE_SIDE, to_train: bool = True) -> Dataset:
    """Load data, and report its size and notes.

    Args:
        source: The data to read.
        say: Receives sentences for the user.
        side: Side of the networks' input in pixels, at which faces are cut out of photographs.
        to_train: Make sure that there is a validation split. Otherwise the data keeps its splits,
            and `judge` decides what they mean.

    Raises:
        DataError: if the data cannot be read, or `to_train` is set and it is too small to split.
    """
    if source.side not in (FACE_SIDE, side):
        say(f"  --side {source.side}: networks take {side} px, so faces are read at that size")
    dataset = dataclasses.replace(source, side=side).load()
    if to_train:
        dataset = with_validation(dataset)
    say(f"Data: {dataset.source}: {_sizes(dataset)}, {len(dataset.label_set)} classes")
    for note in dataset.notes:
        say(f"  {note}")
    for item in dataset.left_out[:MAX_LISTED]:
        row = "" if item.row is None else f", row {item.row}"
        say(f"  left out: {item.where}{row}: {item.reason}")
    if len(dataset.left_out) > MAX_LISTED:
        say(
            f"  and {len(dataset.left_out) - MAX_LISTED:,} more; report.json and run.json list "
            "them all"
        )
    return dataset


def input_side(recipe: Recipe) -> int:
    """Side in pixels of the input of a recipe's network, or of the network it starts from if that
    is larger.
    """
    if not recipe.init:
        return recipe.input_side
    need_train_extra()
    runtime.import_tensorflow()
    from mien.training import transfer

    return max(recipe.input_side, transfer.input_side(recipe.init))


def _sizes(dataset: Dataset) -> str:
    """Such as `140 training, 35 validation faces`, or `175 faces` without splits."""
    counts = [len(dataset.part(split)) for split in SPLITS]
    parts = [f"{n:,} {split}" for n, split in zip(counts, SPLITS, strict=True) if n]
    sizes = ", ".join(parts) if any(counts[1:]) else f"{counts[0]:,}"
    return f"{sizes} {'face' if sum(counts) == 1 else 'faces'}"


def train(
    dataset: Dataset, recipe: Recipe, *, folder: Path, say: Say, options: TrainOptions
) -> Run:
    """Train one network and report the result."""
    need_train_extra()
    runtime.import_tensorflow()
    from mien.training import fit
    from mien.training.callbacks import tensorboard

    if (recipe.votes_weight or recipe.soft_label_weight) and not fit.has_votes(dataset):
        say(
            "  the data has no FER+ votes: the network is trained on the labels alone, without "
            "the vote head"
        )
        recipe = dataclasses.replace(recipe, votes_weight=0.0, soft_label_weight=0.0)
    watchers = [options.watch] if options.watch else []
    if options.tensorboard:
        watchers.append(tensorboard(folder))

    def watch(moment: Moment) -> None:
        for watcher in watchers:
            watcher(moment)

    trained_run = fit.fit(
        dataset,
        recipe,
        folder=folder,
        sources=fit.Sources(options.teachers, options.photographs),
        watch=watch,
        options=fit.FitOptions(
            options.deterministic,
            options.fresh,
            say,
            lambda: options.source.save(folder, dataset.source),
        ),
    )
    for warning in trained_run.facts["warnings"]:
        say(f"  a damaged checkpoint was skipped: {warning}")
    if initial_network := trained_run.facts.get("begun_from"):
        kept_labels = ", ".join(initial_network["labels_kept"]) or "none"
        say(
            f"  started from {initial_network['name']} "
            f"({(initial_network['digest'] or 'no digest')[:16]}); labels that its head already "
            f"had: {kept_labels}"
        )
    facts = trained_run.facts
    best = facts["history"][facts["best_epoch"] - 1]
    say(
        f"  {recipe.name}: {best['val_accuracy']:.1%} of {facts['data']['num_validation']} "
        f"validation faces at epoch {best['epoch']} of {facts['epochs']}; {facts['stopped']}"
    )
    return trained_run


def judge(
    dataset: Dataset,
    runs: Sequence[Run],
    *,
    bundles: Sequence[Bundle] = (),
    ensemble: bool = False,
    out: Path,
    say: Say,
    data_notes: Sequence[str] = (),
    weights: ClassWeights | None = None,
) -> Job:
    """Predict every split with every network, evaluate, and write the report into `out`.

    Args:
        bundles: Bundles from `open_bundle`, evaluated beside the runs.
        ensemble: Also evaluate the mean of the runs' predictions, and that of the bundles'.
        data_notes: Sentences about the data for the report, such as those of
            `findings.audit_sentences`.
        weights: Class mix for a weighted accuracy beside the plain one.
    """
    need_evaluate_extra()
    from mien.evaluation import predictions
    from mien.evaluation.evaluate import NUM_MAPS, evaluate
    from mien.evaluation.judged_data import foreign_sources, with_known_labels, with_splits
    from mien.evaluation.other_heads import with_other_heads
    from mien.evaluation.report import write_report
    from mien.evaluation.weighted import weigh

    make_folder(out)
    names = predictions.unique_names([printable(run.folder.resolve().name) for run in runs])
    by_runs = [predictions.learned_by_run(*pair) for pair in zip(runs, names, strict=True)]
    names = predictions.unique_names([printable(bundle.name) for bundle in bundles])
    by_bundles = [predictions.learned_by_bundle(*pair) for pair in zip(bundles, names, strict=True)]
    num_notes, sizes_before = len(dataset.notes), _sizes(dataset)
    all_rows = with_splits(dataset, [*by_runs, *by_bundles])
    dataset = with_known_labels(all_rows, [*by_runs, *by_bundles])
    for note in dataset.notes[num_notes:]:
        say(f"  {note}")
    for sentence in foreign_sources(dataset, [*by_runs, *by_bundles]):
        say(f"  ! {sentence}")
    sizes = _sizes(dataset)
    say("Evaluating" if sizes == sizes_before else f"Evaluating {sizes}")
    from_runs = [
        predictions.with_all_labels(dataset, known_labels, predictions.of_run, run, say)
        for run, known_labels in zip(runs, by_runs, strict=True)
    ]
    from_bundles = [
        predictions.with_all_labels(dataset, known_labels, predictions.of_bundle, bundle, say)
        for bundle, known_labels in zip(bundles, by_bundles, strict=True)
    ]
    networks = [network for kinds in (*from_runs, *from_bundles) for network in kinds.values()]
    if ensemble:
        networks += [*predictions.means(from_runs), *predictions.means(from_bundles)]
    evaluation = evaluate(
        dataset, networks, num_bootstrap=1000, data_notes=data_notes, num_maps=NUM_MAPS
    )
    functions = [predictions.heads_of_run(run) for run in runs]
    functions += [predictions.heads_of_bundle(bundle) for bundle in bundles]
    pairs = list(zip([*by_runs, *by_bundles], functions, strict=True))
    evaluation = with_other_heads(evaluation, all_rows, pairs)
    if weights is not None:
        evaluation = weigh(evaluation, weights)
    return Job(evaluation, write_report(evaluation, out))


def describe(recipe: Recipe) -> str:
    weights = (
        "no class weights"
        if recipe.class_weights == "none"
        else f"class weights {recipe.class_weights}"
    )
    augmentation = "augmentation" if recipe.augment else "no augmentation"
    start = f"starts from {recipe.init}, " if recipe.init else ""
    return (
        f"{start}at most {recipe.max_epochs} epochs, {weights}, {augmentation}, seed {recipe.seed}"
    )


def need_train_extra() -> None:
    """Fail early if a package for training is not installed.

    Raises:
        MissingExtraError: naming the first package that is missing.
    """
    _need(("tensorflow", "keras", "filelock"), "train")
    need_evaluate_extra()


def need_evaluate_extra() -> None:
    """Fail early if a package for evaluation is not installed; bundles need no TensorFlow.

    Raises:
        MissingExtraError: naming the first package that is missing.
    """
    _need(("sklearn", "mlxtend", "matplotlib", "jinja2", "scipy", "threadpoolctl"), "evaluate")


def _need(modules: Sequence[str], extra: str) -> None:
    for module in modules:
        try:
            is_installed = importlib.util.find_spec(module) is not None
        except ValueError:  # a module that was set to None
            is_installed = False
        if not is_installed:
            raise MissingExtraError(module, extra)


def average(
    dataset: Dataset,
    bundles: Sequence[Bundle],
    *,
    folder: Path,
    shares: Sequence[float],
    fresh: bool,
) -> Run:
    """Write a run whose weights are the weighted mean of those of bundles."""
    runtime.import_tensorflow()
    from mien.training.weight_average import average as write

    return write(dataset, bundles, folder, shares=shares, fresh=fresh)


def export(
    folder: Path,
    out: Path,
    *,
    source: Source | None,
    int8: bool = False,
    half: bool = False,
    say: Say,
) -> Bundle:
    """Write the network of a run as a bundle; with data it is also calibrated and evaluated."""
    refuse_foreign(out)  # now, not after all the work
    [run] = load_runs([folder])
    from mien.evaluation import metrics
    from mien.training.export import export as write

    def measure(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
        scores, _ = metrics.estimates(labels, probabilities, num_bootstrap=1000, seed=0)
        return {
            **scores,
            "ece": metrics.calibration_error(metrics.reliability(labels, probabilities)),
        }

    dataset = None
    if source is None:
        say("No --data: the bundle has no scores, and its probabilities are not calibrated.")
    else:
        dataset = read(source, say=say, side=run.recipe.input_side, to_train=False)
        with contextlib.suppress(DataError):
            dataset = with_validation(dataset)  # for calibration
        dataset = dataset.with_labels(run.label_set)
        _warn_before_export(run, dataset, say)
    return write(run, out, dataset=dataset, measure=measure, int8=int8, half=half)


def _warn_before_export(run: Run, dataset: Dataset, say: Say) -> None:
    """Warn if the calibration or the scores cannot be relied upon."""
    run_fingerprints = run.facts["data"].get("fingerprints", {})
    changed_splits = [
        split
        for split in ("training", "validation")
        if run_fingerprints.get(split) not in (None, dataset.fingerprints[split])
    ]
    if changed_splits:
        say(
            f"  ! The run was trained on other data ({' and '.join(changed_splits)} differ), but "
            "the scores are for this data."
        )
    validation = dataset.part("validation")
    if len(validation) < MIN_VALIDATION_FACES:
        say(
            f"  ! {len(validation)} labelled validation faces are too few to calibrate the network "
            "well."
        )
    if run.recipe.votes_weight and (validation.votes is None or not validation.votes.any()):
        say("  ! The data has no FER+ votes: the vote head is not calibrated.")


def load_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs in folders that `mien train` wrote."""
    need_train_extra()
    runtime.import_tensorflow()
    from mien.training.runs import load_run

    return [load_run(folder) for folder in folders]
