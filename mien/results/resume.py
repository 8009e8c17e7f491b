"""Tables of predictions that a later command can continue.

A file beside the table records the settings with which its rows were computed.
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

from mien.errors import DataError, UsageError, without_password
from mien.results import Frame
from mien.results.writers import Writer, cell, csv_text, form_of, open_writer

SETTINGS = "mien.settings/1"
MAX_NAME_BYTES = 255  # bytes, on most file systems
MAX_ENDING_BYTES = len(".settings.json.part")  # the longest ending that is appended to a name


@dataclass(frozen=True)
class Layout:
    """The path and the columns of a table.

    Attributes:
        path: A .csv, .jsonl, .json or .parquet file; None for no table.
        labels, heads, columns: As for `open_writer`.
        has_videos: Whether videos are among the sources; their rows also have raw probabilities.
    """

    path: Path | None
    labels: tuple[str, ...]
    heads: Mapping[str, Sequence[str]]
    columns: str = "mien"
    has_videos: bool = False


class ResumableTable:
    """A table of predictions; it does nothing if none was requested.

    A file beside it records the settings of its rows, and `resume` accepts no others.

    Args:
        layout: The path and the columns of the table.
        settings: The settings with which the rows are computed.
        resume: Continue an existing table; sources whose rows are complete are skipped.
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
        self._complete_sources: set[str] = set()
        self._form = ""
        path = layout.path
        if path is None:
            return
        self._form = form_of(path)
        self._interruption_mark = path.with_name(shortened(path.name) + ".unfinished")
        append = _check_target(path, resume=resume, overwrite=overwrite)
        make_folder(path.parent)
        settings_path = (
            path.with_name(shortened(path.name) + ".settings.json")
            if self._form in ("csv", "jsonl")
            else None
        )
        # Always read it: a file that is not ours must not be replaced.
        old_settings = read_settings(settings_path) if settings_path is not None else None
        if append:
            settings = self._continue(path, old_settings, settings, say)
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
                append=append,
            )
        except OSError as error:
            raise unwritable(path, error) from error
        if settings_path is not None:
            try:
                # Only after the table is open: a table that cannot be opened keeps its settings.
                write_settings(settings_path, settings)
            except OSError as error:
                self._writer.close()
                raise unwritable(settings_path, error) from error

    def _continue(
        self,
        path: Path,
        old_settings: Mapping[str, Any] | None,
        settings: Mapping[str, Any],
        say: Callable[[str], None],
    ) -> Mapping[str, Any]:
        """Read the complete sources of the table, and return settings that hold for all rows."""
        if old_settings is None:  # the table is from an older mien, or was moved
            old_settings = {"earlier_rows": "not known"}
        check_same_settings(path, old_settings, settings)
        interrupted_source = (
            self._interruption_mark.read_text(encoding="utf-8")
            if self._interruption_mark.exists()
            else None
        )
        self._complete_sources = keep_complete_sources(path, self._form, interrupted_source)
        if self._complete_sources:
            settings = {**old_settings, **settings}
        if "earlier_rows" in settings:
            say(f"{path}: the network and settings of its earlier rows are unknown; continuing")
        return settings

    def holds(self, source: str) -> bool:
        """Whether the table already has all rows of a source."""
        return source_cell(source, self._form) in self._complete_sources

    def begin(self, source: str) -> None:
        """Mark a video as unfinished, so that --resume processes it again."""
        if self._writer is not None:
            self._interruption_mark.write_text(
                source_cell(source, self._form), encoding="utf-8", errors="backslashreplace"
            )

    def end(self) -> None:
        """Mark the video as complete."""
        if self._writer is not None:
            self._interruption_mark.unlink(missing_ok=True)

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
            "Fix: choose another name, --resume to continue it, or --overwrite to replace it"
        )
    return resume and path.exists()


def keep_complete_sources(
    path: str | os.PathLike[str], form: str, interrupted_source: str | None = None
) -> set[str]:
    """Remove the rows of incomplete sources from a CSV (any preset) or JSONL file.

    A source is incomplete if its only row has an error, which may be fixed by now, or if it is
    `interrupted_source` (spelled as in the file). A last line that was cut off is removed too.

    Returns:
        The complete sources as the file spells them (`source_cell`): a CSV changes names that begin
        like a formula (`writers.cell`).

    Raises:
        UsageError: for another form.
        DataError: if the file was not written by mien.
    """
    if form not in ("csv", "jsonl"):
        raise UsageError(
            f"{os.fspath(path)}: got {form}, which cannot be continued; expected csv or jsonl. "
            "Fix: write one of these, or start over with --overwrite"
        )
    path = Path(path)
    data = path.read_bytes()
    text = data[: data.rfind(b"\n") + 1].decode("utf-8", "replace")
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
    incomplete = {source for source, error in outcomes if error and counts[source] == 1} | {
        interrupted_source
    }
    if any(source in incomplete for source, _ in outcomes):
        remainder = head + "".join(
            line
            for line, (source, _) in zip(lines, outcomes, strict=True)
            if source not in incomplete
        )
        part = path.with_name(path.name + ".part")
        part.write_bytes(remainder.encode("utf-8"))
        os.replace(part, path)
    return {source for source, _ in outcomes} - incomplete


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
        raise _settings_error(path, f"a file that cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _settings_error(path, "a file that is not JSON") from error
    if not isinstance(settings, dict) or settings.pop("format", None) != SETTINGS:
        raise _settings_error(path, "another JSON file")
    return settings


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of the rows; the final name is never a partial file."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps({"format": SETTINGS, **settings}, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def differences(
    old_settings: Mapping[str, Any], settings: Mapping[str, Any]
) -> tuple[str, str] | None:
    """The settings that differ, as texts of their new and old values; None if all are equal.

    Settings that only one side has (those for videos) do not count.
    """
    names = [
        name
        for name, value in settings.items()
        if name in old_settings and old_settings[name] != value
    ]
    if not names:
        return None
    new, old = (
        ", ".join(f"{name} {'none' if values[name] is None else values[name]}" for name in names)
        for values in (settings, old_settings)
    )
    return new, old


def check_same_settings(
    table: Path, old_settings: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Refuse to continue a table with other settings.

    Raises:
        UsageError: naming the settings that differ.
    """
    if difference := differences(old_settings, settings):
        raise UsageError(
            f"{table}: got --resume with {difference[0]}; expected {difference[1]}, with which its "
            "rows were computed. Fix: use the same options, name another table with --out, or "
            "start over with --overwrite"
        )


def _settings_error(path: Path, got: str) -> DataError:
    return DataError(
        path,
        got=got,
        expected=f"the settings of the table beside it ({SETTINGS})",
        fix="move or delete it, or name another table",
    )


def source_cell(source: str, form: str) -> str:
    """How a file of that format spells a source."""
    source = without_password(source)  # as in a frame
    return cell(source, "text") if form == "csv" else source


def shortened(name: str) -> str:
    """The name; if it is too long for a file, its beginning and a hash that keeps it unique."""
    limit = MAX_NAME_BYTES - MAX_ENDING_BYTES
    encoded = os.fsencode(name)
    if len(encoded) <= limit:
        return name
    ending = f"-{hashlib.sha256(encoded).hexdigest()[:8]}"
    while len(os.fsencode(name)) > limit - len(ending):  # a letter may have several bytes
        name = name[:-1]
    return name + ending


def make_folder(folder: Path) -> None:
    """Make a folder for results.

    Raises:
        UsageError: if that fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(path: Path, error: OSError) -> UsageError:
    """The error for a path that cannot be written."""
    return UsageError(
        f"{path}: got an error while writing ({error.strerror or error}); expected a place that "
        "can be written. Fix: choose another place"
    )
