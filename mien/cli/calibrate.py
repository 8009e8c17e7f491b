"""The verb `mien calibrate`: derive how a bundle answers under each class prior."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mien.cli.options import DATA_HELP, Json, Votes, answer, say, say_next, source_of


def calibrate(
    bundle: Annotated[str, typer.Argument(help="A bundle: folder, zip, or shipped.")],
    photographs: Annotated[
        str,
        typer.Option(
            help="Faces of everyday photographs: training/ and validation/, no person in both."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The bundle to write: a folder or .zip.")],
    data: Annotated[str | None, typer.Option("--data", help=DATA_HELP, show_default=False)] = None,
    votes: Votes = None,
    json: Json = False,
) -> None:
    """Derive the answer of a bundle for the priors everyday and balanced; its network stays.

    Example: mien calibrate shipped --data fer2013.csv --photographs faces/ --out mine.zip
    """
    from mien import pipeline
    from mien.bundle import open_bundle
    from mien.training.answer_rules import recalibrate

    pipeline.need_train_extra()
    opened = open_bundle(bundle)
    faces = pipeline.read(source_of(data, votes, "raise"), say=say)
    everyday = pipeline.read(source_of(photographs, None, "raise"), say=say, side=opened.side)
    new, measured = recalibrate(opened, out, dataset=faces, photographs=everyday)
    answer({"bundle": str(out), "digest": new.digest, "measured": measured}, _table(measured), json)
    say_next("predict", "photo.jpg", "--bundle", out, as_json=json)


def _table(measured: dict[str, Any]) -> str:
    lines = ["prior     mode  faces        n  right  certain  right of these"]
    for prior, modes in measured.items():
        for mode, rows in modes.items():
            for name, row in rows.items():
                lines.append(
                    f"{prior:9} {mode:5} {name:11} {row['n']:5} {row['accuracy']:6.1%} "
                    f"{row['certain']:8.1%} {row['certain_right']:15.1%}"
                )
    return "\n".join(lines)
