"""The verb `predict`: pictures, folders, videos and cameras in; rows, marked copies and
explanations out.

Every source has its rows: one without a face, and one that could not be read, say so.
"""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import DataError, UsageError
from mien.results import Face, Frame
from mien.results.writers import (
    Writer,
    as_written,
    check_same,
    fitting,
    form_of,
    keep_whole,
    open_writer,
    read_settings,
    write_settings,
)

if TYPE_CHECKING:
    from mien.recognizer import Recognizer

STDIN = "-"
PICTURES = frozenset(
    (
        ".jpg",
        ".jpeg",
        ".jfif",
        ".png",
        ".webp",
        ".bmp",
        ".tif",
        ".tiff",
        ".gif",
        ".pgm",
        ".ppm",
        ".avif",
        ".heic",
    )
)
# What is written about a source, in one of the folders of `Outputs`.
_COPY = re.compile(r"(.+)-marked(?:\.jpg|\.mp4|\.part\.mp4)", re.DOTALL)
_MAP = re.compile(r"(.+)-face[0-9]+\.png", re.DOTALL)
_TIMELINE = re.compile(r"(.+)_persons/person-[0-9]+\.png", re.DOTALL)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outputs:
    """Where answers go besides the terminal; each may be None.

    Attributes:
        table: A .csv, .jsonl, .json or .parquet file.
        columns: Preset of a table's columns: `mien`, `openface` or `pyfeat`.
        resume: Go on with the table: sources that it holds already are left out, those that failed
            or were broken off are looked at again.
        overwrite: Replace a table that is there.
        draw: Folder for copies with the answers drawn in.
        explain: Folder for a picture of each face with its occlusion map.
        summary: Folder for what a video comes to: summary.csv, events and a timeline of each
            person.
    """

    table: Path | None = None
    columns: str = "mien"
    resume: bool = False
    overwrite: bool = False
    draw: Path | None = None
    explain: Path | None = None
    summary: Path | None = None

    def __post_init__(self) -> None:
        if self.table is not None:
            form_of(self.table)
        for option, given in (
            ("--resume", self.resume),
            ("--overwrite", self.overwrite),
            (f"--columns {self.columns}", self.columns != "mien"),
        ):
            if given and self.table is None:
                raise UsageError(f"{option}: came no table; expected --out FILE beside it")
        if self.resume and self.overwrite:
            raise UsageError(
                "--resume and --overwrite: came both; expected one, to go on with the table or to replace it"
            )
        if (
            self.columns != "mien"
            and self.table is not None
            and form_of(self.table) in ("json", "jsonl")
        ):
            raise UsageError(
                f"--columns {self.columns}: came {self.table}; expected .csv or .parquet, for JSON has no columns"
            )


@dataclass
class Tally:
    """What was looked at."""

    num_frames: int = 0  # pictures, and frames of videos
    num_faces: int = 0
    num_without_face: int = 0
    num_failed: int = 0
    num_resumed: int = 0

    def add(self, frame: Frame) -> None:
        self.num_frames += 1
        self.num_faces += len(frame.faces)
        self.num_failed += frame.error is not None
        self.num_without_face += frame.error is None and not frame.faces

    def sentence(self) -> str:
        parts = [
            f"{_many(self.num_faces, 'face')} in {_many(self.num_frames, 'picture')} or frames"
        ]
        if self.num_resumed:
            parts.append(f"{_many(self.num_resumed, 'source')} there from an earlier run")
        if self.num_without_face:
            parts.append(f"{self.num_without_face} without a face")
        if self.num_failed:
            parts.append(f"{self.num_failed} could not be read")
        return "; ".join(parts)


def collect(paths: Sequence[str], *, say: Say) -> list[str]:
    """The pictures, videos and cameras that arguments name, each once: files, folders with all
    below them, patterns.

    Raises:
        UsageError: for a folder or pattern that holds no picture and no video.
    """
    from mien.video.frames import is_video

    found: dict[str, None] = {}
    for given in paths:
        if given == STDIN or is_video(given) or Path(given).is_file():
            found[given] = None
        elif Path(given).is_dir() or glob.has_magic(given):
            files = (
                _below(given, say)
                if Path(given).is_dir()
                else sorted(glob.glob(given, recursive=True))
            )
            wanted = [one for one in files if Path(one).suffix.lower() in PICTURES or is_video(one)]
            if not wanted:
                say(f"{given}: holds no picture and no video; {_many(len(files), 'other file')}")
            elif len(files) > len(wanted):
                say(
                    f"{given}: left out {_many(len(files) - len(wanted), 'file')}, by name neither picture nor video"
                )
            found |= dict.fromkeys(wanted)
        else:
            found[given] = None  # its row will say that there is no such file
    if not found:
        raise UsageError(
            f"{', '.join(paths)}: came no picture and no video; expected at least one. "
            "To mend: name another file, folder or pattern"
        )
    return list(found)


def _below(folder: str, say: Say) -> list[str]:
    """All files below a folder, sorted; links to folders are not followed, and folders that cannot
    be read are told.
    """
    files: list[str] = []

    def unreadable(error: OSError) -> None:
        say(f"{error.filename}: cannot be read ({error.strerror}); what is in it is left out")

    for place, folders, names in os.walk(folder, onerror=unreadable):
        folders.sort()
        files += [os.path.join(place, name) for name in names]
    return sorted(files)


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def predict(
    sources: Sequence[str],
    recognizer: Recognizer,
    outputs: Outputs,
    *,
    every: float | None,
    smooth_s: float | None,
    say: Say,
    show: Callable[[Frame], None],
    max_side: int | None = None,
) -> Tally:
    """Recognise all sources and write what was asked for.

    Args:
        sources: What `collect` gave.
        recognizer: From `mien.load`.
        outputs: Where answers go.
        every: Seconds between the frames of a video that are looked at; None for every frame.
        smooth_s: Time constant of the smoothing in videos; None for the default.
        say: Takes sentences for a person.
        show: Takes each frame, as soon as it is known.
        max_side: What the recognizer was loaded with; kept beside the table, so that --resume can
            tell.
    """
    from mien.video.frames import is_video
    from mien.video.recognize import SMOOTH_S

    tally = Tally()
    folders = [
        folder for folder in (outputs.draw, outputs.explain, outputs.summary) if folder is not None
    ]
    for folder in folders:
        _make(folder)
    ours = _written_by_us(sources, folders)
    if ours:
        files = _many(len(ours), "file")
        say(
            f"left out {files} that this command wrote (marked copies, maps, timelines): {next(iter(ours))} ..."
        )
        sources = [source for source in sources if source not in ours]
    names = _file_names(sources)
    num_videos = sum(map(is_video, sources))
    has_videos = num_videos > 0
    for option, given, kind, num_others in (
        ("--summary", outputs.summary, "videos", len(sources) - num_videos),
        ("--explain", outputs.explain, "pictures", num_videos),
        ("--every", every, "videos", 0 if has_videos else len(sources)),
        ("--smooth", smooth_s, "videos", 0 if has_videos else len(sources)),
    ):
        if given is not None and num_others:
            say(
                f"{option} is for {kind} only: nothing of it for {_many(num_others, 'other source')}"
            )
    smooth = SMOOTH_S if smooth_s is None else smooth_s
    settings = _settings(recognizer, max_side) | (
        {"every_s": every, "smooth_s": smooth} if has_videos else {}
    )
    table = _Table(outputs, recognizer, settings, has_videos=has_videos, say=say)
    left = [source for source in sources if not table.holds(source)]
    tally.num_resumed = len(sources) - len(left)
    pictures = [source for source in left if not is_video(source)]
    with table:
        data = {
            source: sys.stdin.buffer.read() if source == STDIN else source for source in pictures
        }
        frames = recognizer.frames(data.values(), names=data.keys())
        for source, frame in zip(pictures, frames, strict=True):
            tally.add(frame)
            _extras(recognizer, frame, data[source], names[source], outputs)
            table.write(frame)
            show(frame)
        for source in left:
            if is_video(source):
                table.begin(source)
                for frame in _video(source, names[source], recognizer, outputs, every, smooth, say):
                    tally.add(frame)
                    table.write(frame)
                    show(frame)
                table.end()
    return tally


def _written_by_us(sources: Sequence[str], folders: Sequence[Path]) -> dict[str, None]:
    """What an earlier run wrote and is not to be looked at as if it were the user's.

    Its sign: it lies where this run writes to, and is named as what is written about one of this
    run's sources.
    """
    from mien.video.frames import is_video

    places = {folder.resolve() for folder in folders}
    names = _file_names(sources)
    videos = {name for source, name in names.items() if is_video(source)}
    pictures = {name for source, name in names.items() if not is_video(source)}
    found: dict[str, None] = {}
    for source in sources if places else ():
        if source == STDIN:
            continue
        path = Path(source).resolve()
        for place, pattern, about in (
            (path.parent, _COPY, videos | pictures),
            (path.parent, _MAP, pictures),
            (path.parent.parent, _TIMELINE, videos),
        ):
            named = (
                pattern.fullmatch(path.relative_to(place).as_posix()) if place in places else None
            )
            if named and named[1] in about:
                found[source] = None
    return found


def _settings(recognizer: Recognizer, max_side: int | None) -> dict[str, Any]:
    """What answers depend on, of all but videos."""
    from mien.vision.yunet import MAX_SIDE

    bundle, detector = recognizer.bundle, recognizer.detector
    found = {
        "bundle": f"{bundle.name} {bundle.digest[:16]}",
        "mode": recognizer.mode,
        "detector": detector.name,
    }
    looks_for_faces = detector.geometry != "none"
    return found | (
        {"max_side": MAX_SIDE if max_side is None else max_side} if looks_for_faces else {}
    )


class _Table:
    """The table, or nothing where none was asked for. Beside it lies what its rows were computed
    with.
    """

    def __init__(
        self,
        outputs: Outputs,
        recognizer: Recognizer,
        settings: dict[str, Any],
        *,
        has_videos: bool,
        say: Say,
    ) -> None:
        self._writer: Writer | None = None
        self._held: set[str] = set()
        self._form = ""
        path = outputs.table
        if path is None:
            return
        self._form = form_of(path)
        self._mark = path.with_name(fitting(path.name) + ".unfinished")
        if path.is_dir():
            raise UsageError(
                f"{path}: came a folder; expected the name of a table to write. To mend: name another"
            )
        again = outputs.resume and path.exists()
        if path.exists() and not outputs.resume and not outputs.overwrite:
            raise UsageError(
                f"{path}: came a file that exists already; expected a new one. "
                "To mend: name another, or give --resume to go on with it, or --overwrite to replace it"
            )
        _make(path.parent)
        beside = (
            path.with_name(fitting(path.name) + ".settings.json")
            if self._form in ("csv", "jsonl")
            else None
        )
        known = read_settings(beside) if beside is not None else None
        if again:
            if known is None:  # a table of an older mien, or that was moved
                known = {"earlier_rows": "not known"}
            check_same(path, known, settings)
            unfinished = self._mark.read_text(encoding="utf-8") if self._mark.exists() else None
            self._held = keep_whole(path, self._form, unfinished)
            if self._held:
                settings = known | settings
            if "earlier_rows" in settings:
                say(
                    f"{path}: with which network and settings its earlier rows were computed is not known; going on"
                )
            if self._form == "csv":
                with path.open(encoding="utf-8") as file:
                    has_videos = "raw_" in file.readline()
        try:
            self._writer = open_writer(
                path,
                self._form,
                labels=recognizer.labels.names,
                columns=outputs.columns,
                heads={name: labels.names for name, labels in recognizer.heads.items()},
                raw=has_videos,
                append=again,
            )
        except OSError as error:
            raise _unwritable(path, error) from error
        if beside is not None:
            try:
                write_settings(
                    beside, settings
                )  # after the table is open: one that stays as it was keeps its own
            except OSError as error:
                self._writer.close()
                raise _unwritable(beside, error) from error

    def holds(self, source: str) -> bool:
        return source != STDIN and as_written(source, self._form) in self._held

    def begin(self, source: str) -> None:
        """Mark a video as under way, so that --resume begins it anew."""
        if self._writer is not None:
            self._mark.write_text(
                as_written(source, self._form), encoding="utf-8", errors="backslashreplace"
            )

    def end(self) -> None:
        """The video is whole."""
        if self._writer is not None:
            self._mark.unlink(missing_ok=True)

    def write(self, frame: Frame) -> None:
        if self._writer is not None:
            self._writer.write(frame)

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()


def _extras(
    recognizer: Recognizer, frame: Frame, picture: str | bytes, name: str, outputs: Outputs
) -> None:
    """The marked copy and the explanations of one picture."""
    if frame.error is not None or (
        outputs.draw is None and (outputs.explain is None or not frame.faces)
    ):
        return
    from PIL import Image

    from mien.vision.annotate import annotate
    from mien.vision.contact_sheet import explained
    from mien.vision.image import load_image

    image = load_image(picture)
    if outputs.draw is not None:
        _save(
            Image.fromarray(annotate(image, frame.faces, recognizer.labels)),
            outputs.draw / f"{name}-marked.jpg",
        )
    if outputs.explain is not None:
        for number, face in enumerate(frame.faces):
            seen, heat = recognizer.explain(image, face)
            picture_of_it = explained(seen, heat, _caption(face))
            _save(Image.fromarray(picture_of_it), outputs.explain / f"{name}-face{number}.png")


def _video(
    source: str,
    name: str,
    recognizer: Recognizer,
    outputs: Outputs,
    every: float | None,
    smooth_s: float,
    say: Say,
) -> Iterator[Frame]:
    """The frames of one video; its copy, summary, events and timelines are written when it ends,
    however it ends.
    """
    from mien.video.recognize import watch

    copy = None if outputs.draw is None else outputs.draw / f"{name}-marked.mp4"

    def frames() -> Iterator[Frame]:
        try:
            yield from watch(
                source,
                recognizer,
                every=every,
                smooth_s=smooth_s,
                draw=copy,
                tell=lambda note: say(f"  {note}"),
            )
        except DataError as error:
            yield Frame(source, 0, None, 0, 0, recognizer.detector.name, (), str(error))

    yield from (
        frames()
        if outputs.summary is None
        else _summed_up(frames(), name, recognizer, outputs.summary)
    )


def _summed_up(
    frames: Iterator[Frame], name: str, recognizer: Recognizer, folder: Path
) -> Iterator[Frame]:
    """Pass frames on; then read them again from a file, so that memory does not grow with the
    video.
    """
    import json

    from mien.video.summary import events, summary, write_events, write_summary
    from mien.video.timeline import Timelines

    timelines = Timelines(recognizer.labels)
    spool = folder / f".{name}.jsonl"
    try:
        writer = open_writer(spool, "jsonl", labels=recognizer.labels.names)
    except OSError as error:
        raise _unwritable(spool, error) from error

    def again() -> Iterable[Frame]:
        with spool.open(encoding="utf-8") as lines:
            for line in lines:
                yield Frame.from_dict(json.loads(line))

    try:
        with writer:
            for frame in frames:
                writer.write(frame)
                timelines.add(frame)
                yield frame
    finally:
        # Also after Ctrl-C: what was looked at is summed up.
        try:
            write_summary(folder / f"{name}_summary.csv", summary(again()))
            write_events(
                folder / f"{name}_events.tsv",
                events(again()),
                about={"Network": recognizer.bundle.digest},
            )
            timelines.write(folder / f"{name}_persons")
        except OSError as error:
            raise _unwritable(Path(error.filename or folder), error) from error
        finally:
            spool.unlink(missing_ok=True)


def _file_names(sources: Sequence[str]) -> dict[str, str]:
    """A name for what is written about each source: its own without the ending, numbered where two
    are alike.

    A very long one is cut, so that there is room for what is put behind it.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for source in sources:
        plain = (
            "stdin" if source == STDIN else Path(source.replace("://", "-").replace(":", "-")).stem
        )
        name, number = fitting(plain), 1
        while name.lower() in taken:
            number += 1
            name = fitting(f"{plain}-{number}")
        taken.add(name.lower())
        names[source] = name
    return names


def describe(frame: Frame) -> str:
    """A frame for the terminal: a line a face."""
    source = "".join(
        c if c.isprintable() else "?" for c in frame.source
    )  # a name must not command the terminal
    place = source if frame.time_s is None else f"{source} {frame.time_s:.3f} s"
    if frame.error is not None:
        return f"{place}: not read: {frame.error.removeprefix(frame.source + ': ')}"
    if not frame.faces:
        return f"{place}: no face"
    return "\n".join(
        f"{place}: {_caption(face)}{_box(face)}"
        + (f" (uncertain: {face.reason})" if face.uncertain else "")
        for face in frame.faces
    )


def _caption(face: Face) -> str:
    """The label and what it is followed by, with their probabilities."""
    order = sorted(range(len(face.labels)), key=lambda k: -face.probabilities[k])[:2]
    first, second = (f"{face.labels[k]} {face.probabilities[k]:.0%}" for k in order)
    person = "" if face.track is None else f"person {face.track}: "
    return f"{person}{first}, then {second}"


def _box(face: Face) -> str:
    x0, y0, x1, y1 = (round(value) for value in face.box)
    return f", at {x0},{y0} to {x1},{y1}"


def _save(image: Any, path: Path) -> None:
    try:
        image.save(path, **({"quality": 92} if path.suffix == ".jpg" else {}))
    except OSError as error:
        raise _unwritable(path, error) from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{path}: cannot be written ({error.strerror or error}). To mend: name another place"
    )
