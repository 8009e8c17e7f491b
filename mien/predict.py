"""The verb `predict`: pictures, folders, videos and cameras in; rows, marked copies and explanations out.

Every source has its rows: one without a face, and one that could not be read, say so.
"""

from __future__ import annotations

import csv
import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import DataError, UsageError
from mien.results import Face, Frame
from mien.writers import Writer, as_written, keep_whole, open_writer

if TYPE_CHECKING:
    from mien.recognizer import Recognizer

STDIN = "-"
WRITTEN = ("-marked.jpg", "-marked.mp4", "-marked.part.mp4")
PICTURES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".pgm", ".ppm", ".avif", ".heic")
)
FORMS = {".csv": "csv", ".jsonl": "jsonl", ".json": "json", ".parquet": "parquet"}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outputs:
    """Where answers go besides the terminal; each may be None.

    Attributes:
        table: A .csv, .jsonl, .json or .parquet file.
        columns: Preset of a table's columns: `mien`, `openface` or `pyfeat`.
        resume: Go on with the table: sources that it holds already are left out, those that failed or were broken off
            are looked at again.
        overwrite: Replace a table that is there.
        draw: Folder for copies with the answers drawn in.
        explain: Folder for a picture of each face with its occlusion map.
        summary: Folder for what a video comes to: summary.csv, events and a timeline of each person.
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
        if self.columns != "mien" and self.table is not None and form_of(self.table) in ("json", "jsonl"):
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
        parts = [f"{_many(self.num_faces, 'face')} in {_many(self.num_frames, 'picture')} or frames"]
        if self.num_resumed:
            parts.append(f"{_many(self.num_resumed, 'source')} there from an earlier run")
        if self.num_without_face:
            parts.append(f"{self.num_without_face} without a face")
        if self.num_failed:
            parts.append(f"{self.num_failed} could not be read")
        return "; ".join(parts)


def collect(paths: Sequence[str], *, say: Say) -> list[str]:
    """The pictures, videos and cameras that arguments name, each once: files, folders with all below them, patterns.

    Raises:
        UsageError: for a folder or pattern that holds no picture and no video.
    """
    from mien.video import is_video

    found: dict[str, None] = {}
    for given in paths:
        if given == STDIN or is_video(given) or Path(given).is_file():
            found[given] = None
        elif Path(given).is_dir() or glob.has_magic(given):
            files = _below(given, say) if Path(given).is_dir() else sorted(glob.glob(given, recursive=True))
            wanted = [one for one in files if Path(one).suffix.lower() in PICTURES or is_video(one)]
            if not wanted:
                say(f"{given}: holds no picture and no video; {_many(len(files), 'other file')}")
            elif len(files) > len(wanted):
                say(f"{given}: left out {_many(len(files) - len(wanted), 'file')}, by name neither picture nor video")
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
    """All files below a folder, sorted; links to folders are not followed, and folders that cannot be read are told."""
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
    """
    from mien.video import SMOOTH_S, is_video

    tally = Tally()
    folders = [folder for folder in (outputs.draw, outputs.explain, outputs.summary) if folder is not None]
    for folder in folders:
        _make(folder)
    names = _file_names(sources)
    # What an earlier run wrote is not looked at as if it were the user's.
    places = [folder.resolve() for folder in folders]
    own = {place / f"{name}{end}" for place in places for name in names.values() for end in WRITTEN}
    ours = {source: None for source in sources if own and source != STDIN and Path(source).resolve() in own}
    if ours:
        say(f"left out {_many(len(ours), 'marked copy or picture')} that this command wrote: {next(iter(ours))} ...")
    num_videos = sum(map(is_video, sources))
    has_videos = num_videos > 0
    for option, given, kind, num_others in (
        ("--summary", outputs.summary, "videos", len(sources) - num_videos),
        ("--explain", outputs.explain, "pictures", num_videos),
        ("--every", every, "videos", 0 if has_videos else len(sources)),
        ("--smooth", smooth_s, "videos", 0 if has_videos else len(sources)),
    ):
        if given is not None and num_others:
            say(f"{option} is for {kind} only: nothing of it for {_many(num_others, 'other source')}")
    table = _Table(outputs, recognizer, has_videos=has_videos)
    left = [source for source in sources if source not in ours and not table.holds(source)]
    tally.num_resumed = len(sources) - len(ours) - len(left)
    pictures = [source for source in left if not is_video(source)]
    with table:
        data = {source: sys.stdin.buffer.read() if source == STDIN else source for source in pictures}
        frames = recognizer.frames(data.values(), names=data.keys())
        for source, frame in zip(pictures, frames, strict=True):
            tally.add(frame)
            _extras(recognizer, frame, data[source], names[source], outputs)
            table.write(frame)
            show(frame)
        for source in left:
            if is_video(source):
                table.begin(source)
                smooth = SMOOTH_S if smooth_s is None else smooth_s
                for frame in _video(source, names[source], recognizer, outputs, every, smooth, say):
                    tally.add(frame)
                    table.write(frame)
                    show(frame)
                table.end()
    return tally


class _Table:
    """The table, or nothing where none was asked for."""

    def __init__(self, outputs: Outputs, recognizer: Recognizer, *, has_videos: bool) -> None:
        self._writer: Writer | None = None
        self._held: set[str] = set()
        self._form = ""
        path = outputs.table
        if path is None:
            return
        self._form = form_of(path)
        self._mark = path.with_name(path.name + ".unfinished")
        if path.is_dir():
            raise UsageError(f"{path}: came a folder; expected the name of a table to write. To mend: name another")
        again = outputs.resume and path.exists()
        if path.exists() and not outputs.resume and not outputs.overwrite:
            raise UsageError(
                f"{path}: came a file that exists already; expected a new one. "
                "To mend: name another, or give --resume to go on with it, or --overwrite to replace it"
            )
        if again:
            unfinished = self._mark.read_text(encoding="utf-8") if self._mark.exists() else None
            self._held = keep_whole(path, self._form, unfinished)
            if self._form == "csv":
                with path.open(encoding="utf-8") as file:
                    has_videos = "raw_" in file.readline()
        _make(path.parent)
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

    def holds(self, source: str) -> bool:
        return source != STDIN and as_written(source, self._form) in self._held

    def begin(self, source: str) -> None:
        """Mark a video as under way, so that --resume begins it anew."""
        if self._writer is not None:
            self._mark.write_text(as_written(source, self._form), encoding="utf-8", errors="backslashreplace")

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


def form_of(path: Path) -> str:
    """The form of a table, by the end of its name.

    Raises:
        UsageError: for another end.
    """
    try:
        return FORMS[path.suffix.lower()]
    except KeyError:
        raise UsageError(f"{path}: came the ending {path.suffix!r}; expected one of {', '.join(FORMS)}") from None


def _extras(recognizer: Recognizer, frame: Frame, picture: str | bytes, name: str, outputs: Outputs) -> None:
    """The marked copy and the explanations of one picture."""
    if frame.error is not None or (outputs.draw is None and (outputs.explain is None or not frame.faces)):
        return
    from PIL import Image

    from mien.annotate import annotate
    from mien.draw import explained
    from mien.image import load_image

    image = load_image(picture)
    if outputs.draw is not None:
        _save(Image.fromarray(annotate(image, frame.faces, recognizer.labels)), outputs.draw / f"{name}-marked.jpg")
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
    """The frames of one video; its copy, summary, events and timelines are written when it ends, however it ends."""
    from mien.video import watch

    copy = None if outputs.draw is None else outputs.draw / f"{name}-marked.mp4"

    def frames() -> Iterator[Frame]:
        try:
            yield from watch(
                source, recognizer, every=every, smooth_s=smooth_s, draw=copy, tell=lambda note: say(f"  {note}")
            )
        except DataError as error:
            yield Frame(source, 0, None, 0, 0, recognizer.detector.name, (), str(error))

    yield from frames() if outputs.summary is None else _summed_up(frames(), name, recognizer, outputs.summary)


def _summed_up(frames: Iterator[Frame], name: str, recognizer: Recognizer, folder: Path) -> Iterator[Frame]:
    """Pass frames on; then read them again from a file, so that memory does not grow with the video."""
    import json

    from mien.summary import events, summary, write_events
    from mien.timeline import Timelines

    timelines = Timelines(recognizer.labels)
    spool = folder / f".{name}.jsonl"

    def again() -> Iterable[Frame]:
        with spool.open(encoding="utf-8") as lines:
            for line in lines:
                yield Frame.from_dict(json.loads(line))

    try:
        with open_writer(spool, "jsonl", labels=recognizer.labels.names) as writer:
            for frame in frames:
                writer.write(frame)
                timelines.add(frame)
                yield frame
    finally:
        # Also after Ctrl-C: what was looked at is summed up.
        _write_rows(folder / f"{name}_summary.csv", summary(again()))
        write_events(folder / f"{name}_events.tsv", events(again()), about={"Network": recognizer.bundle.digest})
        timelines.write(folder / f"{name}_persons")
        spool.unlink()


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _file_names(sources: Sequence[str]) -> dict[str, str]:
    """A name for what is written about each source: its own without the ending, numbered where two are alike."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for source in sources:
        plain = "stdin" if source == STDIN else Path(source.replace("://", "-").replace(":", "-")).stem
        name, number = plain, 1
        while name.lower() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.lower())
        names[source] = name
    return names


def describe(frame: Frame) -> str:
    """A frame for the terminal: a line a face."""
    source = "".join(c if c.isprintable() else "?" for c in frame.source)  # a name must not command the terminal
    place = source if frame.time_s is None else f"{source} {frame.time_s:.3f} s"
    if frame.error is not None:
        return f"{place}: not read: {frame.error.removeprefix(frame.source + ': ')}"
    if not frame.faces:
        return f"{place}: no face"
    return "\n".join(
        f"{place}: {_caption(face)}{_box(face)}" + (f" (uncertain: {face.reason})" if face.uncertain else "")
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
    return UsageError(f"{path}: cannot be written ({error.strerror or error}). To mend: name another place")
