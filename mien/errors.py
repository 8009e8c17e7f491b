"""Every error that mien raises on purpose.

    MienError                exit 1    anything below
      UsageError             exit 2    an option or argument that makes no sense
      DataError              exit 3    a file, row or picture that cannot be read
      RunError               exit 4    a run folder that is locked, full or damaged
      DownloadError          exit 5    a download that failed: network, checksum, login
      MissingExtraError      exit 6    a part of mien that is not installed
      BundleError            exit 7    a model on disk that is absent, damaged or too new
    KeyboardInterrupt        exit 130  Ctrl-C; what was computed is on disk

Each message says "got X; expected Y. Fix: Z." They are caught only in `mien/cli` and
`mien/serving`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class MienError(Exception):
    """Base of mien's errors; its text is one message for a person."""

    exit_code = 1


class UsageError(MienError):
    """An option or argument that cannot be meant."""

    exit_code = 2


class DataError(MienError):
    """Data that cannot be read as what it claims to be.

    Args:
        where: The file or folder, as the user would name it.
        got: What is there.
        expected: What should be there.
        fix: What the user can do about it.
        row: Line number in the file, the header being line 1 (None where there are no rows).
    """

    exit_code = 3

    def __init__(
        self,
        where: str | os.PathLike[str],
        *,
        got: str,
        expected: str,
        fix: str,
        row: int | None = None,
    ) -> None:
        self.where = os.fspath(where)
        self.row = row
        self.got = got
        self.expected = expected
        self.fix = fix
        place = in_short(self.where) if row is None else f"{in_short(self.where)}, row {row}"
        super().__init__(f"{place}: got {got}; expected {expected}. Fix: {fix}")


class RunError(MienError):
    """A run folder that cannot be used or written."""

    exit_code = 4


class DownloadError(MienError):
    """A download that did not end in a verified file."""

    exit_code = 5


class MissingExtraError(MienError):
    """A part of mien whose packages are not installed."""

    exit_code = 6

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {module}, which is not installed. "
            f"Fix: install mien with the extra [{extra}] (in a checkout: pip install '.[{extra}]')"
        )


class BundleError(MienError):
    """A model on disk that cannot be trusted to be what it claims to be.

    Args:
        where: The folder or zip, as the user would name it.
        field: What in it is wrong, such as `bundle.json: heads[0].temperature` or `model.onnx:
            opset`.
        got: What is there.
        expected: What should be there.
        fix: What the user can do about it.
    """

    exit_code = 7

    def __init__(
        self,
        where: str | os.PathLike[str],
        field: str,
        *,
        got: str,
        expected: str,
        fix: str = "copy or download the model again, or make it anew with mien export",
    ) -> None:
        self.where = os.fspath(where)
        self.field = field
        self.got = got
        self.expected = expected
        self.fix = fix
        super().__init__(f"{self.where}: {field}: got {got}; expected {expected}. Fix: {fix}")


@contextmanager
def writing(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Whatever the system says against writing results into `folder`, as a RunError."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{os.fspath(folder)}: cannot be written ({error.strerror or error}). Fix: choose another folder with "
            "--out, or free space and permissions there"
        ) from error


def meant(word: str, words: Iterable[str], otherwise: str) -> str:
    """The fix for a word that there is not: the nearest that there is, else what is said otherwise."""
    near = difflib.get_close_matches(word.strip().lower(), list(words), 1)
    return f"write {near[0]}, if that was meant" if near else otherwise


def in_short(text: str, most: int = 200) -> str:
    """The text, or of a long one its beginning and its end with dots between."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end - 5]} ... {text[-end:]}"


def counted(count: int, thing: str) -> str:
    """Such as `1 face`, `2 faces`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """The text, odd bytes in it as `\\udcff`: a path that is not UTF-8 has lone surrogates, which
    nothing can print.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
