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
    typer.Option("--bundle", help="Bundles to judge: folders, zips, or shipped."),
]
Runs = Annotated[
    list[Path] | None,
    typer.Option("--run", help="With --bundle: run folders to judge as well.", show_default=False),
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data", help="The data, if runs are the arguments. " + DATA_HELP, show_default=False
    ),
]
Ensemble = Annotated[
    bool,
    typer.Option(
        "--ensemble",
        help="Also measure the mean of the runs' answers, and that of the bundles'.",
    ),
]


Mix = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="MIX",
        help="Also give the accuracy at another class mix: natural (press and film: half neutral), "
        "balanced, or neutral=5,happy=4,...",
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
    """Measure trained networks on the same data, side by side, and write the report.

    Example: mien evaluate runs/small runs/large --data fer2013.csv --out mien-report

    Example: mien evaluate runs/small (the data that it was trained on)

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
            "more of a kind. Fix: name more, or leave --ensemble out"
        )
    pipeline.need_evaluate_extra()
    loaded = pipeline.load_runs(folders) if folders else []
    opened = [open_bundle(one) for one in bundles]
    source = source_of(path, votes, on_error, faces, side, labels, groups).or_of(folders)
    sides = [one.recipe.input_side for one in loaded] + [one.side for one in opened]
    dataset = pipeline.read(source, say=say, side=max(sides), to_train=False)
    job = pipeline.judge(
        dataset, loaded, bundles=opened, ensemble=ensemble, out=out, say=say, weights=mix
    )
    print_job(job, json)
    if folders:
        say_next("export", folders[0], "network.zip", as_json=json)
    else:
        say_next("predict", "photo.jpg", "--bundle", bundles[0], as_json=json)


def print_job(job: Job, as_json: bool) -> None:
    """The numbers, and where the report lies."""
    if as_json:
        print(json_module.dumps({**job.evaluation.to_dict(), "report": str(job.report)}, indent=1))
    else:
        print(job.evaluation.table())
        print(f"Report: {job.report}")


def _runs_and_data(
    arguments: list[str], bundles: list[str], runs: list[Path], data: str | None
) -> tuple[list[Path], str | None]:
    """With --bundle the argument is the data, and --run names runs; without it the arguments are
    runs, and --data names the data.
    """
    if not bundles:
        if runs:
            raise UsageError(
                f"--run: got {runs[0]} without --bundle; expected run folders as arguments. "
                "Fix: mien evaluate RUN... --data DATA"
            )
        if not arguments:
            raise UsageError(
                "evaluate: got no network; expected run folders or a bundle. Fix: name a run, or "
                "give --bundle shipped"
            )
        return [Path(one) for one in arguments], data
    named = [*arguments, *([] if data is None else [data])]
    if len(named) > 1:
        raise UsageError(
            f"evaluate: got {' and '.join(named)} with --bundle; expected one argument, the data. "
            "Fix: name runs with --run RUN"
        )
    return runs, named[0] if named else None
