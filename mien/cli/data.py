"""The verbs `mien data ...`: inspect, audit, draw and convert data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mien.cli.options import (
    Data,
    FacesOption,
    Groups,
    Json,
    LabelNames,
    OnErrorOption,
    Side,
    Votes,
    answer,
    choice,
    given,
    reading,
    say,
    say_next,
    source_of,
)
from mien.cli.tables import count_table
from mien.constants import FACES, FORMS
from mien.errors import UsageError, counted

data_app = typer.Typer(
    help="Inspect, audit, draw and convert data.", no_args_is_help=True, rich_markup_mode=None
)


@data_app.command("info")
def data_info(
    data: Data = None,
    votes: Votes = None,
    on_error: OnErrorOption = "raise",
    faces: FacesOption = "auto",
    side: Side = 48,
    labels: LabelNames = None,
    groups: Groups = None,
    json: Json = False,
) -> None:
    """Count faces by split and class.

    Example: mien data info fer2013.csv
    """
    from mien.data import source as sources

    source = source_of(data, votes, on_error, faces, side, labels, groups)
    values = sources.count(source)
    answer(values, count_table(values), json)
    say_next("data", "audit", *reading(source), as_json=json)


@data_app.command("audit")
def data_audit(
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for a report as JSON and text, and contact sheets.",
            show_default=False,
        ),
    ] = None,
    votes: Votes = None,
    on_error: OnErrorOption = "raise",
    faces: FacesOption = "auto",
    side: Side = 48,
    labels: LabelNames = None,
    groups: Groups = None,
    json: Json = False,
) -> None:
    """Find duplicates, leaks between splits, blank pictures and doubtful labels.

    Example: mien data audit fer2013.csv --votes fer2013new.csv --out audit
    """
    from mien.data import source as sources

    source = source_of(data, votes, on_error, faces, side, labels, groups)
    audit = sources.audit_source(source, out=out, say=say)
    answer(audit.to_dict(rows=True), audit.table(), json)
    say_next("train", *reading(source), as_json=json)


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="The data set; fer2013 is the only one.")] = "fer2013",
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the data; mien finds it in ./data.")
    ] = Path("data"),
    json: Json = False,
) -> None:
    """Download FER2013 with Kaggle's client, first trying copies that need no account.

    Example: mien data get fer2013
    """
    if name != "fer2013":
        raise UsageError(f"data set: got {name!r}; expected fer2013. Fix: mien data get fer2013")
    from mien.data.download import get_fer2013

    path = get_fer2013(out)
    answer({"path": str(path)}, str(path), json)
    say_next("data", "info", path, as_json=json)


@data_app.command("draw")
def data_draw(
    out: Annotated[
        Path, typer.Option("--out", help="A new folder, or with --form csv a new file.")
    ] = Path("drawn-faces"),
    num: Annotated[
        int, typer.Option(help="Number of faces; three quarters are for training.", min=70)
    ] = 5600,
    seed: Annotated[int, typer.Option(help="The same seed draws the same faces.", min=0)] = 0,
    form: Annotated[
        str,
        typer.Option(help="folder: split/label/picture.png; csv: FER2013's.", **choice(FORMS)),
    ] = "folder",
    json: Json = False,
) -> None:
    """Draw artificial faces with seven expressions, as data for a first try.

    Example: mien data draw --num 700 --out drawn-faces
    """
    from mien.data import source as sources

    _print_written(sources.draw(out, num=num, seed=seed, form=form), json)


@data_app.command("convert")
def data_convert(
    data: Annotated[str, typer.Argument(help="The data, in any format that mien reads.")],
    out: Annotated[Path, typer.Argument(help="A new .csv, .csv.gz, or folder.")],
    labelled_only: Annotated[
        bool, typer.Option("--labelled-only", help="Leave out rows without a label.")
    ] = False,
    on_error: OnErrorOption = "raise",
    faces: FacesOption = "auto",
    side: Side = 48,
    labels: LabelNames = None,
    groups: Groups = None,
    json: Json = False,
) -> None:
    """Write data as a csv like FER2013's, or as a folder split/label/picture.png.

    Example: mien data convert faces/ faces.csv
    """
    from mien.data import source as sources

    source = source_of(data, None, on_error, faces, side, labels, groups)
    values = sources.convert_source(source, out, labelled_only=labelled_only, say=say)
    _print_written(values, json, on_error)


@data_app.command("crop")
def data_crop(
    data: Annotated[
        str,
        typer.Argument(
            help="Photographs as label/picture or split/label/picture: folder, zip, tar."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="A new folder for the faces.")],
    side: Side = 48,
    faces: Annotated[
        str,
        typer.Option(
            help="detect: cut faces out; whole: pictures are faces; auto: a sample decides.",
            **choice(FACES),
        ),
    ] = "detect",
    labels: LabelNames = None,
    groups: Groups = None,
    sheets: Annotated[
        Path | None,
        typer.Option(help="Folder for contact sheets; OUT-sheets by default.", show_default=False),
    ] = None,
    on_error: OnErrorOption = "raise",
    json: Json = False,
) -> None:
    """Cut the faces out of photographs exactly as `mien predict` does.

    Example: mien data crop photos.zip faces/ --side 96
    """
    from mien.data import source as sources

    source = source_of(data, None, on_error, faces, side, labels, groups)
    _print_written(sources.crop(source, out, sheets=sheets, say=say), json, on_error)


def _print_written(values: dict[str, Any], as_json: bool, on_error: str = "raise") -> None:
    answer(values, f"{counted(values['num_faces'], 'face')}: {values['written']}", as_json)
    # What the data lacks, such as a class in one split, what is written lacks too.
    say_next("train", values["written"], *given({"--on-error": on_error}), as_json=as_json)
