"""Options that several verbs share, and functions that print."""

from __future__ import annotations

import contextlib
import dataclasses
import json as json_module
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.constants import CLASS_WEIGHTS, FACE_SIDE, FACES, ON_ERROR, RECIPES
from mien.errors import meant, printable, without_password

if TYPE_CHECKING:
    from mien.data.source import Source


def choice(words: Iterable[str]) -> dict[str, Any]:
    """Arguments of `typer.Option` for a choice of words.

    Shells complete them, and the error for another word suggests a similar one.
    """
    choices = tuple(words)

    def parse(word: str) -> str:
        if word in choices:
            return word
        fix = meant(word, choices, "use one of these")
        raise typer.BadParameter(f"got {word}; expected one of {', '.join(choices)}. Fix: {fix}")

    def complete(incomplete: str) -> list[str]:
        return [word for word in choices if word.startswith(incomplete)]

    return {
        "parser": parse,
        "metavar": f"[{'|'.join(choices)}]",
        "autocompletion": complete,
    }


DATA_HELP = (
    "FER2013's csv, or pictures as split/label/picture or label/picture: a file, folder, zip or "
    "tar. Default: the first of $MIEN_DATA, Kaggle's input folder, ./data and this folder that "
    "has data, or else built-in drawn faces."
)
Data = Annotated[str | None, typer.Argument(metavar="DATA", help=DATA_HELP, show_default=False)]
OutFolder = Annotated[
    Path, typer.Option("--out", help="Folder for the results, created if it does not exist.")
]
Init = Annotated[
    str | None,
    typer.Option(
        metavar="mien|PATH|dlib|imagenet:NAME",
        help="Start from trained weights: mien's own, those of a bundle or run, dlib's, or "
        "ImageNet's (docs/train.md).",
        show_default=False,
    ),
]
Votes = Annotated[
    Path | None,
    typer.Option(help="FER+ votes (fer2013new.csv) for the same rows.", show_default=False),
]
OnErrorOption = Annotated[
    str,
    typer.Option(
        "--on-error",
        help="raise: stop at the first bad row; skip: leave bad rows out and list them.",
        **choice(ON_ERROR),
    ),
]
FacesOption = Annotated[
    str,
    typer.Option(
        "--faces",
        help="detect: cut the faces out of photographs, as predict does; whole: the pictures are "
        "faces already; auto: a sample decides.",
        **choice(FACES),
    ),
]
Side = Annotated[
    int, typer.Option("--side", help="Width and height of the faces in pixels.", min=16, max=512)
]
LabelNames = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="NAMES",
        help="Meaning of the labels: rafdb, affectnet, fer2013, ferplus, ckplus, expw, or "
        "1=surprise,2=fear,...; an empty name leaves a label out.",
        show_default=False,
    ),
]
Groups = Annotated[
    Path | None,
    typer.Option(
        help="Table with the columns file and person (or subject, group), which keeps each person "
        "in a single split.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Epochs = Annotated[
    int | None,
    typer.Option(
        help="Length of the schedule; by default the recipe's own.", min=1, show_default=False
    ),
]


def _fields(incomplete: str) -> list[str]:
    from mien.training.recipe import kinds

    return [f"{name}=" for name in kinds() if name.startswith(incomplete)]


Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Change any field of the recipe; VALUE is JSON (mien info --json lists the fields).",
        show_default=False,
        autocompletion=_fields,
    ),
]
Seed = Annotated[
    int, typer.Option(help="Seed of weights, batches, dropout and augmentation.", min=0)
]
Weights = Annotated[
    str,
    typer.Option(
        "--class-weights", help="Weight of each class in the loss.", **choice(CLASS_WEIGHTS)
    ),
]
Augment = Annotated[
    bool, typer.Option("--augment/--no-augment", help="Vary training faces at random.")
]
KeepLeaks = Annotated[
    bool,
    typer.Option("--keep-leaks", help="Also train on faces that occur in validation or test too."),
]
Deterministic = Annotated[
    bool,
    typer.Option("--deterministic", help="Make weights reproducible bit by bit; slower."),
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Delete the run in the folder and start over.")
]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Also log each epoch for TensorBoard.")
]
Patience = Annotated[
    int | None,
    typer.Option(
        help="Epochs without improvement after which training stops.", min=1, show_default=False
    ),
]
BatchSize = Annotated[int | None, typer.Option(help="Faces per step.", min=2, show_default=False)]
LearningRate = Annotated[
    float | None, typer.Option(help="Learning rate after the warm-up.", show_default=False)
]
Teachers = Annotated[
    list[str] | None,
    typer.Option(
        help=(
            "Bundle to distil from (--set teacher_weight=0.5); repeat it to use the mean of "
            "several."
        ),
        show_default=False,
    ),
]
Photographs = Annotated[
    str | None,
    typer.Option(
        "--photographs",
        help="Labelled faces from everyday photographs, which the recipe everyday also trains on.",
        show_default=False,
    ),
]
WhichRecipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="The recipe; by default medium, or finetune with --init.",
        show_default=False,
        **choice(RECIPES),
    ),
]
RunFolder = Annotated[
    Path | None,
    typer.Option("--out", help="The run folder; by default runs/RECIPE.", show_default=False),
]


def source_of(
    data: str | None,
    votes: Path | None,
    on_error: str,
    faces: str = "auto",
    side: int = 48,
    labels: str | None = None,
    groups: Path | None = None,
) -> Source:
    """The options of a verb that say where and how data is read, as one value."""
    from mien.data.source import Source

    return Source(data, votes, on_error, faces, side, labels, groups)


Tell = Callable[[str], None]


def say(sentence: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # the work continues even if nobody reads
        print(without_password(sentence), file=sys.stderr, flush=True)


def teller(quiet: bool) -> Tell:
    """What tells the user of the work: `say`, or for --quiet nothing."""
    return (lambda sentence: None) if quiet else say


def given(options: Mapping[str, object]) -> list[str]:
    """The options that have another value than by default, for the next command."""
    defaults = {None, "shipped", "auto", "raise", FACE_SIDE}
    return [
        text
        for name, value in options.items()
        if value not in defaults
        for text in (name, str(value))
    ]


def reading(source: Source) -> list[str]:
    """The data and its reading options, for the next command."""
    fields = dataclasses.asdict(source)
    path = fields.pop("path")
    options = {f"--{name.replace('_', '-')}": value for name, value in fields.items()}
    return [*([str(path)] if path else []), *given(options)]


def say_next(*command: object, as_json: bool = False) -> None:
    """Suggest the next step as a command that can be copied."""
    if not as_json:
        say("Next: " + printable(shlex.join(["mien", *map(str, command)])))


def answer(values: dict[str, Any], text: str, as_json: bool) -> None:
    print(json_module.dumps(values, indent=1) if as_json else text)
