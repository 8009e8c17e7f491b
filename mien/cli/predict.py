"""The verb `predict` and its options."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.cluster import ENGINES, EngineOptions, predict_with_ray
from mien.cli.options import Json, Tell, choice, given, say, say_next, teller
from mien.cli.progress import counting_bar
from mien.constants import COLUMNS, DETECTORS
from mien.errors import UsageError

if TYPE_CHECKING:
    from mien.predict import Options, Outputs, Tally
    from mien.recognizer import Recognizer
    from mien.results import Frame
    from mien.video.summary import Summary

SOME_UNREADABLE = 8  # exit code if some sources could not be read

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="Pictures, videos, folders (with subfolders), patterns, camera:0, or - for a picture "
        "on stdin; or tables of faces (csv, Parquet, .npz), whose rows without labels are "
        "predicted.",
    ),
]
Network = Annotated[
    str, typer.Option(help="The network, written by `mien export`; by default mien's own.")
]
Finder = Annotated[
    str,
    typer.Option(
        help=(
            "The face detector. yunet-close finds smaller faces, but is slower; none: the pictures "
            "are faces already."
        ),
        **choice(DETECTORS),
    ),
]
FinderWeights = Annotated[
    Path | None,
    typer.Option(help="File with YuNet's weights; by default a download.", show_default=False),
]
MaxSide = Annotated[
    int | None,
    typer.Option(
        help="Longest side in pixels at which faces are detected; larger finds smaller faces.",
        min=32,
    ),
]
Best = Annotated[
    bool,
    typer.Option(
        "--best/--fast",
        help="Classify each face in 14 views (better probabilities, slower), or once.",
    ),
]
TableFile = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="PATH",
        help="Table to write: .csv, .jsonl, .json or .parquet; with --engine ray a folder.",
        show_default=False,
    ),
]
ColumnNames = Annotated[str, typer.Option(help="Names of the table's columns.", **choice(COLUMNS))]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue the table --out: skip sources that it has.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace --out if it exists.")]
DrawFolder = Annotated[
    Path | None,
    typer.Option(help="Folder for copies with the predictions drawn in.", show_default=False),
]
ExplainFolder = Annotated[
    Path | None,
    typer.Option(
        help="Folder for heat maps of the regions each prediction depends on (pictures only).",
        show_default=False,
    ),
]
SummaryFolder = Annotated[
    Path | None,
    typer.Option(
        help="Folder for the summary, events and timelines of videos.", show_default=False
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only errors; files are written as usual.")
]
Every = Annotated[
    str | None,
    typer.Option(
        help="Time between the analysed frames of a video, such as 0.2s; by default every frame."
    ),
]
Smooth = Annotated[
    str | None,
    typer.Option(help="Time constant of the smoothing in videos; 0.3s by default, 0s for none."),
]
Prior = Annotated[
    str | None,
    typer.Option(
        "--prior",
        help="How often expressions occur in your pictures: everyday, balanced, or weights such "
        "as happy=3,neutral=5; by default the bundle decides.",
        show_default=False,
    ),
]

WhichEngine = Annotated[
    str,
    typer.Option(
        help="Where to compute: in this process, or with Ray on one or many machines "
        "(docs/scale.md).",
        **choice(ENGINES),
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="With --engine ray: HOST:PORT of a cluster, or auto; by default this machine.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="With --engine ray: number of workers; by default as many as the cores allow.",
        min=1,
        show_default=False,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        help="With --engine ray: cores per worker, 1 by default.", min=1, show_default=False
    ),
]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        help="With --engine ray: time limit for a picture, 60s by default; its row says if it was "
        "exceeded.",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="With --engine ray: only estimate time and cost.")
]
CoreHour = Annotated[
    float | None,
    typer.Option(
        help="With --dry-run: price of a core per hour, 0.04 by default.",
        min=0,
        show_default=False,
    ),
]


def predict(
    paths: Paths,
    bundle: Network = "shipped",
    detector: Finder = "auto",
    detector_model: FinderWeights = None,
    max_side: MaxSide = None,
    best: Best = False,
    prior: Prior = None,
    out: TableFile = None,
    columns: ColumnNames = "mien",
    resume: Resume = False,
    overwrite: Overwrite = False,
    draw: DrawFolder = None,
    explain: ExplainFolder = None,
    summary: SummaryFolder = None,
    every: Every = None,
    smooth: Smooth = None,
    engine: WhichEngine = "local",
    address: Address = None,
    workers: Workers = None,
    threads: Threads = None,
    time_limit: TimeLimit = None,
    dry_run: DryRun = False,
    core_hour: CoreHour = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Recognise the expressions in pictures and videos. Exit code 8: some could not be read; their
    rows say why.

    Example: mien predict photo.jpg holiday/ talk.mp4 --every 0.2s --out faces.csv --draw marked

    Example: mien predict test.csv --out submission.csv

    Example: mien predict s3://bucket/pictures --engine ray --address auto --out answers/
    """
    from mien import predict as job
    from mien.recognizer import load
    from mien.video.recognize import parse_seconds
    from mien.vision.detect import find_detector

    tell = teller(quiet)
    limit = None if time_limit is None else parse_seconds(time_limit, "--time-limit")
    engine_options = EngineOptions(engine, address, workers, threads, limit, dry_run, core_hour)
    table = None if out is None else engine_options.table(out)
    outputs = job.Outputs(table, columns, resume, overwrite, draw, explain, summary)
    options = job.Options(
        every=None if every is None else parse_seconds(every, "--every"),
        smooth_s=_time_constant(smooth),
        max_side=max_side,
        prior=prior,
    )
    sources, num_bad = paths, 0
    if not engine_options.has_ray:
        engine_options.check_unused()
        sources, options, num_bad = _sources(paths, options, tell)
    if options.pictures:
        detector = "none"
    mode = "best" if best else "fast"
    finder = find_detector(detector, model=detector_model, max_side=max_side)
    num_threads = 1 if engine_options.has_ray else None
    recognizer = load(bundle, detector=finder, num_threads=num_threads, mode=mode, prior=prior)
    if recognizer.detector.note:
        tell(recognizer.detector.note)
    with recognizer:
        if engine_options.has_ray:
            settings = (outputs, options)
            tally = predict_with_ray(
                paths, recognizer, out, settings, engine_options, quiet=quiet, as_json=json
            )
        else:
            tally = _predict_here(sources, recognizer, outputs, options, quiet=quiet, as_json=json)
    if not engine_options.dry_run:
        tell(tally.sentence())
    if out is None and not quiet and not options.pictures and not engine_options.dry_run:
        same: dict[str, object] = {"--bundle": bundle, "--detector": detector}
        same |= {"--detector-model": detector_model, "--max-side": max_side}
        same |= {"--prior": prior, "--every": every, "--smooth": smooth}
        again = ["predict", *paths, *given(same), *["--best"][: int(best)]]
        say_next(*again, "--out", "faces.csv", "--draw", draw or "marked", as_json=json)
    if tally.num_failed or num_bad:
        raise typer.Exit(SOME_UNREADABLE)


def _predict_here(
    sources: Sequence[str],
    recognizer: Recognizer,
    outputs: Outputs,
    options: Options,
    *,
    quiet: bool,
    as_json: bool,
) -> Tally:
    """Predict in this process, and show the results."""
    from mien import predict as job
    from mien.results.writers import open_writer
    from mien.vision.fonts import take_missing

    tell = teller(quiet)
    with contextlib.ExitStack() as stack:
        labels = recognizer.labels.names
        if as_json:
            json_writer = stack.enter_context(open_writer(sys.stdout, "json", labels=labels))
        screen = _Screen(labels, has_summary=outputs.summary is not None, quiet=quiet)
        move = stack.enter_context(counting_bar(0 if quiet else len(sources)))
        shown_sources: dict[str, None] = {}

        def show(frame: Frame) -> None:
            if as_json:
                json_writer.write(frame)
            else:
                screen.show(frame)
            shown_sources[frame.source] = None
            time = "" if frame.time_s is None else f" {frame.time_s:.0f} s"
            move(len(shown_sources), frame.source + time)

        tally = job.predict(sources, recognizer, outputs, options, say=tell, show=show)
        if not as_json:
            screen.end_of_video()
    if note := take_missing():
        tell(note)
    return tally


def _sources(paths: list[str], options: Options, tell: Tell) -> tuple[list[str], Options, int]:
    """The sources (pictures, videos, rows of tables), and the number of unreadable rows."""
    from mien.cli.sources import collect
    from mien.data.table_rows import is_table, rows_to_predict

    table_paths = [path for path in paths if is_table(path)]
    if not table_paths:
        relative_paths = collect(paths, say=tell)
        return list(relative_paths), dataclasses.replace(options, relative_paths=relative_paths), 0
    if len(table_paths) < len(paths):
        other_path = next(path for path in paths if path not in table_paths)
        raise UsageError(
            f"predict: got the table {table_paths[0]} and {other_path}; expected only tables, "
            "since their rows are faces already. Fix: use two commands"
        )
    faces, notes, left_out = rows_to_predict(table_paths)
    for note in notes:
        tell(note)
    for row in left_out:
        tell(f"left out: {row.where}, row {row.row}: {row.reason}")
    return list(faces), dataclasses.replace(options, pictures=faces), len(left_out)


class _Screen:
    """Prints results: a line for each face of a picture, and for a video a table of its persons.

    If the output is not a terminal, a video also has a line for each face of each frame.
    """

    def __init__(self, labels: Sequence[str], *, has_summary: bool, quiet: bool) -> None:
        self._labels, self._quiet = labels, quiet
        self._is_terminal = sys.stdout.isatty()
        self._has_table = has_summary or self._is_terminal
        self._video: tuple[str, Summary] | None = None

    def show(self, frame: Frame) -> None:
        """Print a frame, or count it for the table of its video."""
        from mien.cli import tables
        from mien.video.summary import Summary

        if frame.time_s is None or (self._video is not None and self._video[0] != frame.source):
            self.end_of_video()
        if self._quiet:
            if frame.error is not None:
                say(tables.describe(frame))
            return
        if frame.time_s is not None:
            if self._video is None:
                self._video = (frame.source, Summary())
            self._video[1].add(frame)
        if frame.time_s is None or not self._is_terminal or frame.error is not None:
            print(tables.describe(frame), flush=True)

    def end_of_video(self) -> None:
        """Print the table of the video that has ended."""
        from mien.cli import tables

        video, self._video = self._video, None
        if video is not None and self._has_table:
            print(tables.persons_table(video[1].rows(self._labels)), flush=True)


def _time_constant(text: str | None) -> float | None:
    """The seconds of `--smooth`; 0 switches smoothing off."""
    from mien.video.recognize import parse_seconds

    if text is None:
        return None
    return 0.0 if text in ("0", "0s") else parse_seconds(text, "--smooth")
