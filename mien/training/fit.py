"""Train a network; a training that is killed continues from its last epoch.

The order of batches, augmentation and learning rate are functions of (seed, epoch, step). All other
state is in the checkpoint: weights, the optimizer's moments, the moving average, and the state of
dropout.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import mien
from mien.bundle import Bundle
from mien.bundle.schema import MAX_LABELS, MAX_LETTERS
from mien.data.dataset import Dataset, leaked
from mien.errors import DataError, UsageError
from mien.labels import FERPLUS, FERPLUS_VOTES
from mien.training import checkpoint, face_api, init_names, transfer
from mien.training.callbacks import Moment
from mien.training.recipe import Recipe
from mien.training.runs import (
    RUN_FILE,
    Run,
    ancestor,
    clear,
    known_run,
    load_network,
    load_run,
    locked,
)
from mien.training.trainer import Trainer


@dataclass(frozen=True)
class FitOptions:
    """Options that do not change how the network is trained.

    Attributes:
        deterministic: The same arguments give bit-identical weights, even after a kill. It is
            slower, and holds for the whole process.
        fresh: Delete an existing run in the folder.
        say: Receives messages for the user before training starts.
        recorded: Called once the folder holds the record of this run, before training.
    """

    deterministic: bool = False
    fresh: bool = False
    say: Callable[[str], None] = lambda sentence: None
    recorded: Callable[[], None] = lambda: None


@dataclass(frozen=True, eq=False)
class Sources:
    """Sources of training targets besides the data.

    Attributes:
        teachers: Bundles whose mean prediction is part of the targets (`Recipe.teacher_weight`).
        photographs: Faces from everyday photographs. Their training split trains the vote head
            (`Recipe.photograph_share`); a label counts as ten votes.
    """

    teachers: Sequence[Bundle] = ()
    photographs: Dataset | None = None


def fit(
    dataset: Dataset,
    recipe: Recipe,
    *,
    folder: str | os.PathLike[str],
    sources: Sources = Sources(),
    watch: Callable[[Moment], None] | None = None,
    options: FitOptions = FitOptions(),
) -> Run:
    """Train on the training split, and keep the epoch that is best on the validation split.

    If the process is killed, the same call continues from the last complete epoch. A finished run
    is returned as it is.

    Args:
        dataset: Needs training and validation rows. Test rows only serve to leave out training
            rows with the same pixels.
        recipe: The network and how to train it.
        folder: The run folder; created if it does not exist.
        sources: Teachers and photographs.
        watch: Called after every `trainer.STEPS` steps and at the end of each epoch.
        options: Options of the run.

    Raises:
        UsageError: if the recipe, a teacher or the photographs do not fit the data.
        DataError: if a class has no training rows, or there are no validation rows.
        RunError: if the folder holds another run, is in use or cannot be written, or all its
            checkpoints are damaged.
    """
    folder = Path(folder)
    training, num_leaks = training_rows(dataset, recipe)
    validation = dataset.part("validation")
    _check(dataset, training, validation)
    teachers = sources.teachers
    _check_recipe(recipe, dataset, folder, len(teachers))
    photographs = _photographs(sources.photographs, recipe)
    if num_leaks:
        options.say(
            f"  {num_leaks} training rows are left out: their pixels occur in validation or test "
            "(--keep-leaks)"
        )
    start = transfer.begin(recipe) if recipe.init else None
    recipe = start.recipe if start else recipe
    facts = _facts(dataset, training, validation, recipe, num_leaks) | {
        "deterministic": options.deterministic,
        "teachers": [teacher.digest for teacher in teachers],
        "taught_by": [
            ancestor(teacher.name, teacher.digest, teacher.training) for teacher in teachers
        ],
    }
    if recipe.face_api_weight:
        facts["taught_by"].append(ancestor(face_api.NAME, face_api.DIGEST, {}))
    if photographs is not None:
        facts["photographs"] = {
            "source": photographs.source,
            "fingerprint": photographs.fingerprint,
            "num_training": len(photographs),
        }
    if start:
        facts["begun_from"] = {**start.facts, "labels_kept": start.kept(dataset.label_set)}
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    with locked(folder):
        known = None if options.fresh else known_run(folder, facts)
        if known is not None:
            options.recorded()
        if known is not None and "stopped" in known:
            run = load_run(folder)
            load_network(run)  # to find damage now instead of when the network is used
            return run
        if recipe.face_api_weight:
            options.say("  face-api classifies each training face, which takes some minutes")
        trainer = Trainer(
            training.resized(recipe.input_side),
            validation.resized(recipe.input_side),
            recipe,
            teachers=teachers,
            start=start,
            photographs=photographs,
        )
        if options.fresh:  # only now, when all checks have passed
            clear(folder)
        if known is None:  # otherwise the network of the interrupted run stays usable until the end
            checkpoint.write_text(folder / RUN_FILE, json.dumps(facts, indent=1))
            options.recorded()
        return trainer.run(folder, facts, watch or (lambda moment: None))


def _check_recipe(recipe: Recipe, dataset: Dataset, folder: Path, num_teachers: int) -> None:
    for field in ("votes_weight", "soft_label_weight"):
        if getattr(recipe, field) and not has_votes(dataset):
            raise UsageError(
                f"{field}: got {getattr(recipe, field):g} and training rows without FER+ votes; "
                f"expected votes. Fix: give the votes (--votes), or {field}=0"
            )
    if recipe.init not in ("", *init_names.OWN) and Path(recipe.init).resolve() == folder.resolve():
        raise UsageError(
            f"init: got the run folder itself, {folder}; expected another one. Fix: choose another "
            "folder with --out"
        )
    if bool(recipe.teacher_weight) != bool(num_teachers):
        raise UsageError(
            f"teacher_weight: got {recipe.teacher_weight:g} and {num_teachers} teachers; expected "
            "both or neither. "
            + (
                "Fix: give teacher_weight=0.5, or no teacher"
                if num_teachers
                else "Fix: give bundles (--teacher), or teacher_weight=0"
            )
        )


def _photographs(photographs: Dataset | None, recipe: Recipe) -> Dataset | None:
    """The training split of the photographs; None without photographs.

    Raises:
        UsageError: if they do not fit the recipe, or have labels that FER+ has no votes for.
    """
    share = recipe.photograph_share
    if bool(share) != (photographs is not None):
        raise UsageError(
            f"photograph_share: got {share:g} and "
            f"{'no ' if photographs is None else ''}photographs; expected both or neither. Fix: "
            "give "
            + ("photograph_share=0" if share else "photograph_share=0.33, or no photographs")
        )
    if photographs is None:
        return None
    if not recipe.votes_weight:
        raise UsageError(
            "photographs: got a recipe without a vote head; expected one, which they teach. "
            "Fix: give --recipe everyday, or votes_weight=1"
        )
    part = photographs.part("training")
    unknown = [one for one in part.with_labels_that_occur().label_set if one not in FERPLUS_VOTES]
    if unknown or not len(part):
        raise UsageError(
            f"photographs: got {len(part)} training faces of {photographs.source}"
            + (f" with the labels {', '.join(unknown)}" if unknown else "")
            + f"; expected faces with FER+'s labels. Fix: label them {', '.join(FERPLUS)}"
        )
    return part


def _facts(
    dataset: Dataset, training: Dataset, validation: Dataset, recipe: Recipe, num_leaks: int
) -> dict[str, Any]:
    """The contents of run.json that are known before training: recipe and data."""
    votes = dataset.votes
    return {
        "mien": mien.__version__,
        "recipe": recipe.to_dict(),
        "labels": list(dataset.label_set),
        "data": {
            "source": dataset.source,
            "fingerprint": dataset.fingerprint,
            "fingerprints": dataset.fingerprints,
            "votes": None if votes is None else hashlib.sha256(votes.tobytes()).hexdigest()[:16],
            "num_training": len(training),
            "num_left_out_as_leaks": num_leaks,
            "num_validation": len(validation),
            "left_out": [dataclasses.asdict(row) for row in dataset.left_out],
        },
    }


def has_votes(dataset: Dataset) -> bool:
    """Whether a training face has votes, as `Recipe.votes_weight` and `soft_label_weight` need."""
    votes = dataset.part("training").votes
    return votes is not None and bool(votes.any())


def training_rows(dataset: Dataset, recipe: Recipe) -> tuple[Dataset, int]:
    """The training rows, and the number left out because their pixels occur in another split."""
    keep = np.ones(len(dataset), bool) if recipe.keep_leaks else ~leaked(dataset)
    training = dataset.take(keep).part("training")
    return training, len(dataset.part("training")) - len(training)


def _check(dataset: Dataset, training: Dataset, validation: Dataset) -> None:
    for part, name in ((training, "training"), (validation, "validation")):
        if len(part) == 0:
            raise DataError(
                dataset.source,
                got=f"no labelled {name} rows",
                expected=f"a {name} split",
                fix=(
                    "give data with both (`mien.data.split.with_validation` makes the latter from "
                    "the former)"
                ),
            )
    names = dataset.label_set.names
    long = [name for name in names if len(name) > MAX_LETTERS or not name.isprintable()]
    # Checked here and not only at the export, after hours of training.
    if len(names) > MAX_LABELS or long:
        raise DataError(
            dataset.source,
            got=f"the label {long[0][:80]!r}" if long else f"{len(names)} labels",
            expected=f"at most {MAX_LABELS} labels, each of at most {MAX_LETTERS} letters",
            fix="rename the label" if long else "give data with fewer",
        )
    missing = [
        name for name, n in zip(dataset.label_set, training.counts()[0], strict=True) if n == 0
    ]
    if missing:
        raise DataError(
            dataset.source,
            got=f"no training rows of the class(es) {', '.join(missing)}",
            expected="training rows of each class",
            fix=(
                "add pictures of them, or take them out of the labels "
                "(`Dataset.with_labels_that_occur`)"
            ),
        )
