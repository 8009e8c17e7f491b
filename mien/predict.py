"""The job of `mien predict`: from pictures, videos and cameras to rows, marked copies and maps.

Every source has rows, even one without a face or one that cannot be read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import DataError, UsageError, counted
from mien.results import Face, Frame
from mien.results.names import STDIN, earlier_outputs, output_names
from mien.results.resume import Layout, ResumableTable, make_folder, unwritable
from mien.results.writers import form_of

if TYPE_CHECKING:
    import numpy as np

    from mien.bundle.answer import Prior
    from mien.recognizer import Recognizer

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outputs:
    """The files and folders for results, besides the terminal; each may be None.

    Attributes:
        table: A .csv, .jsonl, .json or .parquet file.
        columns: Preset of a table's columns: `mien`, `openface` or `pyfeat`.
        resume: Continue the table: complete sources are skipped; sources that failed or were
            interrupted are analysed again.
        overwrite: Replace an existing table.
        draw: Folder for copies with the predictions drawn in.
        explain: Folder for a picture of each face with its occlusion map.
        summary: Folder for the summary, the events and the persons' timelines of each video.
    """

    table: Path | None = None
    columns: str = "mien"
    resume: bool = False
    overwrite: bool = False
    draw: Path | None = None
    explain: Path | None = None
    summary: Path | None = None

    def folders(self) -> list[Path]:
        """The folders to write into."""
        return [folder for folder in (self.draw, self.explain, self.summary) if folder is not None]

    def __post_init__(self) -> None:
        if self.table is not None:
            form_of(self.table)
        for option, is_set in (
            ("--resume", self.resume),
            ("--overwrite", self.overwrite),
            (f"--columns {self.columns}", self.columns != "mien"),
        ):
            if is_set and self.table is None:
                raise UsageError(
                    f"{option}: got no table; expected one. Fix: name the table with --out FILE"
                )
        if self.resume and self.overwrite:
            raise UsageError(
                "--resume and --overwrite: got both; expected one of them. Fix: use --resume to "
                "continue the table, or --overwrite to replace it"
            )
        if (
            self.columns != "mien"
            and self.table is not None
            and form_of(self.table) in ("json", "jsonl")
        ):
            raise UsageError(
                f"--columns {self.columns}: got {self.table}; expected .csv or .parquet, since "
                "JSON has no columns. Fix: name such a table, or leave out --columns"
            )


@dataclass
class Tally:
    """Counts of analysed pictures and frames, and of their faces."""

    num_frames: int = 0  # pictures, and frames of videos
    num_faces: int = 0
    num_without_face: int = 0
    num_failed: int = 0
    num_resumed: int = 0
    num_sources: int = 0  # completed by a worker of a cluster

    def add(self, frame: Frame) -> None:
        self.num_frames += 1
        self.num_faces += len(frame.faces)
        self.num_failed += frame.error is not None
        self.num_without_face += frame.error is None and not frame.faces

    def include(self, other: Tally) -> None:
        """Add the counts of another tally."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def sentence(self) -> str:
        parts = [
            f"{counted(self.num_faces, 'face')} in {counted(self.num_frames, 'picture')} or frames"
        ]
        if self.num_resumed:
            parts.append(f"{counted(self.num_resumed, 'source')} already in the table")
        if self.num_without_face:
            parts.append(f"{self.num_without_face} without a face")
        if self.num_failed:
            parts.append(f"{self.num_failed} could not be read")
        return "; ".join(parts)


@dataclass(frozen=True)
class Options:
    """How sources are analysed.

    Attributes:
        every: Seconds between the analysed frames of a video; None for every frame.
        smooth_s: Time constant of the smoothing in videos, in seconds; None for the default.
        max_side, prior: The recognizer's settings, which are stored beside the table so that
            `resume` can compare them.
        pictures: Source -> picture in memory, uint8 (H, W).
        relative_paths: Source -> its path relative to the folder that was searched, if any; its
            output files lie in the same subfolders.
    """

    every: float | None = None
    smooth_s: float | None = None
    max_side: int | None = None
    prior: Prior = None
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    relative_paths: Mapping[str, str] = field(default_factory=dict)


def predict(
    sources: Sequence[str],
    recognizer: Recognizer,
    outputs: Outputs,
    options: Options,
    *,
    say: Say,
    show: Callable[[Frame], None],
) -> Tally:
    """Recognise the faces of all sources and write the requested outputs.

    Args:
        sources: Paths of pictures and videos, cameras, or `-` for a picture on stdin.
        recognizer: From `mien.load`.
        outputs: The files and folders to write.
        options: How sources are analysed.
        say: Receives sentences for the user.
        show: Receives each frame as soon as it is ready.

    Raises:
        UsageError: if an output exists, cannot be written, or has other settings.
        DataError: if the table to continue was not written by mien.
    """
    from mien.video.frames import is_video
    from mien.vision.reading import name_of

    tally = Tally()
    for folder in outputs.folders():
        make_folder(folder)
    videos = {source for source in sources if is_video(source)}
    names = output_names(sources, options.relative_paths)
    own_files = earlier_outputs(names, videos, outputs.folders())
    if own_files:
        say(
            f"skipped {counted(len(own_files), 'file')} that this command wrote (marked copies, "
            f"maps, timelines): {next(iter(own_files))} ..."
        )
        sources = [source for source in sources if source not in own_files]
        names = output_names(sources, options.relative_paths)
    num_videos = sum(source in videos for source in sources)
    _say_what_is_unused(outputs, options, num_videos, len(sources) - num_videos, say)
    layout = Layout(
        outputs.table,
        recognizer.labels.names,
        {name: labels.names for name, labels in recognizer.heads.items()},
        outputs.columns,
        has_videos=num_videos > 0,
    )
    settings = settings_of(recognizer, options, has_videos=num_videos > 0)
    table = ResumableTable(
        layout, settings, resume=outputs.resume, overwrite=outputs.overwrite, say=say
    )
    open_sources = [source for source in sources if source == STDIN or not table.holds(source)]
    tally.num_resumed = len(sources) - len(open_sources)

    def handle(frame: Frame) -> None:
        tally.add(frame)
        table.write(frame)
        show(frame)

    with table:
        data = {
            source: sys.stdin.buffer.read()
            if source == STDIN
            else options.pictures.get(source, source)
            for source in open_sources
            if source not in videos
        }
        frames = recognizer.frames(data.values(), names=map(name_of, data))
        for (source, picture), frame in zip(data.items(), frames, strict=True):
            handle(draw_picture(recognizer, frame, picture, names[source], outputs))
        for source in open_sources:
            if source in videos:
                table.begin(source)
                for frame in watch_video(source, names[source], recognizer, outputs, options, say):
                    handle(frame)
                table.end()
    return tally


def _say_what_is_unused(
    outputs: Outputs, options: Options, num_videos: int, num_pictures: int, say: Say
) -> None:
    """Say which options have no effect on some of the sources."""
    for option, value, kind, num_others in (
        ("--summary", outputs.summary, "videos", num_pictures),
        ("--explain", outputs.explain, "pictures", num_videos),
        ("--every", options.every, "videos", 0 if num_videos else num_pictures),
        ("--smooth", options.smooth_s, "videos", 0 if num_videos else num_pictures),
    ):
        if value is not None and num_others:
            say(
                f"{option} is only for {kind}: it has no effect on "
                f"{counted(num_others, 'other source')}"
            )


def settings_of(recognizer: Recognizer, options: Options, *, has_videos: bool) -> dict[str, Any]:
    """The settings on which predictions depend."""
    from mien.video.recognize import SMOOTH_S
    from mien.vision.yunet import MAX_SIDE

    bundle, detector = recognizer.bundle, recognizer.detector
    settings: dict[str, Any] = {
        "bundle": f"{bundle.name} {bundle.digest[:16]}",
        "mode": recognizer.mode,
        "prior": recognizer.prior,
        "detector": detector.name,
    }
    if detector.geometry != "none":  # it detects faces
        settings["max_side"] = MAX_SIDE if options.max_side is None else options.max_side
    if has_videos:
        settings["every_s"] = options.every
        settings["smooth_s"] = SMOOTH_S if options.smooth_s is None else options.smooth_s
    return settings


def draw_picture(
    recognizer: Recognizer,
    frame: Frame,
    picture: str | bytes | np.ndarray,
    name: str,
    outputs: Outputs,
) -> Frame:
    """Write the marked copy and the maps of one picture; return the frame with the copy's path."""
    if frame.error is not None or (
        outputs.draw is None and (outputs.explain is None or not frame.faces)
    ):
        return frame
    from PIL import Image

    from mien.vision.annotate import annotate
    from mien.vision.contact_sheet import explanation_sheet
    from mien.vision.image import load_image

    image = load_image(picture)
    if outputs.draw is not None:
        copy = outputs.draw / f"{name}-marked.jpg"
        _save(Image.fromarray(annotate(image, frame.faces, recognizer.labels)), copy)
        frame = replace(frame, drawn=str(copy))
    if outputs.explain is not None:
        for number, face in enumerate(frame.faces):
            network_input, heat = recognizer.explain(image, face)
            explanation = explanation_sheet(network_input, heat, caption(face))
            _save(Image.fromarray(explanation), outputs.explain / f"{name}-face{number}.png")
    return frame


def watch_video(
    source: str,
    name: str,
    recognizer: Recognizer,
    outputs: Outputs,
    options: Options,
    say: Say,
) -> Iterator[Frame]:
    """The frames of one video.

    Its copy, summary, events and timelines are written at its end, even after an error.
    """
    from mien.video.outputs import with_summaries
    from mien.video.recognize import SMOOTH_S, watch

    copy = None if outputs.draw is None else outputs.draw / f"{name}-marked.mp4"
    if copy is not None:
        make_folder(copy.parent)

    def frames() -> Iterator[Frame]:
        try:
            for frame in watch(
                source,
                recognizer,
                every=options.every,
                smooth_s=SMOOTH_S if options.smooth_s is None else options.smooth_s,
                draw=copy,
                tell=lambda note: say(f"  {note}"),
            ):
                is_drawn = copy is not None and frame.error is None
                yield replace(frame, drawn=str(copy)) if is_drawn else frame
        except DataError as error:
            yield Frame(
                source, 0, None, 0, 0, recognizer.detector.name, (), str(error), recognizer.prior
            )

    yield from (
        frames()
        if outputs.summary is None
        else with_summaries(frames(), name, recognizer, outputs.summary)
    )


def caption(face: Face) -> str:
    """The two likeliest labels with their probabilities."""
    order = sorted(face.probabilities, key=lambda label: -face[label])[:2]
    top, runner_up = (f"{label} {face[label]:.0%}" for label in order)
    person = "" if face.track is None or face.perhaps_no_face else f"person {face.track}: "
    return f"{person}{top}, then {runner_up}"


def _save(image: Any, path: Path) -> None:
    make_folder(path.parent)
    try:
        image.save(path, **({"quality": 92} if path.suffix == ".jpg" else {}))
    except OSError as error:
        raise unwritable(path, error) from error
