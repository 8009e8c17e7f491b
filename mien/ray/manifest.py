"""A folder of results: Parquet parts, and `_manifest.json`, which lists the complete ones.

Only the driver writes, and a part counts once the manifest names it, so no row is lost or there
twice, whichever process dies. Readers of Parquet ignore names that begin with `_` or `.`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import IO, Any

from mien.errors import DataError, UsageError
from mien.ray import storage
from mien.results.resume import differences

MANIFEST, LOCK = "_manifest.json", "_lock"
FORMAT = "mien.parts/1"
_PART = re.compile(r"part-\d{6,}\.parquet")

Say = Callable[[str], None]


class ResultFolder:
    """A folder of results to which parts are added.

    Args:
        folder: A path or an address.
        settings: The settings with which the rows are computed.
        schema: The columns, a `pyarrow.Schema`.
        overwrite: Delete results that the folder holds.
        say: Receives messages for the user.

    Raises:
        UsageError: if the folder holds other files or rows with other settings, or another command
            is writing to it.
        DataError: if its manifest cannot be read.
    """

    def __init__(
        self,
        folder: str,
        settings: Mapping[str, Any],
        schema: Any,
        *,
        overwrite: bool = False,
        say: Say,
    ) -> None:
        plain, query = storage.split_query(folder) if "://" in folder else (folder, "")
        self.folder, self._schema, self._say = plain, schema, say
        self._system, self._place = storage.opened(plain, query)
        self._column = "input" if "input" in schema.names else "source"
        self._is_local = self._system.type_name == "local"
        self._lock: IO[bytes] | None = None
        try:
            self._system.create_dir(self._place, recursive=True)
            self._refuse_others(self._names())
            self._hold()
            try:
                self._begin(settings, overwrite)
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise self._unwritable(error) from error

    def _refuse_others(self, names: set[str]) -> None:
        others = sorted(names - {LOCK})
        if others and MANIFEST not in names:
            raise UsageError(
                f"{self.folder}: got a folder with other files ({others[0]}, ...); expected a new "
                "one, or one that this command wrote. Fix: name another with --out"
            )

    def _begin(self, settings: Mapping[str, Any], overwrite: bool) -> None:
        names = self._names()
        known = self._read() if MANIFEST in names else None
        if known is None or overwrite:
            known = {"settings": {}, "parts": {}}
        _check_same(self.folder, known, settings, self._schema)
        self._settings = {**known["settings"], **settings}
        self._parts: dict[str, dict[str, int]] = known["parts"]
        self.held = self._held(names)
        self._save(is_finished=False)

    @property
    def num_rows(self) -> int:
        """Rows in all parts."""
        return sum(part["num_rows"] for part in self._parts.values())

    def add(self, table: Any) -> None:
        """Write a part, then name it in the manifest."""
        last = max((int(name[5:-8]) for name in self._parts), default=-1)
        name = f"part-{last + 1:06d}.parquet"
        try:
            self._write(name, table)
            num_sources = len(table.column(self._column).unique())
            self._parts[name] = {"num_sources": num_sources, "num_rows": table.num_rows}
            self._save(is_finished=False)
        except OSError as error:
            raise self._unwritable(error) from error

    def finish(self) -> None:
        """Mark the results as complete in the manifest."""
        self._save(is_finished=True)

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _hold(self) -> None:
        """Lock the folder; remote folders cannot be locked."""
        if not self._is_local:
            return
        try:
            import fcntl
        except ImportError:  # Windows
            return
        self._lock = open(self._at(LOCK), "wb")  # held until `close`
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise UsageError(
                f"{self.folder}: got a folder that another command is writing to; expected one "
                "command at a time. Fix: wait for it, or name another with --out"
            ) from None
        except OSError:  # a file system without locks
            self.close()

    def _held(self, names: set[str]) -> set[str]:
        """The sources with results in complete parts.

        Damaged parts, and those that were being written when a command was killed, are deleted:
        their sources are processed again.
        """
        held: set[str] = set()
        for name, part in list(self._parts.items()):
            sources = self._sources_of(name) if name in names else None
            if sources is None or len(sources) != part["num_sources"]:
                self._say(f"{name}: missing or damaged; its files are answered again")
                del self._parts[name]
            else:
                held |= sources
        for name in names:
            if name not in self._parts and _PART.fullmatch(name.removesuffix(".unfinished")):
                self._system.delete_file(self._at(name))
        return held

    def _sources_of(self, name: str) -> set[str] | None:
        import pyarrow
        from pyarrow import parquet

        try:
            with self._system.open_input_file(self._at(name)) as file:
                table = parquet.read_table(file, columns=[self._column])
        except (OSError, pyarrow.ArrowException):
            return None
        return set(table.column(self._column).unique().to_pylist())

    def _names(self) -> set[str]:
        from pyarrow import fs

        infos = self._system.get_file_info(fs.FileSelector(self._place))
        return {info.base_name for info in infos}

    def _read(self) -> dict[str, Any]:
        try:
            with self._system.open_input_stream(self._at(MANIFEST)) as file:
                known = json.loads(file.read())
            if known["format"] == FORMAT and isinstance(known["settings"], dict):
                parts = known["parts"]
                if all(
                    _PART.fullmatch(name) and int(parts[name]["num_rows"]) >= 0 for name in parts
                ):
                    return dict(known)
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        raise DataError(
            f"{self.folder}/{MANIFEST}",
            got="another file",
            expected=f"the manifest of a folder of answers ({FORMAT})",
            fix="name another folder with --out",
        )

    def _save(self, *, is_finished: bool) -> None:
        known = {
            "format": FORMAT,
            "finished": is_finished,
            "num_rows": self.num_rows,
            "settings": self._settings,
            "columns": self._schema.names,
            "parts": self._parts,
        }
        text = json.dumps(known, indent=1) + "\n"
        self._put(MANIFEST, lambda file: file.write(text.encode("utf-8")))

    def _write(self, name: str, table: Any) -> None:
        from pyarrow import parquet

        self._put(name, lambda file: parquet.write_table(table, file))

    def _put(self, name: str, write: Callable[[Any], object]) -> None:
        """Write a file atomically; object stores do that themselves."""
        temporary = self._at(f"{name}.unfinished") if self._is_local else self._at(name)
        with self._system.open_output_stream(temporary) as file:
            write(file)
        if self._is_local:
            os.replace(temporary, self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._place}/{name}"

    def _unwritable(self, error: OSError) -> UsageError:
        reason = " ".join(str(error.strerror or error).split())[:200]
        return UsageError(
            f"{self.folder}: got a folder that cannot be written ({reason}); expected one that "
            "can. Fix: name another with --out"
        )


def _check_same(
    folder: str, known: Mapping[str, Any], settings: Mapping[str, Any], schema: Any
) -> None:
    """Check that the results in a folder have the same settings and columns.

    Raises:
        UsageError: if settings or columns differ.
    """
    if not known["parts"]:
        return
    if difference := differences(known["settings"], settings):
        raise UsageError(
            f"{folder}: got {difference[0]}; expected {difference[1]}, as its parts were computed. "
            "Fix: give the options of then, or name another folder with --out"
        )
    if known["columns"] != schema.names:
        names = sorted(set(known["columns"]) ^ set(schema.names))
        raise UsageError(
            f"{folder}: got files whose answers have other columns ({', '.join(names[:3])}, ...); "
            f"expected those of its {len(known['parts'])} parts (what was begun with pictures "
            "alone has no columns for videos). Fix: name another folder with --out"
        )
