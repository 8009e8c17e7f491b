"""The main job: read, audit, train, evaluate, report. `mien run` and the script call `run`.

Everything lies in one folder:

    OUT/audit/      audit.json, audit.txt and contact sheets
    OUT/networks/   a run folder for each network
    OUT/report/     report.html, report.json, report.md and pictures
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien import runtime
from mien.bundle.files import refuse_foreign
from mien.constants import FACE_SIDE
from mien.data.dataset import SPLITS, UNLABELLED, Dataset
from mien.data.groups import with_groups
from mien.data.label_names import renamed
from mien.data.readers import load_dataset
from mien.data.split import with_validation
from mien.errors import DataError, MissingExtraError, UsageError, printable, writing
from mien.labels import VOTES_HEAD

if TYPE_CHECKING:
    from mien.bundle import Bundle
    from mien.data.audit import Audit
    from mien.evaluation.evaluate import Evaluation
    from mien.training.callbacks import Moment
    from mien.training.recipes import Recipe
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
    source: str | os.PathLike[str] | None,
    recipes: Sequence[Recipe],
    *,
    out: Path,
    say: Say,
    options: TrainOptions,
    reading: Reading,
) -> Job:
    """Read, audit, train a network by each recipe, evaluate them and write the report.

    Stopped and called again with the same arguments it goes on where it was.

    Args:
        source: Data to read; None searches for it (`mien.data.readers.find_data`).
        recipes: What to train, each under its own name.
        out: Folder for everything.
        say: Takes each sentence for the user.
        options: How to train.
        reading: How to read the data.
    """
    need_train_extra()
    make_folder(out)
    dataset = read(source, reading, say=say).with_labels_that_occur()
    if dataset.cropped is not None:
        draw_crops(dataset, out / "faces", say=say)
    found = write_audit(dataset, out / "audit", say=say)
    runs = []
    for recipe in recipes:
        say(f"Training {recipe.name}: {describe(recipe)}")
        runs.append(
            train(dataset, recipe, folder=out / "networks" / recipe.name, say=say, options=options)
        )
    from mien.evaluation import findings

    notes = findings.audit_sentences(found.to_dict())
    return judge(dataset, runs, out=out / "report", say=say, data_notes=notes)


@dataclass(frozen=True)
class Reading:
    """How data is read; all but `to_train` are options of the command line.

    Attributes:
        votes: FER+'s file for the same rows.
        on_error: `raise`, or `skip` what cannot be read, and say which.
        faces, side: How faces come out of pictures, and their size (`mien.data.crop`).
        labels: Names for the labels (`mien.data.label_names`).
        groups: Table of whose picture is whose (`mien.data.groups`).
        to_train: Data without a validation split is given one; to be judged it is left as it is.
    """

    votes: Path | None = None
    on_error: str = "raise"
    faces: str = "auto"
    side: int = FACE_SIDE
    labels: str | None = None
    groups: Path | None = None
    to_train: bool = True


@dataclass(frozen=True)
class TrainOptions:
    """What does not change which network comes out, but how it gets there."""

    deterministic: bool = False
    fresh: bool = False
    tensorboard: bool = False
    teachers: Sequence[Bundle] = ()
    watch: Callable[[Moment], None] | None = None


def load(source: str | os.PathLike[str] | None, reading: Reading) -> Dataset:
    """Load data as `reading` says, its splits as they are."""
    dataset = load_dataset(
        source,
        votes=reading.votes,
        faces=reading.faces,
        side=reading.side,
        on_error=reading.on_error,
    )
    if reading.labels is not None:
        dataset = renamed(dataset, reading.labels)
    return dataset if reading.groups is None else with_groups(dataset, reading.groups)


def read(source: str | os.PathLike[str] | None, reading: Reading, *, say: Say) -> Dataset:
    """Load data, make sure of a validation split, and say what was found.

    Where the data is to train on and too few to be split it is refused; else it is then judged as
    it is.
    """
    dataset = load(source, reading)
    with contextlib.nullcontext() if reading.to_train else contextlib.suppress(DataError):
        dataset = with_validation(dataset)
    counts = ", ".join(f"{len(dataset.part(split))} {split}" for split in SPLITS)
    say(f"Data: {dataset.source}: {counts} faces, {len(dataset.label_set)} classes")
    for note in dataset.notes:
        say(f"  {note}")
    for one in dataset.left_out[:SHOWN]:
        say(f"  left out: {one.where}{'' if one.row is None else f', row {one.row}'}: {one.reason}")
    if len(dataset.left_out) > SHOWN:
        say(f"  and {len(dataset.left_out) - SHOWN:,} more; report.json and run.json list all")
    return dataset


def write_audit(dataset: Dataset, folder: Path, *, say: Say) -> Audit:
    """Write audit.json, audit.txt and contact sheets into `folder`.

    Raises:
        RunError: if it cannot be written.
    """
    from mien.data.audit import audit, write_sheets

    make_folder(folder)
    found = audit(dataset)
    with writing(folder):
        (folder / "audit.json").write_text(
            json.dumps(found.to_dict(rows=True), indent=1), encoding="utf-8"
        )
        (folder / "audit.txt").write_text(found.table() + "\n", encoding="utf-8")
        write_sheets(found, dataset, folder)
    say(f"Audit: {folder / 'audit.txt'}")
    return found


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
    # Counted here, not in fit, since it is said before hours of work.
    num_leaks = fit.training_rows(dataset, recipe)[1]
    if num_leaks:
        say(
            f"  {num_leaks} training rows are left out: their pixels occur in validation or test (--keep-leaks)"
        )
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
        deterministic=options.deterministic,
        fresh=options.fresh,
        teachers=options.teachers,
        watch=watch,
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
    num_bootstrap: int = 1000,
    data_notes: Sequence[str] = (),
    num_maps: int | None = None,
) -> Job:
    """Predict every split with every network, evaluate, and write the report into `out`.

    Args:
        bundles: What `open_bundle` gave, judged beside the runs.
        ensemble: Judge also the mean of what the runs answer, and of what the bundles answer.
        data_notes: Sentences about the data for the report, such as those of
            `findings.audit_sentences`.
        num_maps: Faces of each class whose occlusion maps the report shows for its best network; 0
            leaves them out, None takes `mien.evaluation.evaluate.NUM_MAPS`.
    """
    need_train_extra()
    from mien.evaluation import predictions
    from mien.evaluation.evaluate import NUM_MAPS, evaluate
    from mien.evaluation.report import write_report

    make_folder(out)
    say("Evaluating")
    known = {*(run.label_set for run in runs), *(bundle.heads[0].labels for bundle in bundles)}
    if len(known) == 1:
        dataset = dataset.with_labels(known.pop())
    names = each_once([printable(run.folder.resolve().name) for run in runs])
    from_runs = [
        predictions.of_run(dataset, run, name) for run, name in zip(runs, names, strict=True)
    ]
    names = each_once([printable(bundle.name) for bundle in bundles])
    from_bundles = [
        predictions.of_bundle(dataset, one, name) for one, name in zip(bundles, names, strict=True)
    ]
    networks = [one for kinds in (*from_runs, *from_bundles) for one in kinds.values()]
    if ensemble:
        networks += [*predictions.means(from_runs), *predictions.means(from_bundles)]
    evaluation = evaluate(
        dataset,
        networks,
        num_bootstrap=num_bootstrap,
        data_notes=data_notes,
        num_maps=NUM_MAPS if num_maps is None else num_maps,
    )
    if other_data := evaluation.truth["words"]["other_data"]:
        say(f"  {other_data}")
    return Job(evaluation, write_report(evaluation, out))


def each_once(names: Sequence[str]) -> list[str]:
    """Names, with a number behind those that occur more than once."""
    found = [name if names.count(name) == 1 else f"{name} {n}" for n, name in enumerate(names, 1)]
    # A name may have been that of another with its number.
    return (
        found
        if len(set(found)) == len(found)
        else [f"{name} {n}" for n, name in enumerate(names, 1)]
    )


def describe(recipe: Recipe) -> str:
    weights = (
        "no class weights"
        if recipe.class_weights == "none"
        else f"class weights {recipe.class_weights}"
    )
    augment = "augmentation" if recipe.augment else "no augmentation"
    begun = f"begins with {recipe.init}, " if recipe.init else ""
    return f"{begun}at most {recipe.max_epochs} epochs, {weights}, {augment}, seed {recipe.seed}"


def make_folder(folder: Path) -> None:
    """Make a folder for results.

    Raises:
        RunError: if it cannot be made or written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # of a name that no other process has


def need_train_extra() -> None:
    """Refuse early when what training and judging import is not installed.

    Raises:
        MissingExtraError: naming the first package that is missing.
    """
    for module in ("tensorflow", "keras", "filelock", "sklearn", "mlxtend", "matplotlib", "jinja2"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module, "train")


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
    data: str | None,
    int8: bool = False,
    half: bool = False,
    say: Say,
    reading: Reading,
) -> tuple[dict[str, Any], str]:
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

    reading = dataclasses.replace(reading, to_train=False)
    dataset = None if data is None else read(data, reading, say=say)
    if dataset is None:
        say(
            "No --data: the bundle has no scores, and its probabilities are as the network gives them."
        )
    else:
        dataset = dataset.with_labels(run.label_set)
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
    bundle = write(run, out, dataset=dataset, measure=measure, int8=int8, half=half)
    head = bundle.heads[0]
    rows = [
        ("bundle", str(out)),
        ("digest", bundle.digest[:16]),
        ("network", f"{len(bundle.model) / 1e6:.1f} MB, {bundle.precision}"),
        ("labels", ", ".join(head.labels)),
        ("temperature", f"{head.temperature:.3f}"),
        ("largest difference to Keras", f"{bundle.parity['max_difference']:.1e}"),
    ]
    for split, scores in bundle.metrics.items():
        rows.append(
            (f"accuracy on {split}", f"{scores['accuracy']['value']:.1%} (n = {scores['n']})")
        )
        rows.append(("  in 14 views", f"{scores['best']['accuracy']['value']:.1%}"))
        if votes := scores.get("heads", {}).get(VOTES_HEAD):
            rows.append(("  FER+ majority", f"{votes['accuracy']['value']:.1%} (n = {votes['n']})"))
    return {"out": str(out), **bundle.facts}, aligned(rows)


def load_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs in folders that `mien train` wrote."""
    need_train_extra()
    runtime.import_tensorflow()
    from mien.training.runs import load_run

    return [load_run(folder) for folder in folders]


def summary_table(runs: Sequence[Run]) -> str:
    """What networks are and cost, as text: parameters, multiply-adds, seconds an epoch, peak
    memory.
    """
    rows = [
        (
            "network",
            "parameters",
            "multiply-adds",
            "s an epoch",
            "peak MB",
            "epochs",
            "best",
            "validation accuracy",
        )
    ]
    for run in runs:
        facts = run.facts
        best = facts["history"][facts["best_epoch"] - 1]
        averaged = "averaged" in facts  # nothing was trained
        judged_on = facts.get("num_validation") or facts["data"].get("num_validation", "n/a")
        rows.append(
            (
                printable(run.folder.resolve().name),
                f"{facts['parameters']:,}",
                f"{facts['multiply_adds'] / 1e6:.1f} M",
                "n/a" if averaged else f"{facts['seconds_per_epoch']:.1f}",
                str(facts["peak_memory_mb"] or "n/a"),
                "n/a" if averaged else str(facts["epochs"]),
                "n/a" if averaged else str(facts["best_epoch"]),
                f"{best['val_accuracy']:.1%} (n = {judged_on})",
            )
        )
    return aligned(rows)


def recipe_table() -> tuple[dict[str, Any], str]:
    """The recipes, as JSON-able facts and as text."""
    from mien.training.recipes import RECIPES

    recipes = [make() for make in RECIPES.values()]
    rows = [("recipe", "convolutions (filters)", "dense", "epochs", "batch", "learning rate")]
    for one in recipes:
        blocks = " | ".join(" ".join(map(str, block)) for block in one.blocks)
        rows.append(
            (
                one.name,
                blocks,
                str(one.dense),
                f"<= {one.max_epochs}",
                str(one.batch_size),
                f"{one.learning_rate:g}",
            )
        )
    return {"recipes": [one.to_dict() for one in recipes]}, aligned(rows)


def data_info(source: str | None, reading: Reading) -> tuple[dict[str, Any], str]:
    """Counts by split and class, as JSON-able facts and as text."""
    dataset = load(source, reading)
    counts = dataset.counts()
    unlabelled = int(np.sum(dataset.labels == UNLABELLED))
    rows: list[tuple[str, ...]] = [("class", *SPLITS, "all")]
    rows += [
        (name, *(str(n) for n in counts[:, k]), str(counts[:, k].sum()))
        for k, name in enumerate(dataset.label_set)
    ]
    rows.append(("all", *(str(n) for n in counts.sum(axis=1)), str(counts.sum())))
    answer = {
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        "labels": list(dataset.label_set),
        "counts": {
            split: dict(zip(dataset.label_set, map(int, counts[s]), strict=True))
            for s, split in enumerate(SPLITS)
        },
        "num_unlabelled": unlabelled,
        "num_with_votes": 0 if dataset.votes is None else len(dataset),
        "notes": list(dataset.notes),
        "left_out": [dataclasses.asdict(one) for one in dataset.left_out],
    }
    lines = [f"Data: {dataset.source} (fingerprint {dataset.fingerprint})", "", aligned(rows)]
    if unlabelled:
        lines.append(f"{unlabelled} rows have no label")
    return answer, "\n".join([*lines, *dataset.notes])


def data_audit(
    source: str | None, reading: Reading, *, out: Path | None, say: Say
) -> tuple[dict[str, Any], str]:
    """The audit, as JSON-able facts and as text; written into `out` if that is given."""
    from mien.data.audit import audit

    dataset = load(source, reading)
    for note in dataset.notes:
        say(note)
    found = write_audit(dataset, out, say=say) if out else audit(dataset)
    return found.to_dict(rows=True), found.table()


def data_draw(out: Path, *, num: int, seed: int, form: str) -> tuple[dict[str, Any], str]:
    """Draw faces into `out`: a folder, or a csv."""
    from mien.data.convert import is_csv
    from mien.data.synthetic import drawn_dataset

    eighth = num // 8
    dataset = drawn_dataset(num - 2 * eighth, eighth, eighth, seed)
    if form != "csv" and is_csv(out):
        raise UsageError(
            f"{out}: came the name of a csv for a folder; expected another, or --form csv"
        )
    if form == "csv" and out.name and not is_csv(out):
        out = out.with_name(f"{out.name}.csv")
    return _written(dataset, out)


def data_convert(
    source: str, out: Path, reading: Reading, *, labelled_only: bool, say: Say
) -> tuple[dict[str, Any], str]:
    """Read data in any form and write it as `out`: `.csv`, `.csv.gz`, or else a folder."""
    dataset = load(source, reading)
    for note in dataset.notes:
        say(note)
    return _written(dataset, out, labelled_only=labelled_only)


def data_crop(
    source: str, out: Path, reading: Reading, *, sheets: Path | None, say: Say
) -> tuple[dict[str, Any], str]:
    """Cut the faces out of photographs and write them as a folder that `mien train` reads."""
    from mien.data.crop_folder import write_crops

    dataset = load(source, reading)
    for note in dataset.notes:
        say(note)
    written = write_crops(dataset, out)
    drawn = draw_crops(dataset, sheets or out.with_name(f"{out.name}-sheets"), say=say)
    left_out = [dataclasses.asdict(one) for one in dataset.left_out]
    values = {
        "written": str(written),
        "num_faces": len(dataset),
        "side_px": dataset.side,
        "left_out": left_out,
        "sheets": [str(path) for path in drawn],
    }
    return values, f"{len(dataset)} faces: {written}"


def draw_crops(dataset: Dataset, folder: Path, *, say: Say) -> list[Path]:
    """Contact sheets of faces cut out, and of pictures without a face or with several."""
    from mien.data.crop_folder import write_crop_sheets

    drawn = write_crop_sheets(dataset, folder)
    say(f"Look at what was cut out: {', '.join(str(path) for path in drawn)}")
    return drawn


def _written(
    dataset: Dataset, out: Path, *, labelled_only: bool = False
) -> tuple[dict[str, Any], str]:
    from mien.data.convert import convert

    written = convert(dataset, out, labelled_only=labelled_only)
    num = int(np.sum(dataset.labels != UNLABELLED))
    return {"written": str(written), "num_faces": num}, f"{num} faces: {written}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length as text, the first column left, the others right aligned."""
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if c == 0 else cell.rjust(width)
            for c, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
