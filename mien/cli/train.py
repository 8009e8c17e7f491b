"""The verbs that train: `run`, `train`, `info`, `average` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli import tables
from mien.cli.evaluate import best_run, print_job
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

ORIGINALS = ("small", "medium", "large")  # the networks of the original report


def run(
    data: Data = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            help="Recipes to train; by default small, medium and large.",
            show_default=False,
            **choice(RECIPE_NAMES),
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
    """Do everything: read and audit data, train three networks, evaluate them, write a report.

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
    for entry in recipes:
        if entry.init:
            raise UsageError(
                f"recipe: got {entry.name}, which starts from a trained network; expected recipes "
                f"that do not. Fix: mien train DATA --recipe {entry.name} --init ..."
            )
    with training_bar() as bar:
        options = pipeline.TrainOptions(deterministic=deterministic, fresh=fresh, watch=bar)
        source = source_of(data, votes, on_error, faces, side, labels, groups)
        job = pipeline.run(source, recipes, out=out, say=say, options=options)
    print_job(job, json)
    folders = [out / "networks" / entry.name for entry in recipes]
    say_next("export", best_run(folders, job.evaluation), "network.zip", as_json=json)


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
    """Train one network. After an interruption, the same command continues with the next epoch.

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
    plan = recipe_of(name, **changes)
    folder = out or Path("runs") / plan.name
    teachers = [open_bundle(path) for path in teacher or []]
    source = source_of(data, votes, on_error, faces, side, labels, groups)
    side_px = pipeline.input_side(plan)
    dataset = pipeline.read(source, say=say, side=side_px).with_labels_that_occur()
    if dataset.cropped is not None:
        named = folder.resolve() if folder.name in ("", "..") else folder
        draw_crops(dataset, named.with_name(f"{named.name}-faces"), say=say)
    photograph_faces = None
    if photographs is not None:
        photograph_faces = pipeline.read(
            source_of(photographs, None, on_error), say=say, side=side_px
        )
    say(f"Training {plan.name}: {pipeline.describe(plan)}")
    with training_bar() as bar:
        options = pipeline.TrainOptions(
            deterministic=deterministic,
            fresh=fresh,
            tensorboard=tensorboard,
            teachers=teachers,
            photographs=photograph_faces,
            watch=bar,
            source=source,
        )
        trained_run = pipeline.train(dataset, plan, folder=folder, say=say, options=options)
    print_run(trained_run, folder, json)


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
    """Describe trained networks and their cost, or without arguments the recipes.

    Example: mien info runs/medium champion.zip
    """
    from mien import pipeline
    from mien.bundle import open_bundle

    if networks:
        bundles = [item for item in networks if _is_bundle(item)]
        runs = [Path(item) for item in networks if item not in bundles]
        opened_bundles = [open_bundle(item) for item in bundles]
        trained_runs = pipeline.load_runs(runs) if runs else []
        values: dict[str, Any] = {}
        if runs:
            values["runs"] = [{"folder": str(item.folder), **item.facts} for item in trained_runs]
        if opened_bundles:
            values["bundles"] = [
                {"bundle": item, "digest": bundle.digest, **bundle.facts}
                for item, bundle in zip(bundles, opened_bundles, strict=True)
            ]
        texts = [tables.summary_table(trained_runs)] if trained_runs else []
        texts += [
            tables.bundle_table(item, name)
            for name, item in zip(bundles, opened_bundles, strict=True)
        ]
        answer(values, "\n\n".join(texts), json)
        command = (
            ("evaluate", runs[0]) if runs else ("predict", "photo.jpg", "--bundle", bundles[0])
        )
        say_next(*command, as_json=json)
    else:
        from mien.training.recipes import RECIPES

        recipes = [make() for make in RECIPES.values()]
        values = {"recipes": [item.to_dict() for item in recipes]}
        answer(values, tables.recipe_table(recipes), json)
        say_next("train", "DATA", "--recipe", "medium", as_json=json)


def _is_bundle(name: str) -> bool:
    from mien.bundle import SHIPPED

    path = Path(name)
    return name == SHIPPED or path.suffix.lower() == ".zip" or (path / "bundle.json").exists()


def average(
    bundles: Annotated[
        list[str], typer.Argument(help="Bundles of one network, before and after fine-tuning.")
    ],
    data: Annotated[
        str,
        typer.Option("--data", help="The data they were trained on, to evaluate the average."),
    ],
    share: Annotated[
        list[float] | None,
        typer.Option(
            help="Weight of each bundle, in their order; by default equal.", show_default=False
        ),
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
    """Average the weights of a network before and after fine-tuning; the result is a run to export.

    Example: mien average before.zip after.zip --data fer2013.csv --out runs/mean
    """
    from mien import pipeline
    from mien.bundle import open_bundle

    pipeline.need_train_extra()
    opened_bundles = [open_bundle(path) for path in bundles]
    source = source_of(data, votes, on_error, faces, side, labels, groups)
    dataset = pipeline.read(source, say=say, side=opened_bundles[0].side)
    run = pipeline.average(dataset, opened_bundles, folder=out, shares=share or [], fresh=fresh)
    source.save(out, dataset.source)
    print_run(run, out, json)


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
            help="Data for calibration and scores; by default what the run was trained on.",
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
        typer.Option(
            "--int8", help="8-bit weights: smaller, faster, slightly less accurate; needs data."
        ),
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="16-bit float weights: half the size.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a trained network as a bundle, which `mien predict` uses without TensorFlow.

    Example: mien export runs/large large.zip --data fer2013.csv
    """
    from mien import pipeline

    source = source_of(data, votes, on_error, faces, side, labels, groups).or_of_runs([run])
    if data is None and source.path is not None:
        say(f"Using the data that the run was trained on: {source.path}")
    bundle = pipeline.export(
        run, out, source=None if source.path is None else source, int8=int8, half=half, say=say
    )
    answer({"out": str(out), **bundle.facts}, tables.bundle_table(bundle, out), json)
    say_next("predict", "photo.jpg", "--bundle", out, as_json=json)


def print_run(run: Run, folder: Path, as_json: bool) -> None:
    """Print the trained or averaged network, and its folder."""
    text = tables.summary_table([run]) + f"\nRun folder: {folder}"
    answer({"folder": str(folder), **run.facts}, text, as_json)
    say_next("evaluate", folder, as_json=as_json)
