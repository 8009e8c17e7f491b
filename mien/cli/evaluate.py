"""The verb `evaluate` and its options."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import (
    DATA_HELP,
    FacesOption,
    Groups,
    Json,
    LabelNames,
    OnErrorOption,
    OutFolder,
    Side,
    Votes,
    say,
    say_next,
    source_of,
)
from mien.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mien.evaluation.evaluate import Evaluation
    from mien.pipeline import Job

Networks = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN... | DATA",
        help="Run folders written by `mien train`; with --bundle, the data.",
        show_default=False,
    ),
]
Bundles = Annotated[
    list[str] | None,
    typer.Option("--bundle", help="Bundles to evaluate: folders, zips, or shipped."),
]
Runs = Annotated[
    list[Path] | None,
    typer.Option("--run", help="With --bundle: run folders to evaluate too.", show_default=False),
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data", help="The data if the arguments are runs. " + DATA_HELP, show_default=False
    ),
]
Ensemble = Annotated[
    bool,
    typer.Option(
        "--ensemble",
        help="Also evaluate the mean of the runs' predictions, and that of the bundles'.",
    ),
]


Mix = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="MIX",
        help="Also report the accuracy for another class mix: natural (press and film: half "
        "neutral), balanced, or neutral=5,happy=4,...",
        show_default=False,
    ),
]


def evaluate(
    networks: Networks = None,
    bundle: Bundles = None,
    run: Runs = None,
    data: DataOption = None,
    ensemble: Ensemble = False,
    weights: Mix = None,
    out: OutFolder = Path("mien-report"),
    votes: Votes = None,
    on_error: OnErrorOption = "raise",
    faces: FacesOption = "auto",
    side: Side = 48,
    labels: LabelNames = None,
    groups: Groups = None,
    json: Json = False,
) -> None:
    """Evaluate networks side by side on the same data, and write a report.

    Example: mien evaluate runs/small runs/large --data fer2013.csv --out mien-report

    Example: mien evaluate runs/small (uses the data that it was trained on)

    Example: mien evaluate --bundle shipped fer2013.csv

    Example: mien evaluate --bundle shipped photos.zip --weights natural

    Example: mien evaluate --bundle a.zip --bundle b.zip --run runs/c --ensemble fer2013.csv
    """
    from mien import pipeline
    from mien.bundle import open_bundle
    from mien.evaluation.weighted import parse_weights

    mix = None if weights is None else parse_weights(weights)
    bundles = bundle or []
    folders, path = _runs_and_data(networks or [], bundles, run or [], data)
    if ensemble and max(len(folders), len(bundles)) < 2:
        raise UsageError(
            f"--ensemble: got {len(folders)} run(s) and {len(bundles)} bundle(s); expected two or "
            "more runs, or two or more bundles. Fix: name more, or leave out --ensemble"
        )
    pipeline.need_evaluate_extra()
    trained_runs = pipeline.load_runs(folders) if folders else []
    opened_bundles = [open_bundle(item) for item in bundles]
    source = source_of(path, votes, on_error, faces, side, labels, groups).or_of_runs(folders)
    sides = [item.recipe.input_side for item in trained_runs] + [
        item.side for item in opened_bundles
    ]
    dataset = pipeline.read(source, say=say, side=max(sides), to_train=False)
    job = pipeline.judge(
        dataset,
        trained_runs,
        bundles=opened_bundles,
        ensemble=ensemble,
        out=out,
        say=say,
        weights=mix,
    )
    print_job(job, json)
    if folders:
        say_next("export", best_run(folders, job.evaluation), "network.zip", as_json=json)
    else:
        say_next("predict", "photo.jpg", "--bundle", bundles[0], as_json=json)


def best_run(folders: Sequence[Path], evaluation: Evaluation) -> Path:
    """The folder of the best of the runs, which come first in an evaluation; the first one if
    another network is the best.
    """
    names = [network.name for network in evaluation.networks[: len(folders)]]
    return folders[names.index(evaluation.best) if evaluation.best in names else 0]


def print_job(job: Job, as_json: bool) -> None:
    """Print the scores, and the path of the report."""
    if as_json:
        print(json_module.dumps({**job.evaluation.to_dict(), "report": str(job.report)}, indent=1))
    else:
        print(job.evaluation.table())
        print(f"Report: {job.report}")


def _runs_and_data(
    arguments: list[str], bundles: list[str], runs: list[Path], data: str | None
) -> tuple[list[Path], str | None]:
    """The run folders and the data.

    With --bundle the argument is the data, and --run names runs; without it the arguments are runs,
    and --data names the data.
    """
    if not bundles:
        if runs:
            raise UsageError(
                f"--run: got {runs[0]} without --bundle; expected run folders as arguments. "
                "Fix: mien evaluate RUN... --data DATA"
            )
        if not arguments:
            raise UsageError(
                "evaluate: got no network; expected run folders or a bundle. Fix: name a run "
                "folder, or add --bundle shipped"
            )
        return [Path(argument) for argument in arguments], data
    data_arguments = [*arguments, *([] if data is None else [data])]
    if len(data_arguments) > 1:
        raise UsageError(
            f"evaluate: got {' and '.join(data_arguments)} with --bundle; expected one argument, "
            "the data. Fix: name runs with --run RUN"
        )
    return runs, data_arguments[0] if data_arguments else None
