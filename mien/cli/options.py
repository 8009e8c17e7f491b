"""Options that several verbs share, and how verbs print."""

from __future__ import annotations

import contextlib
import json as json_module
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.constants import CLASS_WEIGHTS, FACES, ON_ERROR, RECIPES
from mien.errors import meant, printable

if TYPE_CHECKING:
    from mien.data.source import Source


def choice(words: Iterable[str]) -> dict[str, Any]:
    """Arguments of `typer.Option` for one of a few words: shells complete them, and the error
    suggests a similar word.
    """
    known = tuple(words)

    def parse(word: str) -> str:
        if word in known:
            return word
        fix = meant(word, known, "use one of these")
        raise typer.BadParameter(f"got {word}; expected one of {', '.join(known)}. Fix: {fix}")

    def complete(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return {
        "parser": parse,
        "metavar": f"[{'|'.join(known)}]",
        "autocompletion": complete,
    }


DATA_HELP = (
    "A csv of FER2013, or pictures as split/label/picture or label/picture: a file, folder, zip "
    "or tar. Without it: $MIEN_DATA, Kaggle's input folder, ./data, this folder, else the "
    "embedded drawn faces."
)
Data = Annotated[str | None, typer.Argument(metavar="DATA", help=DATA_HELP, show_default=False)]
OutFolder = Annotated[
    Path, typer.Option("--out", help="Folder for the results, created if it does not exist.")
]
Init = Annotated[
    str | None,
    typer.Option(
        metavar="mien|PATH|dlib|imagenet:NAME",
        help="Start from trained weights: mien's own, a bundle's, a run's, dlib's or ImageNet's "
        "(docs/train.md).",
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
        help="detect: pictures are photographs, whose faces are cut out as by predict; whole: they "
        "are faces already; auto: decide by a sample, and say how.",
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
        help="What labels mean: rafdb, affectnet, fer2013, ferplus, ckplus, expw, or "
        "1=surprise,2=fear,...; an empty name leaves a label out.",
        show_default=False,
    ),
]
Groups = Annotated[
    Path | None,
    typer.Option(
        help="Table with the columns file and person (or subject, group): each person is then in "
        "one split only.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Epochs = Annotated[
    int | None,
    typer.Option(
        help="Length of the schedule; the recipe's own by default.", min=1, show_default=False
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
Seed = Annotated[int, typer.Option(help="For weights, batches, dropout and augmentation.", min=0)]
Weights = Annotated[
    str,
    typer.Option(
        "--class-weights", help="Weight of each class in the loss.", **choice(CLASS_WEIGHTS)
    ),
]
Augment = Annotated[
    bool, typer.Option("--augment/--no-augment", help="Change training faces at random.")
]
KeepLeaks = Annotated[
    bool,
    typer.Option(
        "--keep-leaks", help="Also train on rows whose pixels occur in validation or test."
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option("--deterministic", help="The same command gives bit-identical weights; slower."),
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Delete the run in the folder and start again.")
]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Also write each epoch's figures for TensorBoard.")
]
Patience = Annotated[
    int | None,
    typer.Option(
        help="Epochs without improvement before stopping early.", min=1, show_default=False
    ),
]
BatchSize = Annotated[int | None, typer.Option(help="Faces in a step.", min=2, show_default=False)]
LearningRate = Annotated[
    float | None, typer.Option(help="Learning rate after warm-up.", show_default=False)
]
Teachers = Annotated[
    list[str] | None,
    typer.Option(
        help=(
            "Bundle whose answers are learned too (--set teacher_weight=0.5); of several, their "
            "mean."
        ),
        show_default=False,
    ),
]
Photographs = Annotated[
    str | None,
    typer.Option(
        "--photographs",
        help="Labelled faces of everyday photographs, from which the recipe everyday also learns.",
        show_default=False,
    ),
]
WhichRecipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="The network; by default medium, or finetune with --init.",
        show_default=False,
        **choice(RECIPES),
    ),
]
RunFolder = Annotated[
    Path | None,
    typer.Option("--out", help="The run folder; runs/RECIPE by default.", show_default=False),
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
    """Where data is read from, and how, from the options of a verb."""
    from mien.data.source import Source

    return Source(data, votes, on_error, faces, side, labels, groups)


def say(sentence: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody reads any more; the work continues
        print(sentence, file=sys.stderr, flush=True)


def say_next(*command: object, as_json: bool = False) -> None:
    """Say what comes next, as a command that can be copied."""
    if not as_json:
        say("Next: " + printable(shlex.join(["mien", *map(str, command)])))


def answer(values: dict[str, Any], text: str, as_json: bool) -> None:
    print(json_module.dumps(values, indent=1) if as_json else text)
