"""Tables of predictions that a later command can continue.

A file beside the table has the settings with which its rows were computed.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from mien.errors import DataError, UsageError
from mien.results import Frame
from mien.results.writers import Writer, cell, csv_text, form_of, open_writer

SETTINGS = "mien.settings/1"
LONGEST_NAME = 255  # bytes, on most file systems
LONGEST_END = len(".settings.json.part")  # the longest ending that is appended to a name


@dataclass(frozen=True)
class Layout:
    """The path and the columns of a table.

    Attributes:
        path: A .csv, .jsonl, .json or .parquet file; None for no table.
        labels, heads, columns: As for `open_writer`.
        has_videos: Whether there are rows of videos, which also have raw probabilities.
    """

    path: Path | None
    labels: tuple[str, ...]
    heads: Mapping[str, Sequence[str]]
    columns: str = "mien"
    has_videos: bool = False


class ResumableTable:
    """A table of predictions, or nothing if none was requested. A file beside it has the settings
    of its rows, so that `resume` continues only with the same ones.

    Args:
        layout: Where the table lies, and its columns.
        settings: The settings with which the rows are computed.
        resume: Continue the table at `path`: sources that it has completely are skipped.
        overwrite: Replace an existing table.
        say: Receives sentences for the user.

    Raises:
        UsageError: if the path exists, cannot be written, or was computed with other settings.
        DataError: if the file to continue was not written by mien.
    """

    def __init__(
        self,
        layout: Layout,
        settings: Mapping[str, Any],
        *,
        resume: bool,
        overwrite: bool,
        say: Callable[[str], None],
    ) -> None:
        self._writer: Writer | None = None
        self._held: set[str] = set()
        self._form = ""
        path = layout.path
        if path is None:
            return
        self._form = form_of(path)
        self._mark = path.with_name(fitting(path.name) + ".unfinished")
        again = _check_target(path, resume=resume, overwrite=overwrite)
        make_folder(path.parent)
        beside = (
            path.with_name(fitting(path.name) + ".settings.json")
            if self._form in ("csv", "jsonl")
            else None
        )
        # Read in any case: a file that is not ours is not replaced.
        known = read_settings(beside) if beside is not None else None
        if again:
            settings = self._go_on(path, known, settings, say)
            if self._form == "csv":
                with path.open(encoding="utf-8") as file:
                    layout = replace(layout, has_videos="raw_" in file.readline())
        try:
            self._writer = open_writer(
                path,
                self._form,
                labels=layout.labels,
                columns=layout.columns,
                heads=layout.heads,
                raw=layout.has_videos,
                append=again,
            )
        except OSError as error:
            raise unwritable(path, error) from error
        if beside is not None:
            try:
                # After the table is open: a table that cannot be opened keeps its settings.
                write_settings(beside, settings)
            except OSError as error:
                self._writer.close()
                raise unwritable(beside, error) from error

    def _go_on(
        self,
        path: Path,
        known: Mapping[str, Any] | None,
        settings: Mapping[str, Any],
        say: Callable[[str], None],
    ) -> Mapping[str, Any]:
        """Read the complete sources of the table; returns settings that hold for all its rows."""
        if known is None:  # a table of an older mien, or that was moved
            known = {"earlier_rows": "not known"}
        check_same(path, known, settings)
        unfinished = self._mark.read_text(encoding="utf-8") if self._mark.exists() else None
        self._held = keep_whole(path, self._form, unfinished)
        if self._held:
            settings = {**known, **settings}
        if "earlier_rows" in settings:
            say(f"{path}: the network and settings of its earlier rows are not known; continuing")
        return settings

    def holds(self, source: str) -> bool:
        """Whether the table already has all rows of a source."""
        return as_written(source, self._form) in self._held

    def begin(self, source: str) -> None:
        """Mark a video as unfinished, so that --resume starts it again."""
        if self._writer is not None:
            self._mark.write_text(
                as_written(source, self._form), encoding="utf-8", errors="backslashreplace"
            )

    def end(self) -> None:
        """Mark the video as complete."""
        if self._writer is not None:
            self._mark.unlink(missing_ok=True)

    def write(self, frame: Frame) -> None:
        """Write the rows of a frame."""
        if self._writer is not None:
            self._writer.write(frame)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()


def _check_target(path: Path, *, resume: bool, overwrite: bool) -> bool:
    """Whether the table at `path` is continued."""
    if path.is_dir():
        raise UsageError(f"{path}: got a folder; expected the name of a table. Fix: name a file")
    if path.exists() and not resume and not overwrite:
        raise UsageError(
            f"{path}: got a file that already exists; expected a new one. "
            "Fix: name another, or give --resume to continue it, or --overwrite to replace it"
        )
    return resume and path.exists()


def keep_whole(path: str | os.PathLike[str], form: str, unfinished: str | None = None) -> set[str]:
    """The sources that a CSV (any preset) or JSONL file has completely; rows of others are removed.

    Incomplete are sources whose single row has an error, which may be fixed by now; the source
    `unfinished`, spelled as in the file, which was interrupted; and a last line that was cut off.

    A CSV changes the names of sources that begin like a formula (`writers.cell`); look sources up
    with `as_written`.

    Raises:
        UsageError: for another form.
        DataError: if the file was not written by mien.
    """
    if form not in ("csv", "jsonl"):
        raise UsageError(
            f"{os.fspath(path)}: got {form}, which cannot be continued; expected csv or jsonl. "
            "Fix: write one of these, or start again with --overwrite"
        )
    path = Path(path)
    whole = path.read_bytes()
    text = whole[: whole.rfind(b"\n") + 1].decode("utf-8", "replace")
    try:
        if form == "jsonl":
            head, lines = "", [line + "\n" for line in text.splitlines() if line]
            outcomes = [(str(frame["source"]), frame["error"]) for frame in map(json.loads, lines)]
        else:
            table = csv.DictReader(io.StringIO(text, newline=""))
            names = list(table.fieldnames or ())
            source = "input" if "input" in names else "source"
            table_rows = list(table)
            head = csv_text([names])
            lines = [csv_text([[row[name] for name in names]]) for row in table_rows]
            outcomes = [(row[source], row["error"]) for row in table_rows]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            path,
            got="lines without a source",
            expected=f"{form} written by mien",
            fix="write to another file",
        ) from error
    counts = Counter(source for source, _ in outcomes)
    out = {source for source, error in outcomes if error and counts[source] == 1} | {unfinished}
    if any(source in out for source, _ in outcomes):
        kept = head + "".join(
            line for line, (source, _) in zip(lines, outcomes, strict=True) if source not in out
        )
        part = path.with_name(path.name + ".part")
        part.write_bytes(kept.encode("utf-8"))
        os.replace(part, path)
    return {source for source, _ in outcomes} - out


def read_settings(path: Path) -> dict[str, Any] | None:
    """The settings written by `write_settings`; None if there is no such file.

    Raises:
        DataError: if the file was not written by mien.
    """
    try:
        settings = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _no_settings(path, f"a file that cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _no_settings(path, "a file that is not JSON") from error
    if not isinstance(settings, dict) or settings.pop("format", None) != SETTINGS:
        raise _no_settings(path, "another JSON file")
    return settings


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of the rows, so that the final name is never a partial file."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps({"format": SETTINGS, **settings}, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def differences(known: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first setting that differs, as texts of its new and its old value; None if all are equal.

    Settings that only one side has (those of videos) do not count.
    """
    other = [name for name, value in settings.items() if name in known and known[name] != value]
    if not other:
        return None
    current, expected = (
        ", ".join(f"{name} {'none' if one[name] is None else one[name]}" for name in other)
        for one in (settings, known)
    )
    return current, expected


def check_same(table: Path, known: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse to go on with a table by other means."""
    if other := differences(known, settings):
        raise UsageError(
            f"{table}: got --resume with {other[0]}; expected {other[1]}, as its rows were "
            "computed. Fix: give the same options as then, or name another table with --out, or "
            "start this one again with --overwrite"
        )


def _no_settings(path: Path, got: str) -> DataError:
    return DataError(
        path,
        got=got,
        expected=f"the settings of the table beside it ({SETTINGS})",
        fix="move it away, or delete it if it is not needed, or name another table",
    )


def as_written(source: str, form: str) -> str:
    """How a source is spelled in a file of that form."""
    return cell(source, "text") if form == "csv" else source


def fitting(name: str) -> str:
    """The name, or if it would be too long its beginning and a hash, so that it stays unique."""
    most = LONGEST_NAME - LONGEST_END
    whole = os.fsencode(name)
    if len(whole) <= most:
        return name
    end = f"-{hashlib.sha256(whole).hexdigest()[:8]}"
    while len(os.fsencode(name)) > most - len(end):  # letter by letter: one may have several bytes
        name = name[:-1]
    return name + end


def make_folder(folder: Path) -> None:
    """Make a folder for results; UsageError if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(path: Path, error: OSError) -> UsageError:
    """The error for a path that cannot be written."""
    return UsageError(
        f"{path}: got an error while writing ({error.strerror or error}); expected a place to "
        "write to. Fix: name another place"
    )
