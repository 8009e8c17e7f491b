"""The verb `mien calibrate`: fit a bundle's prediction rule for each class prior."""

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
            help="Faces from everyday photographs in training/ and validation/, no person in both."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The bundle to write: a folder or .zip.")],
    data: Annotated[str | None, typer.Option("--data", help=DATA_HELP, show_default=False)] = None,
    votes: Votes = None,
    json: Json = False,
) -> None:
    """Fit a bundle's prediction rules for the priors everyday and balanced. The network is
    unchanged.

    Example: mien calibrate shipped --data fer2013.csv --photographs faces/ --out mine.zip
    """
    from mien import pipeline
    from mien.bundle import open_bundle
    from mien.training.answer_rules import recalibrate

    pipeline.need_train_extra()
    source_bundle = open_bundle(bundle)
    faces = pipeline.read(source_of(data, votes, "raise"), say=say)
    photograph_faces = pipeline.read(
        source_of(photographs, None, "raise"), say=say, side=source_bundle.side
    )
    calibrated, measures = recalibrate(
        source_bundle, out, dataset=faces, photographs=photograph_faces
    )
    answer(
        {"bundle": str(out), "digest": calibrated.digest, "measured": measures},
        _table(measures),
        json,
    )
    say_next("predict", "photo.jpg", "--bundle", out, as_json=json)


def _table(measures: dict[str, Any]) -> str:
    lines = ["prior     mode  faces        n  right  certain  right of these"]
    for prior, modes in measures.items():
        for mode, rows in modes.items():
            for name, row in rows.items():
                lines.append(
                    f"{prior:9} {mode:5} {name:11} {row['n']:5} {row['accuracy']:6.1%} "
                    f"{row['certain']:8.1%} {row['certain_right']:15.1%}"
                )
    return "\n".join(lines)
