"""The command line: parse, call one function, print. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json as json_module
import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from mien import __version__
from mien.errors import MienError, UsageError

if TYPE_CHECKING:
    from mien.training.recipes import Recipe

EXIT_CODES = """Exit codes: 0 done, 1 other failure, 2 wrong option, 3 data cannot be read, 4 run folder cannot be used,
5 download failed, 6 a part of mien is not installed, 130 Ctrl-C (what was computed is on disk), 143 terminated."""

app = typer.Typer(
    help=f"Facial expression recognition: train, measure, trust, use.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Read, know, draw and convert data.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")


class OnError(StrEnum):
    raise_ = "raise"
    skip = "skip"


class ClassWeights(StrEnum):
    none = "none"
    sqrt = "sqrt"
    balanced = "balanced"


class RecipeName(StrEnum):
    small = "small"
    medium = "medium"
    large = "large"


class Form(StrEnum):
    csv = "csv"
    folder = "folder"


DATA_HELP = (
    "A csv of FER2013 (also .gz or .zip), a folder of it, or a folder split/label/picture. "
    "Without it: $MIEN_DATA, Kaggle's input folder, ./data, this folder, else the embedded drawn faces."
)
Data = Annotated[str | None, typer.Argument(metavar="[DATA]", help=DATA_HELP, show_default=False)]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder for the results; made if it is not there.")]
Votes = Annotated[Path | None, typer.Option(help="FER+ votes (fer2013new.csv) for the same rows.", show_default=False)]
OnErrorOption = Annotated[
    OnError, typer.Option("--on-error", help="raise: stop at the first bad row; skip: leave it out, count it, list it.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Epochs = Annotated[
    int | None, typer.Option(help="Length of the schedule; the recipe's own by default.", min=1, show_default=False)
]
Seed = Annotated[int, typer.Option(help="Of weights, batch order, dropout, augmentation.", min=0)]
Weights = Annotated[ClassWeights, typer.Option("--class-weights", help="Weight of each class in the loss.")]
Augment = Annotated[bool, typer.Option("--augment/--no-augment", help="Flip, turn, zoom and shift training faces.")]
KeepLeaks = Annotated[
    bool, typer.Option("--keep-leaks", help="Train also on rows whose pixels occur in validation or test.")
]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="Equal weights bit for bit from an equal command; slower.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Delete the run in the folder and begin again.")]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Write each epoch's figures for TensorBoard too.")]


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
        list[RecipeName] | None, typer.Option(help="Which networks; all three by default.", show_default=False)
    ] = None,
    out: OutFolder = Path("mien-run"),
    epochs: Epochs = None,
    seed: Seed = 0,
    class_weights: Weights = ClassWeights.none,
    augment: Augment = True,
    keep_leaks: KeepLeaks = False,
    votes: Votes = None,
    on_error: OnErrorOption = OnError.raise_,
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
    recipes = [_recipe(name, changes) for name in recipe or list(RecipeName)]
    with _training_bar() as bar:
        options = pipeline.TrainOptions(votes=votes, deterministic=deterministic, fresh=fresh, watch=bar)
        job = pipeline.run(data, recipes, out=out, say=_say, options=options, on_error=str(on_error))
    _print_job(job, json)


@app.command()
def train(
    data: Data = None,
    recipe: Annotated[RecipeName, typer.Option(help="Which network.")] = RecipeName.medium,
    out: Annotated[
        Path | None, typer.Option("--out", help="The run folder; runs/RECIPE by default.", show_default=False)
    ] = None,
    epochs: Epochs = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs without a better one before stopping early.", min=1, show_default=False)
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Faces a step.", min=2, show_default=False)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Adam's rate.", show_default=False)] = None,
    seed: Seed = 0,
    class_weights: Weights = ClassWeights.none,
    augment: Augment = True,
    keep_leaks: KeepLeaks = False,
    on_error: OnErrorOption = OnError.raise_,
    deterministic: Deterministic = False,
    fresh: Fresh = False,
    tensorboard: TensorBoard = False,
    json: Json = False,
) -> None:
    """Train one network. Stopped or killed, the same command goes on from the last whole epoch.

    Example: mien train fer2013.csv --recipe medium --out runs/medium
    """
    from mien import pipeline

    pipeline.need_train_extra()
    chosen = _recipe(
        recipe,
        {
            "max_epochs": epochs,
            "patience": patience,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "class_weights": str(class_weights),
            "augment": augment,
            "keep_leaks": keep_leaks,
        },
    )
    folder = out or Path("runs") / chosen.name
    dataset = pipeline.read(data, say=_say, on_error=str(on_error))
    _say(f"Training {chosen.name}: {pipeline.describe(chosen)}")
    with _training_bar() as bar:
        options = pipeline.TrainOptions(deterministic=deterministic, fresh=fresh, tensorboard=tensorboard, watch=bar)
        done = pipeline.train(dataset, chosen, folder=folder, say=_say, options=options)
    _answer({"folder": str(folder), **done.facts}, pipeline.summary_table([done]) + f"\nRun folder: {folder}", json)


@app.command()
def evaluate(
    runs: Annotated[list[Path], typer.Argument(help="Run folders that `mien train` wrote.")],
    data: Annotated[str | None, typer.Option("--data", help=DATA_HELP, show_default=False)] = None,
    out: OutFolder = Path("mien-report"),
    votes: Votes = None,
    on_error: OnErrorOption = OnError.raise_,
    json: Json = False,
) -> None:
    """Measure trained networks on the same data, side by side, and write the report.

    Example: mien evaluate runs/small runs/large --data fer2013.csv --out mien-report
    """
    from mien import pipeline

    loaded = pipeline.load_runs(runs)
    dataset = pipeline.read(data, say=_say, on_error=str(on_error), votes=votes)
    _print_job(pipeline.judge(dataset, loaded, out=out, say=_say), json)


@app.command()
def info(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run folders that `mien train` wrote.")] = None,
    json: Json = False,
) -> None:
    """What trained networks are and cost; without a run, the recipes.

    Example: mien info runs/medium
    """
    from mien import pipeline

    if runs:
        loaded = pipeline.load_runs(runs)
        facts = [{"folder": str(one.folder), **one.facts} for one in loaded]
        _answer({"runs": facts}, pipeline.summary_table(loaded), json)
    else:
        answer, text = pipeline.recipe_table()
        _answer(answer, text, json)


@app.command()
def doctor(json: Json = False) -> None:
    """Versions, backend, processor and the data that would be found: what to paste into a bug report.

    Example: mien doctor --json
    """
    from mien.doctor import examine

    answer, text = examine()
    _answer(answer, text, json)


@data_app.command("info")
def data_info(
    data: Data = None, votes: Votes = None, on_error: OnErrorOption = OnError.raise_, json: Json = False
) -> None:
    """Count faces by split and class.

    Example: mien data info fer2013.csv
    """
    from mien import pipeline

    answer, text = pipeline.data_info(data, votes=votes, on_error=str(on_error))
    _answer(answer, text, json)


@data_app.command("audit")
def data_audit(
    data: Data = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write JSON, table and contact sheets.", show_default=False)
    ] = None,
    votes: Votes = None,
    on_error: OnErrorOption = OnError.raise_,
    json: Json = False,
) -> None:
    """Find duplicates, leaks between splits, blanks, doubtful labels.

    Example: mien data audit fer2013.csv --votes fer2013new.csv --out audit
    """
    from mien import pipeline

    answer, text = pipeline.data_audit(data, out=out, votes=votes, on_error=str(on_error), say=_say)
    _answer(answer, text, json)


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="Which data set; fer2013 is the one there is.")] = "fer2013",
    out: Annotated[Path, typer.Option("--out", help="Folder to put it into, where mien then finds it.")] = Path("data"),
) -> None:
    """Download FER2013 through Kaggle's own client (copies that need no account come first).

    Example: mien data get fer2013
    """
    if name != "fer2013":
        raise UsageError(f"data set: came {name!r}; expected fer2013")
    from mien.data.get import get_fer2013

    print(get_fer2013(out))


@data_app.command("draw")
def data_draw(
    out: OutFolder = Path("drawn-faces"),
    num: Annotated[int, typer.Option(help="Faces in all; three quarters train.", min=70)] = 5600,
    seed: Seed = 0,
    form: Annotated[Form, typer.Option(help="folder: split/label/picture.png; csv: as FER2013.")] = Form.folder,
    json: Json = False,
) -> None:
    """Draw faces with seven expressions, as data to try things on.

    Example: mien data draw --num 700 --out drawn-faces
    """
    from mien import pipeline

    answer, text = pipeline.data_draw(out, num=num, seed=seed, form=str(form))
    _answer(answer, text, json)


@data_app.command("convert")
def data_convert(
    data: Annotated[str, typer.Argument(help=DATA_HELP)],
    out: Annotated[Path, typer.Argument(help="A new .csv, .csv.gz, or folder.")],
    labelled_only: Annotated[bool, typer.Option("--labelled-only", help="Leave out rows without a label.")] = False,
    on_error: OnErrorOption = OnError.raise_,
    json: Json = False,
) -> None:
    """Write data as FER2013's csv or as a folder split/label/picture.png.

    Example: mien data convert faces/ faces.csv
    """
    from mien import pipeline

    answer, text = pipeline.data_convert(data, out, labelled_only=labelled_only, on_error=str(on_error), say=_say)
    _answer(answer, text, json)


def main() -> NoReturn:
    """Entry point: run the command line and turn mien's errors into one line and an exit code."""
    # TensorFlow reads this when it is imported, which is later; the user's own setting wins.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
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
            print("stopped; what was computed is on disk, and the same command goes on from there", file=sys.stderr)
            sys.exit(143 if terminated else 130)
        raise
    except BrokenPipeError:
        # The reader of our output is gone (`mien ... | head`): not our failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(0)


def _recipe(name: RecipeName, changes: dict[str, Any]) -> Recipe:
    from mien.training.recipes import recipe

    return recipe(str(name), **changes)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _answer(answer: dict[str, Any], text: str, as_json: bool) -> None:
    print(json_module.dumps(answer, indent=1) if as_json else text)


def _print_job(job: Any, as_json: bool) -> None:
    if as_json:
        print(json_module.dumps({**job.evaluation.to_dict(), "report": str(job.report)}, indent=1))
    else:
        print(job.evaluation.table())
        print(f"Report: {job.report}")


def _training_bar() -> Any:
    from mien.progress import training_bar

    return training_bar()
