"""The command line: parse, call one function, print. Results go to stdout, everything else to
stderr.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import json as json_module
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from mien import __version__
from mien.cli.data import data_app
from mien.cli.options import (
    DATA_HELP,
    Augment,
    ClassWeights,
    Columns,
    Data,
    DetectorKind,
    Deterministic,
    Epochs,
    Faces,
    FacesOption,
    Fresh,
    Groups,
    Init,
    Json,
    KeepLeaks,
    LabelNames,
    OnError,
    OnErrorOption,
    OutFolder,
    RecipeName,
    Seed,
    Settings,
    Side,
    TensorBoard,
    Votes,
    Weights,
    answer,
    reading,
    say,
)
from mien.cli.serve import serve
from mien.errors import MienError, UsageError

if TYPE_CHECKING:
    from mien.results import Frame
    from mien.training.recipes import Recipe

ORIGINALS = (RecipeName.small, RecipeName.medium, RecipeName.large)  # the networks of the report
PARTLY = 8
EXIT_CODES = """Exit codes: 0 done, 1 other failure, 2 wrong option, 3 data cannot be read, 4 run folder cannot be used,
5 download failed, 6 a part of mien is not installed, 7 bundle cannot be used, 8 some pictures or videos could not be
read, 130 Ctrl-C (what was computed is on disk), 143 terminated."""

# After Ctrl-C: what the same command does.
GOES_ON = {
    "run": "; the same command goes on after the last whole epoch",
    "train": "; the same command goes on after the last whole epoch",
    "predict": "; rows written so far are whole, and --resume goes on after them",
}

app = typer.Typer(
    help=f"Facial expression recognition: train, measure, trust, use.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"mien {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    data: Data = None,
    recipe: Annotated[
        list[RecipeName] | None,
        typer.Option(help="Which networks; all three by default.", show_default=False),
    ] = None,
    out: OutFolder = Path("mien-run"),
    epochs: Epochs = None,
    seed: Seed = 0,
    class_weights: Weights = ClassWeights.none,
    augment: Augment = True,
    keep_leaks: KeepLeaks = False,
    votes: Votes = None,
    on_error: OnErrorOption = OnError.raise_,
    faces: FacesOption = Faces.auto,
    side: Side = 48,
    labels: LabelNames = None,
    groups: Groups = None,
    deterministic: Deterministic = False,
    fresh: Fresh = False,
    json: Json = False,
) -> None:
    """Everything: read, audit, train the three networks, evaluate, write the report.

    Example: mien run fer2013.csv --out mien-run
    """
    from mien import pipeline

    pipeline.need_train_extra()
    changes = {
        "max_epochs": epochs,
        "seed": seed,
        "class_weights": str(class_weights),
        "augment": augment,
        "keep_leaks": keep_leaks,
    }
    recipes = [_recipe(name, changes) for name in dict.fromkeys(recipe or ORIGINALS)]
    for one in recipes:
        if one.init:
            raise UsageError(
                f"recipe: came {one.name}, which begins with a trained network; expected recipes that begin with none. "
                f"To mend: mien train DATA --recipe {one.name} --init ..."
            )
    with _training_bar() as bar:
        options = pipeline.TrainOptions(deterministic=deterministic, fresh=fresh, watch=bar)
        how = reading(votes, on_error, faces, side, labels, groups)
        job = pipeline.run(data, recipes, out=out, say=say, options=options, reading=how)
    _print_job(job, json)


@app.command()
def train(
    data: Data = None,
    recipe: Annotated[
        RecipeName | None,
        typer.Option(
            help="Which network; medium by default, with --init finetune.", show_default=False
        ),
    ] = None,
    init: Init = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The run folder; runs/RECIPE by default.", show_default=False),
    ] = None,
    epochs: Epochs = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Epochs without a better one before stopping early.", min=1, show_default=False
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Faces a step.", min=2, show_default=False)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Rate after the warm-up.", show_default=False)
    ] = None,
    seed: Seed = 0,
    class_weights: Weights = ClassWeights.none,
    augment: Augment = True,
    keep_leaks: KeepLeaks = False,
    settings: Settings = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            help="Bundle whose answers are part of what is learned (--set teacher_weight=0.5); several: their mean.",
            show_default=False,
        ),
    ] = None,
    votes: Votes = None,
    on_error: OnErrorOption = OnError.raise_,
    faces: FacesOption = Faces.auto,
    side: Side = 48,
    labels: LabelNames = None,
    groups: Groups = None,
    deterministic: Deterministic = False,
    fresh: Fresh = False,
    tensorboard: TensorBoard = False,
    json: Json = False,
) -> None:
    """Train one network. Stopped or killed, the same command goes on from the last whole epoch.

    Example: mien train fer2013.csv --recipe medium --out runs/medium
    """
    from mien import pipeline
    from mien.bundle import open_bundle

    pipeline.need_train_extra()
    chosen = _recipe(
        recipe or (RecipeName.finetune if init else RecipeName.medium),
        {
            "init": init,
            "max_epochs": epochs,
            "patience": patience,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "class_weights": str(class_weights),
            "augment": augment,
            "keep_leaks": keep_leaks,
            **_settings(settings or []),
        },
    )
    folder = out or Path("runs") / chosen.name
    teachers = [open_bundle(one) for one in teacher or []]
    how = reading(votes, on_error, faces, side, labels, groups)
    dataset = pipeline.read(data, how, say=say).with_labels_that_occur()
    if dataset.cropped is not None:
        pipeline.draw_crops(dataset, folder.with_name(f"{folder.name}-faces"), say=say)
    say(f"Training {chosen.name}: {pipeline.describe(chosen)}")
    with _training_bar() as bar:
        options = pipeline.TrainOptions(
            deterministic=deterministic,
            fresh=fresh,
            tensorboard=tensorboard,
            teachers=teachers,
            watch=bar,
        )
        done = pipeline.train(dataset, chosen, folder=folder, say=say, options=options)
    answer(
        {"folder": str(folder), **done.facts},
        pipeline.summary_table([done]) + f"\nRun folder: {folder}",
        json,
    )


@app.command()
def evaluate(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Run folders that `mien train` wrote.", show_default=False),
    ] = None,
    bundle: Annotated[
        list[str] | None,
        typer.Option(
            help="Bundles to judge too: folders, zips, or shipped; the data may then follow as last argument."
        ),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help=DATA_HELP, show_default=False)] = None,
    ensemble: Annotated[
        bool,
        typer.Option(
            "--ensemble",
            help="Measure also the mean of their answers, of the runs and of the bundles.",
        ),
    ] = False,
    out: OutFolder = Path("mien-report"),
    votes: Votes = None,
    on_error: OnErrorOption = OnError.raise_,
    faces: FacesOption = Faces.auto,
    side: Side = 48,
    labels: LabelNames = None,
    groups: Groups = None,
    json: Json = False,
) -> None:
    """Measure trained networks on the same data, side by side, and write the report.

    Example: mien evaluate runs/small runs/large --data fer2013.csv --out mien-report

    Example: mien evaluate --bundle shipped fer2013.csv

    Example: mien evaluate --bundle a.zip --bundle b.zip --ensemble fer2013.csv
    """
    from mien import pipeline
    from mien.bundle import open_bundle

    folders = list(runs or [])
    if bundle and folders and data is None and not (folders[-1] / "run.json").exists():
        data = str(folders.pop())
    if not folders and not bundle:
        raise UsageError("evaluate: came no network; expected run folders, or --bundle shipped")
    if ensemble and max(len(folders), len(bundle or [])) < 2:
        raise UsageError(
            f"--ensemble: came {len(folders)} run(s) and {len(bundle or [])} bundle(s); expected two or more of a kind"
        )
    loaded = pipeline.load_runs(folders) if folders else []
    opened = [open_bundle(one) for one in bundle or []]
    how = dataclasses.replace(reading(votes, on_error, faces, side, labels, groups), to_train=False)
    dataset = pipeline.read(data, how, say=say)
    _print_job(
        pipeline.judge(dataset, loaded, bundles=opened, ensemble=ensemble, out=out, say=say), json
    )


@app.command()
def info(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders that `mien train` wrote.")
    ] = None,
    json: Json = False,
) -> None:
    """What trained networks are and cost; without a run, the recipes.

    Example: mien info runs/medium
    """
    from mien import pipeline

    if runs:
        loaded = pipeline.load_runs(runs)
        facts = [{"folder": str(one.folder), **one.facts} for one in loaded]
        answer({"runs": facts}, pipeline.summary_table(loaded), json)
    else:
        values, text = pipeline.recipe_table()
        answer(values, text, json)


@app.command()
def doctor(json: Json = False) -> None:
    """Versions, backend, processor and the data that would be found: what to paste into a bug
    report.

    Example: mien doctor --json
    """
    from mien.cli.doctor import examine

    values, text = examine()
    answer(values, text, json)


@app.command()
def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Pictures, videos, folders with all below them, patterns, camera:0, or - for a picture on stdin.",
        ),
    ],
    bundle: Annotated[
        str, typer.Option(help="The network: what `mien export` wrote; by default mien's own.")
    ] = "shipped",
    detector: Annotated[
        DetectorKind,
        typer.Option(
            help="What finds faces; yunet-close: smaller ones too, slowly; none: the pictures are faces already."
        ),
    ] = DetectorKind.auto,
    detector_model: Annotated[
        Path | None,
        typer.Option(
            help="File with YuNet's weights, instead of the download.", show_default=False
        ),
    ] = None,
    max_side: Annotated[
        int | None,
        typer.Option(
            help="Longest side in pixels at which faces are looked for; more finds smaller ones.",
            min=32,
        ),
    ] = None,
    best: Annotated[
        bool,
        typer.Option(
            "--best/--fast",
            help="Classify each face in 14 views, slower, with better probabilities; or once.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Table to write: .csv, .jsonl, .json or .parquet.", show_default=False
        ),
    ] = None,
    columns: Annotated[Columns, typer.Option(help="Names of the table's columns.")] = Columns.mien,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with --out: leave out what it holds whole.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace --out if it is there.")
    ] = False,
    draw: Annotated[
        Path | None,
        typer.Option(help="Folder for copies with the answers drawn in.", show_default=False),
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option(
            help="Folder for pictures of what each answer rests on (pictures only).",
            show_default=False,
        ),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            help="Folder for a video's summary, events and timelines.", show_default=False
        ),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(
            help="Look at a video's frames this far apart, such as 0.2s; every frame by default."
        ),
    ] = None,
    smooth: Annotated[
        str | None,
        typer.Option(
            help="Time constant of the smoothing in videos, 0.3s by default; 0s for none."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Recognise the expressions in pictures and videos. Exit code 8: some could not be read, and
    the rows say which.

    Example: mien predict photo.jpg holiday/ talk.mp4 --every 0.2s --out faces.csv --draw marked
    """
    from mien.cli import predict as job
    from mien.cli.progress import counting_bar
    from mien.recognizer import load
    from mien.results.writers import open_writer
    from mien.video.recognize import parse_seconds

    outputs = job.Outputs(out, str(columns), resume, overwrite, draw, explain, summary)
    step = None if every is None else parse_seconds(every, "--every")
    smooth_s = (
        None
        if smooth is None
        else 0.0
        if smooth in ("0", "0s")
        else parse_seconds(smooth, "--smooth")
    )
    sources = job.collect(paths, say=say)
    mode = "best" if best else "fast"
    recognizer = load(
        bundle, detector=str(detector), detector_model=detector_model, max_side=max_side, mode=mode
    )
    if recognizer.detector.note:
        say(recognizer.detector.note)
    with recognizer, contextlib.ExitStack() as stack:
        if json:
            printed = stack.enter_context(
                open_writer(sys.stdout, "json", labels=recognizer.labels.names)
            )
        move = stack.enter_context(counting_bar(len(sources)))
        seen: dict[str, None] = {}

        def show(frame: Frame) -> None:
            if json:
                printed.write(frame)
            else:
                print(job.describe(frame), flush=True)
            seen[frame.source] = None
            move(
                len(seen),
                frame.source if frame.time_s is None else f"{frame.source} {frame.time_s:.0f} s",
            )

        tally = job.predict(
            sources,
            recognizer,
            outputs,
            every=step,
            smooth_s=smooth_s,
            max_side=max_side,
            say=say,
            show=show,
        )
    say(tally.sentence())
    if tally.num_failed:
        raise typer.Exit(PARTLY)


@app.command()
def average(
    bundles: Annotated[
        list[str], typer.Argument(help="Bundles of one network: it, and it trained further.")
    ],
    data: Annotated[
        str,
        typer.Option("--data", help="The data it was trained on, to say how right the mean is."),
    ],
    share: Annotated[
        list[float] | None,
        typer.Option(
            help="Of each bundle, in their order; by default all alike.", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/average"),
    votes: Votes = None,
    on_error: OnErrorOption = OnError.raise_,
    faces: FacesOption = Faces.auto,
    side: Side = 48,
    labels: LabelNames = None,
    groups: Groups = None,
    fresh: Fresh = False,
    json: Json = False,
) -> None:
    """Average the weights of a network and of what further training made of it: a run, to export.

    Example: mien average first.zip robust.zip --data fer2013.csv --out runs/champion
    """
    from mien import pipeline
    from mien.bundle import open_bundle

    pipeline.need_train_extra()
    opened = [open_bundle(one) for one in bundles]
    how = reading(votes, on_error, faces, side, labels, groups)
    dataset = pipeline.read(data, how, say=say)
    done = pipeline.average(dataset, opened, folder=out, shares=share or [], fresh=fresh)
    answer(
        {"folder": str(out), **done.facts},
        pipeline.summary_table([done]) + f"\nRun folder: {out}",
        json,
    )


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run folder that `mien train` wrote.")],
    out: Annotated[
        Path,
        typer.Argument(
            help="The bundle: a folder, or a .zip; a bundle that lies there is replaced."
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="The data it was trained on, for calibration and scores.",
            show_default=False,
        ),
    ] = None,
    votes: Votes = None,
    on_error: OnErrorOption = OnError.raise_,
    faces: FacesOption = Faces.auto,
    side: Side = 48,
    labels: LabelNames = None,
    groups: Groups = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Smaller and faster, a little less accurate; needs --data."),
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

    values, text = pipeline.export(
        run,
        out,
        data=data,
        int8=int8,
        half=half,
        say=say,
        reading=reading(votes, on_error, faces, side, labels, groups),
    )
    answer(values, text, json)


app.command()(serve)


def main() -> NoReturn:
    """Entry point: run the command line and turn mien's errors into one line and an exit code."""
    # TensorFlow reads this when it is imported, which is later; the user's own setting wins.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a terminal without the letters of a name
    terminated = []

    def stop(number: int, frame: object) -> None:
        terminated.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        app()
    except MienError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        # typer turns a KeyboardInterrupt into this code without a word.
        if ended.code == 130:
            print(
                f"stopped{GOES_ON.get(sys.argv[1], '') if len(sys.argv) > 1 else ''}",
                file=sys.stderr,
            )
            sys.exit(143 if terminated else 130)
        raise
    except BrokenPipeError:
        # The reader of our output is gone (`mien ... | head`): not our failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO):
            print(
                f"error: came {error} from the operating system; expected to go on", file=sys.stderr
            )
            sys.exit(1)
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # or Python would try once more
        print(
            f"error: the output cannot be written ({error.strerror}); expected room for it",
            file=sys.stderr,
        )
        sys.exit(1)
    sys.exit(0)


def _recipe(name: RecipeName, changes: dict[str, Any]) -> Recipe:
    from mien.training.recipes import recipe

    return recipe(str(name), **changes)


def _settings(given: list[str]) -> dict[str, Any]:
    from mien.training.recipes import settings

    return settings(given)


def _print_job(job: Any, as_json: bool) -> None:
    if as_json:
        print(json_module.dumps({**job.evaluation.to_dict(), "report": str(job.report)}, indent=1))
    else:
        print(job.evaluation.table())
        print(f"Report: {job.report}")


def _training_bar() -> Any:
    from mien.cli.progress import training_bar

    return training_bar()
