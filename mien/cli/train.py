"""The verbs that train: `run`, `train`, `info`, `average` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli import tables
from mien.cli.evaluate import print_job
from mien.cli.options import (
    Augment,
    BatchSize,
    Data,
    Deterministic,
    Epochs,
    FacesOption,
    Fresh,
    Groups,
    Init,
    Json,
    KeepLeaks,
    LabelNames,
    LearningRate,
    OnErrorOption,
    OutFolder,
    Patience,
    Photographs,
    RunFolder,
    Seed,
    Settings,
    Side,
    Teachers,
    TensorBoard,
    Votes,
    Weights,
    WhichRecipe,
    answer,
    choice,
    say,
    say_next,
    source_of,
)
from mien.cli.progress import training_bar
from mien.constants import RECIPES as RECIPE_NAMES
from mien.errors import UsageError

if TYPE_CHECKING:
    from mien.training.runs import Run

ORIGINALS = ("small", "medium", "large")  # the networks of the report


def run(
    data: Data = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            help="The networks; by default all three.", show_default=False, **choice(RECIPE_NAMES)
        ),
    ] = None,
    out: OutFolder = Path("mien-run"),
    epochs: Epochs = None,
    seed: Seed = 0,
    class_weights: Weights = "none",
    augment: Augment = True,
    keep_leaks: KeepLeaks = False,
    votes: Votes = None,
    on_error: OnErrorOption = "raise",
    faces: FacesOption = "auto",
    side: Side = 48,
    labels: LabelNames = None,
    groups: Groups = None,
    deterministic: Deterministic = False,
    fresh: Fresh = False,
    json: Json = False,
) -> None:
    """Do everything: read, audit, train three networks, evaluate, write the report.

    Example: mien run fer2013.csv --out mien-run
    """
    from mien import pipeline
    from mien.training.recipes import recipe as recipe_of

    pipeline.need_train_extra()
    changes = {
        "max_epochs": epochs,
        "seed": seed,
        "class_weights": class_weights,
        "augment": augment,
        "keep_leaks": keep_leaks,
    }
    recipes = [recipe_of(name, **changes) for name in dict.fromkeys(recipe or ORIGINALS)]
    for one in recipes:
        if one.init:
            raise UsageError(
                f"recipe: got {one.name}, which starts from a trained network; expected recipes "
                f"that do not. Fix: mien train DATA --recipe {one.name} --init ..."
            )
    with training_bar() as bar:
        options = pipeline.TrainOptions(deterministic=deterministic, fresh=fresh, watch=bar)
        source = source_of(data, votes, on_error, faces, side, labels, groups)
        job = pipeline.run(source, recipes, out=out, say=say, options=options)
    print_job(job, json)
    say_next("export", out / "networks" / recipes[0].name, "network.zip", as_json=json)


def train(
    data: Data = None,
    recipe: WhichRecipe = None,
    init: Init = None,
    out: RunFolder = None,
    epochs: Epochs = None,
    patience: Patience = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    seed: Seed = 0,
    class_weights: Weights = "none",
    augment: Augment = True,
    keep_leaks: KeepLeaks = False,
    settings: Settings = None,
    teacher: Teachers = None,
    photographs: Photographs = None,
    votes: Votes = None,
    on_error: OnErrorOption = "raise",
    faces: FacesOption = "auto",
    side: Side = 48,
    labels: LabelNames = None,
    groups: Groups = None,
    deterministic: Deterministic = False,
    fresh: Fresh = False,
    tensorboard: TensorBoard = False,
    json: Json = False,
) -> None:
    """Train one network. If it is stopped or killed, the same command continues after the last
    complete epoch.

    Example: mien train fer2013.csv --recipe medium --out runs/medium
    """
    from mien import pipeline
    from mien.bundle import open_bundle
    from mien.data.source import draw_crops
    from mien.training.recipes import recipe as recipe_of
    from mien.training.recipes import settings as settings_of

    pipeline.need_train_extra()
    changes = {
        "init": init,
        "max_epochs": epochs,
        "patience": patience,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "class_weights": class_weights,
        "augment": augment,
        "keep_leaks": keep_leaks,
        **settings_of(settings or []),
    }
    name = recipe or ("finetune" if init else "medium")
    chosen = recipe_of(name, **changes)
    folder = out or Path("runs") / chosen.name
    teachers = [open_bundle(one) for one in teacher or []]
    source = source_of(data, votes, on_error, faces, side, labels, groups)
    seen = pipeline.input_side(chosen)
    dataset = pipeline.read(source, say=say, side=seen).with_labels_that_occur()
    if dataset.cropped is not None:
        draw_crops(dataset, folder.with_name(f"{folder.name}-faces"), say=say)
    everyday = None
    if photographs is not None:
        everyday = pipeline.read(
            source_of(photographs, None, on_error, groups=groups), say=say, side=seen
        )
    say(f"Training {chosen.name}: {pipeline.describe(chosen)}")
    with training_bar() as bar:
        options = pipeline.TrainOptions(
            deterministic=deterministic,
            fresh=fresh,
            tensorboard=tensorboard,
            teachers=teachers,
            photographs=everyday,
            watch=bar,
        )
        done = pipeline.train(dataset, chosen, folder=folder, say=say, options=options)
    source.save(folder, dataset.source)
    print_run(done, folder, json)


def info(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN|BUNDLE]...",
            help="Run folders written by `mien train`; bundles (folder, .zip, or shipped).",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Describe trained networks and their cost, or without one the recipes. Bundles need no
    TensorFlow.

    Example: mien info runs/medium champion.zip
    """
    from mien import pipeline
    from mien.bundle import open_bundle

    if networks:
        bundles = [one for one in networks if _is_bundle(one)]
        runs = [Path(one) for one in networks if one not in bundles]
        opened = [open_bundle(one) for one in bundles]
        loaded = pipeline.load_runs(runs) if runs else []
        values: dict[str, Any] = {}
        if runs:
            values["runs"] = [{"folder": str(one.folder), **one.facts} for one in loaded]
        if opened:
            values["bundles"] = [
                {"bundle": one, "digest": bundle.digest, **bundle.facts}
                for one, bundle in zip(bundles, opened, strict=True)
            ]
        texts = [tables.summary_table(loaded)] if loaded else []
        texts += [tables.bundle_table(one, name) for name, one in zip(bundles, opened, strict=True)]
        answer(values, "\n\n".join(texts), json)
        command = (
            ("evaluate", runs[0]) if runs else ("predict", "photo.jpg", "--bundle", bundles[0])
        )
        say_next(*command, as_json=json)
    else:
        from mien.training.recipes import RECIPES

        recipes = [make() for make in RECIPES.values()]
        values = {"recipes": [one.to_dict() for one in recipes]}
        answer(values, tables.recipe_table(recipes), json)
        say_next("train", "DATA", "--recipe", "medium", as_json=json)


def _is_bundle(name: str) -> bool:
    from mien.bundle import SHIPPED

    there = Path(name)
    return name == SHIPPED or there.suffix.lower() == ".zip" or (there / "bundle.json").exists()


def average(
    bundles: Annotated[
        list[str], typer.Argument(help="Bundles of one network, before and after more training.")
    ],
    data: Annotated[
        str,
        typer.Option("--data", help="The data it was trained on, to measure the mean."),
    ],
    share: Annotated[
        list[float] | None,
        typer.Option(help="Of each bundle, in their order; by default equal.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/average"),
    votes: Votes = None,
    on_error: OnErrorOption = "raise",
    faces: FacesOption = "auto",
    side: Side = 48,
    labels: LabelNames = None,
    groups: Groups = None,
    fresh: Fresh = False,
    json: Json = False,
) -> None:
    """Average the weights of a network before and after more training, as a run to export.

    Example: mien average first.zip robust.zip --data fer2013.csv --out runs/champion
    """
    from mien import pipeline
    from mien.bundle import open_bundle

    pipeline.need_train_extra()
    opened = [open_bundle(one) for one in bundles]
    source = source_of(data, votes, on_error, faces, side, labels, groups)
    dataset = pipeline.read(source, say=say, side=opened[0].side)
    done = pipeline.average(dataset, opened, folder=out, shares=share or [], fresh=fresh)
    print_run(done, out, json)


def export(
    run: Annotated[Path, typer.Argument(help="A run folder written by `mien train`.")],
    out: Annotated[
        Path,
        typer.Argument(help="The bundle: a folder or a .zip; an existing bundle is replaced."),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="The data for calibration and scores; by default what the run was trained on.",
            show_default=False,
        ),
    ] = None,
    votes: Votes = None,
    on_error: OnErrorOption = "raise",
    faces: FacesOption = "auto",
    side: Side = 48,
    labels: LabelNames = None,
    groups: Groups = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Smaller and faster, slightly less accurate; needs --data."),
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Weights as 16-bit floats: half the size.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a trained network as a bundle that `mien predict` uses without TensorFlow.

    Example: mien export runs/large large.zip --data fer2013.csv
    """
    from mien import pipeline

    source = source_of(data, votes, on_error, faces, side, labels, groups).or_of([run])
    if data is None and source.path is not None:
        say(f"The data that the run was trained on: {source.path}")
    bundle = pipeline.export(
        run, out, source=None if source.path is None else source, int8=int8, half=half, say=say
    )
    answer({"out": str(out), **bundle.facts}, tables.bundle_table(bundle, out), json)
    say_next("predict", "photo.jpg", "--bundle", out, as_json=json)


def print_run(done: Run, folder: Path, as_json: bool) -> None:
    """The trained or averaged network, and its folder."""
    text = tables.summary_table([done]) + f"\nRun folder: {folder}"
    answer({"folder": str(folder), **done.facts}, text, as_json)
    say_next("evaluate", folder, as_json=as_json)
