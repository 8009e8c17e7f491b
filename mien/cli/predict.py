"""The verb `predict` and its options."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import Columns, DetectorKind, Json, say
from mien.cli.progress import counting_bar
from mien.errors import UsageError

if TYPE_CHECKING:
    from mien.predict import Options
    from mien.results import Frame

PARTLY = 8  # the exit code when some could not be read

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="Pictures, videos, folders with all below them, patterns, camera:0, - for a picture on "
        "stdin; or tables of faces (csv, Parquet, .npz), whose rows without labels are answered.",
    ),
]
Network = Annotated[
    str, typer.Option(help="The network: what `mien export` wrote; by default mien's own.")
]
Finder = Annotated[
    DetectorKind,
    typer.Option(
        help="What finds faces; yunet-close: smaller ones too, slowly; none: the pictures are faces already."
    ),
]
FinderWeights = Annotated[
    Path | None,
    typer.Option(help="File with YuNet's weights, instead of the download.", show_default=False),
]
MaxSide = Annotated[
    int | None,
    typer.Option(
        help="Longest side in pixels at which faces are looked for; more finds smaller ones.",
        min=32,
    ),
]
Best = Annotated[
    bool,
    typer.Option(
        "--best/--fast",
        help="Classify each face in 14 views, slower, with better probabilities; or once.",
    ),
]
TableFile = Annotated[
    Path | None,
    typer.Option(
        "--out", help="Table to write: .csv, .jsonl, .json or .parquet.", show_default=False
    ),
]
ColumnNames = Annotated[Columns, typer.Option(help="Names of the table's columns.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with --out: leave out what it holds whole.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace --out if it is there.")]
DrawFolder = Annotated[
    Path | None,
    typer.Option(help="Folder for copies with the answers drawn in.", show_default=False),
]
ExplainFolder = Annotated[
    Path | None,
    typer.Option(
        help="Folder for pictures of what each answer rests on (pictures only).",
        show_default=False,
    ),
]
SummaryFolder = Annotated[
    Path | None,
    typer.Option(help="Folder for a video's summary, events and timelines.", show_default=False),
]
Every = Annotated[
    str | None,
    typer.Option(
        help="Look at a video's frames this far apart, such as 0.2s; every frame by default."
    ),
]
Smooth = Annotated[
    str | None,
    typer.Option(help="Time constant of the smoothing in videos, 0.3s by default; 0s for none."),
]
Prior = Annotated[
    str | None,
    typer.Option(
        "--prior",
        help="Where the pictures come from: everyday, balanced, or weights such as "
        "happy=3,neutral=5; by default what the bundle says.",
        show_default=False,
    ),
]


def predict(
    paths: Paths,
    bundle: Network = "shipped",
    detector: Finder = DetectorKind.auto,
    detector_model: FinderWeights = None,
    max_side: MaxSide = None,
    best: Best = False,
    prior: Prior = None,
    out: TableFile = None,
    columns: ColumnNames = Columns.mien,
    resume: Resume = False,
    overwrite: Overwrite = False,
    draw: DrawFolder = None,
    explain: ExplainFolder = None,
    summary: SummaryFolder = None,
    every: Every = None,
    smooth: Smooth = None,
    json: Json = False,
) -> None:
    """Recognise the expressions in pictures and videos. Exit code 8: some could not be read, and
    the rows say which.

    Example: mien predict photo.jpg holiday/ talk.mp4 --every 0.2s --out faces.csv --draw marked

    Example: mien predict test.csv --out submission.csv
    """
    from mien import predict as job
    from mien.cli import tables
    from mien.recognizer import load
    from mien.results.writers import open_writer
    from mien.video.recognize import parse_seconds
    from mien.vision.detect import find_detector

    outputs = job.Outputs(out, str(columns), resume, overwrite, draw, explain, summary)
    options = job.Options(
        every=None if every is None else parse_seconds(every, "--every"),
        smooth_s=_time_constant(smooth),
        max_side=max_side,
    )
    sources, options, num_bad = _sources(paths, options)
    if options.pictures:
        detector = DetectorKind.none
    mode = "best" if best else "fast"
    finder = find_detector(str(detector), model=detector_model, max_side=max_side)
    recognizer = load(bundle, detector=finder, mode=mode, prior=prior)
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
                print(tables.describe(frame), flush=True)
            seen[frame.source] = None
            time = "" if frame.time_s is None else f" {frame.time_s:.0f} s"
            move(len(seen), frame.source + time)

        tally = job.predict(sources, recognizer, outputs, options, say=say, show=show)
    say(tally.sentence())
    if tally.num_failed or num_bad:
        raise typer.Exit(PARTLY)


def _sources(paths: list[str], options: Options) -> tuple[list[str], Options, int]:
    """What is to be answered: pictures and videos, or the rows of tables; and how many rows could
    not be read.
    """
    from mien.cli.sources import collect
    from mien.data.table_rows import is_table, rows_to_answer

    given = [path for path in paths if is_table(path)]
    if not given:
        return collect(paths, say=say), options, 0
    if len(given) < len(paths):
        other = next(path for path in paths if path not in given)
        raise UsageError(
            f"predict: came the table {given[0]} beside {other}; expected tables alone, since their "
            "faces are not looked for. To mend: two commands"
        )
    faces, notes, left_out = rows_to_answer(given)
    for note in notes:
        say(note)
    for one in left_out:
        say(f"left out: {one.where}, row {one.row}: {one.reason}")
    return list(faces), dataclasses.replace(options, pictures=faces), len(left_out)


def _time_constant(text: str | None) -> float | None:
    """Seconds of `--smooth`; 0 is allowed and switches it off."""
    from mien.video.recognize import parse_seconds

    if text is None:
        return None
    return 0.0 if text in ("0", "0s") else parse_seconds(text, "--smooth")
