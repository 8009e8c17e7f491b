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
FEW = 100  # validation faces; with fewer an export warns
SHOWN = 20  # rows left out that are told one by one


@dataclass(frozen=True)
class Job:
    """What the main job left: its numbers, and where the page lies."""

    evaluation: Evaluation
    report: Path


def run(
    source: Source, recipes: Sequence[Recipe], *, out: Path, say: Say, options: TrainOptions
) -> Job:
    """Read, audit, train a network by each recipe, evaluate them and write the report.

    Stopped and called again with the same arguments it goes on where it was.

    Args:
        source: Data to read.
        recipes: What to train, each under its own name.
        out: Folder for everything.
        say: Takes each sentence for the user.
        options: How to train.
    """
    need_train_extra()
    make_folder(out)
    dataset = read(source, say=say).with_labels_that_occur()
    if dataset.cropped is not None:
        draw_crops(dataset, out / "faces", say=say)
    audit = write_audit(dataset, out / "audit", say=say)
    runs = []
    for recipe in recipes:
        say(f"Training {recipe.name}: {describe(recipe)}")
        runs.append(
            train(dataset, recipe, folder=out / "networks" / recipe.name, say=say, options=options)
        )
        source.save(runs[-1].folder, dataset.source)
    from mien.evaluation import findings

    notes = findings.audit_sentences(audit.to_dict())
    return judge(dataset, runs, out=out / "report", say=say, data_notes=notes)


@dataclass(frozen=True)
class TrainOptions:
    """What does not change which network comes out, but how it gets there."""

    deterministic: bool = False
    fresh: bool = False
    tensorboard: bool = False
    teachers: Sequence[Bundle] = ()
    photographs: Dataset | None = None
    watch: Callable[[Moment], None] | None = None


def read(source: Source, *, say: Say, side: int = FACE_SIDE, to_train: bool = True) -> Dataset:
    """Load data, make sure of a validation split, and say what was found.

    Faces are cut out of photographs at the `side` in pixels that the networks take.

    Data `to_train` on that is too few to be split is refused; other data keeps its splits, and
    `judge` decides what they mean.
    """
    if source.side not in (FACE_SIDE, side):
        say(f"  --side {source.side}: the networks take {side} px, so faces are read at that")
    dataset = dataclasses.replace(source, side=side).load()
    if to_train:
        dataset = with_validation(dataset)
    say(f"Data: {dataset.source}: {_sizes(dataset)}, {len(dataset.label_set)} classes")
    for note in dataset.notes:
        say(f"  {note}")
    for one in dataset.left_out[:SHOWN]:
        say(f"  left out: {one.where}{'' if one.row is None else f', row {one.row}'}: {one.reason}")
    if len(dataset.left_out) > SHOWN:
        say(f"  and {len(dataset.left_out) - SHOWN:,} more; report.json and run.json list all")
    return dataset


def input_side(recipe: Recipe) -> int:
    """Side in pixels of the faces that a network of this recipe takes: its own, or that of the
    network it begins with.
    """
    need_train_extra()
    from mien.training import transfer

    return max(recipe.input_side, transfer.input_side(recipe.init))


def _sizes(dataset: Dataset) -> str:
    """`140 training, 35 validation faces`; `175 faces` where no split has a name."""
    counts = [len(dataset.part(split)) for split in SPLITS]
    named = [f"{n:,} {split}" for n, split in zip(counts, SPLITS, strict=True) if n]
    told = ", ".join(named) if any(counts[1:]) else f"{counts[0]:,}"
    return f"{told} {'face' if sum(counts) == 1 else 'faces'}"


def train(
    dataset: Dataset, recipe: Recipe, *, folder: Path, say: Say, options: TrainOptions
) -> Run:
    """Train one network and say how it ended."""
    need_train_extra()
    runtime.import_tensorflow()
    from mien.training import fit
    from mien.training.callbacks import tensorboard

    if (recipe.votes_weight or recipe.soft_label_weight) and not fit.has_votes(dataset):
        say(
            "  no FER+ votes came with the data: the network learns its labels alone, without the vote head"
        )
        recipe = dataclasses.replace(recipe, votes_weight=0.0, soft_label_weight=0.0)
    watchers = [options.watch] if options.watch else []
    if options.tensorboard:
        watchers.append(tensorboard(folder))

    def watch(moment: Moment) -> None:
        for watcher in watchers:
            watcher(moment)

    done = fit.fit(
        dataset,
        recipe,
        folder=folder,
        sources=fit.Sources(options.teachers, options.photographs),
        watch=watch,
        options=fit.FitOptions(options.deterministic, options.fresh, say),
    )
    for warning in done.facts["warnings"]:
        say(f"  a damaged checkpoint was passed over: {warning}")
    if begun := done.facts.get("begun_from"):
        kept = ", ".join(begun["labels_kept"]) or "none"
        say(
            f"  began with {begun['name']} ({(begun['digest'] or 'no digest')[:16]}); labels its head knew: {kept}"
        )
    best = done.facts["history"][done.facts["best_epoch"] - 1]
    say(
        f"  {recipe.name}: {best['val_accuracy']:.1%} of {done.facts['data']['num_validation']} validation faces at "
        f"epoch {best['epoch']} of {done.facts['epochs']}; {done.facts['stopped']}"
    )
    return done


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
        bundles: What `open_bundle` gave, judged beside the runs.
        ensemble: Judge also the mean of what the runs answer, and of what the bundles answer.
        data_notes: Sentences about the data for the report, such as those of
            `findings.audit_sentences`.
        weights: Class mix for a weighted accuracy beside the plain one.
    """
    need_evaluate_extra()
    from mien.evaluation import predictions
    from mien.evaluation.evaluate import NUM_MAPS, evaluate
    from mien.evaluation.judged_data import with_known_labels, with_splits
    from mien.evaluation.other_heads import with_other_heads
    from mien.evaluation.report import write_report
    from mien.evaluation.weighted import weigh

    make_folder(out)
    names = predictions.each_once([printable(run.folder.resolve().name) for run in runs])
    known_runs = [predictions.known_of_run(*one) for one in zip(runs, names, strict=True)]
    names = predictions.each_once([printable(bundle.name) for bundle in bundles])
    known_bundles = [predictions.known_of_bundle(*one) for one in zip(bundles, names, strict=True)]
    num_notes, before = len(dataset.notes), _sizes(dataset)
    whole = with_splits(dataset, [*known_runs, *known_bundles])
    dataset = with_known_labels(whole, [*known_runs, *known_bundles])
    for note in dataset.notes[num_notes:]:
        say(f"  {note}")
    sizes = _sizes(dataset)
    say("Evaluating" if sizes == before else f"Evaluating {sizes}")
    from_runs = [
        predictions.among(dataset, known, predictions.of_run, run, say)
        for run, known in zip(runs, known_runs, strict=True)
    ]
    from_bundles = [
        predictions.among(dataset, known, predictions.of_bundle, one, say)
        for one, known in zip(bundles, known_bundles, strict=True)
    ]
    networks = [one for kinds in (*from_runs, *from_bundles) for one in kinds.values()]
    if ensemble:
        networks += [*predictions.means(from_runs), *predictions.means(from_bundles)]
    evaluation = evaluate(
        dataset, networks, num_bootstrap=1000, data_notes=data_notes, num_maps=NUM_MAPS
    )
    asks = [predictions.ask_run(one) for one in runs]
    asks += [predictions.ask_bundle(one) for one in bundles]
    known = zip([*known_runs, *known_bundles], asks, strict=True)
    evaluation = with_other_heads(evaluation, whole, list(known))
    if weights is not None:
        evaluation = weigh(evaluation, weights)
    if other_data := evaluation.truth["words"]["other_data"]:
        say(f"  {other_data}")
    return Job(evaluation, write_report(evaluation, out))


def describe(recipe: Recipe) -> str:
    weights = (
        "no class weights"
        if recipe.class_weights == "none"
        else f"class weights {recipe.class_weights}"
    )
    augment = "augmentation" if recipe.augment else "no augmentation"
    begun = f"begins with {recipe.init}, " if recipe.init else ""
    return f"{begun}at most {recipe.max_epochs} epochs, {weights}, {augment}, seed {recipe.seed}"


def need_train_extra() -> None:
    """Refuse early when what training imports is not installed.

    Raises:
        MissingExtraError: naming the first package that is missing.
    """
    _need(("tensorflow", "keras", "filelock"), "train")
    need_evaluate_extra()


def need_evaluate_extra() -> None:
    """Refuse early when what judging imports is not installed; bundles need no TensorFlow.

    Raises:
        MissingExtraError: naming the first package that is missing.
    """
    _need(("sklearn", "mlxtend", "matplotlib", "jinja2", "scipy", "threadpoolctl"), "evaluate")


def _need(modules: Sequence[str], extra: str) -> None:
    for module in modules:
        try:
            is_there = importlib.util.find_spec(module) is not None
        except ValueError:  # a module that was set to None
            is_there = False
        if not is_there:
            raise MissingExtraError(module, extra)


def average(
    dataset: Dataset,
    bundles: Sequence[Bundle],
    *,
    folder: Path,
    shares: Sequence[float],
    fresh: bool,
) -> Run:
    """A run whose weights are the mean of those of bundles (`mien.training.weight_average`)."""
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
    """Write the network of a run as a bundle; with data also calibrated and measured."""
    refuse_foreign(out)  # before the work, not after it
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
        say(
            "No --data: the bundle has no scores, and its probabilities are as the network gives them."
        )
    else:
        dataset = read(source, say=say, side=run.recipe.input_side, to_train=False)
        with contextlib.suppress(DataError):
            dataset = with_validation(dataset)  # it calibrates
        dataset = dataset.with_labels(run.label_set)
        _warn_before_export(run, dataset, say)
    return write(run, out, dataset=dataset, measure=measure, int8=int8, half=half)


def _warn_before_export(run: Run, dataset: Dataset, say: Say) -> None:
    """Say what makes calibration and scores worth less than they look."""
    theirs = run.facts["data"].get("fingerprints", {})
    other = [
        split
        for split in ("training", "validation")
        if theirs.get(split) not in (None, dataset.fingerprints[split])
    ]
    if other:
        say(
            f"  ! The run was trained on other data ({' and '.join(other)} differ): scores are of these faces."
        )
    validation = dataset.part("validation")
    if len(validation) < FEW:
        say(
            f"  ! {len(validation)} labelled validation faces: too few to say how sure the network may be."
        )
    if run.recipe.votes_weight and (validation.votes is None or not validation.votes.any()):
        say("  ! No FER+ votes came with the data: the vote head is not calibrated.")


def load_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs in folders that `mien train` wrote."""
    need_train_extra()
    runtime.import_tensorflow()
    from mien.training.runs import load_run

    return [load_run(folder) for folder in folders]
