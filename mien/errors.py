"""Every error that mien raises on purpose.

    MienError                exit 1    anything below
      UsageError             exit 2    an option or argument that makes no sense
      DataError              exit 3    a file, row or picture that cannot be used
      RunError               exit 4    a run folder that is locked, full or damaged
      DownloadError          exit 5    a download that failed: network, checksum, login
      MissingExtraError      exit 6    a part of mien that is not installed
      BundleError            exit 7    a model on disk that is absent, damaged or too new
    KeyboardInterrupt        exit 130  Ctrl-C; what was computed is on disk

Each message says "got X; expected Y. Fix: Z." `mien/cli` and `mien/serving` show it. Elsewhere an
error is caught only to become the row of its picture, to name its place better, or to go on without
what failed.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_SCHEME = r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{1,20}:/{1,2}"  # a Path has one /
# A user and a password, also one with characters that an address should encode; not a port.
_LOGIN = re.compile(
    rf"({_SCHEME}[^\s/:@?#\[]*(?::|%3a))"
    r"""(?!\d*(?:[/?#]|[:;,.)'"]?(?:\s|$)))(?:[^\s/?#]*@|\S*@|\S[^\n@]{0,80}@)""",
    re.IGNORECASE,
)
_TOKEN = re.compile(rf"({_SCHEME})[^\s/:@?#]{{20,}}(?=(?::\*\*\*)?@)", re.IGNORECASE)
_ADDRESS = re.compile(rf"{_SCHEME}\S+", re.IGNORECASE)
_PARAMETER = re.compile(
    r"([?&;/_-](?:[a-z]*(?:password|passwd|passphrase|secret|secret_key|token|signature)"
    r"|pwd|pass|sig|api_?key|auth)=)[^\s&;#'\"]*[^\s&;#'\":,.)]",
    re.IGNORECASE,
)


class MienError(Exception):
    """Base class of mien's errors; its text is a message for the user, without passwords."""

    exit_code = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*(without_password(a) if isinstance(a, str) else a for a in args))

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own calls the class with the text alone. A pool whose worker raises an error
        # that cannot be restored waits for ever.
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[MienError], args: tuple[object, ...]) -> MienError:
    return kind.__new__(kind, *args)


class UsageError(MienError):
    """An option or argument that makes no sense."""

    exit_code = 2


class DataError(MienError):
    """Data that is not what it claims to be, or cannot be read.

    Args:
        where: The file or folder, as the user would name it.
        got: What is there.
        expected: What should be there.
        fix: What the user can do about it.
        row: Line number in the file, where the header is line 1; None if there are no rows.
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
        self.where = without_password(os.fspath(where))
        self.row = row
        self.got = without_password(got)
        self.expected = expected
        self.fix = without_password(fix)
        place = in_short(self.where) if row is None else f"{in_short(self.where)}, row {row}"
        super().__init__(f"{place}: got {got}; expected {expected}. Fix: {fix}")


class RunError(MienError):
    """A run folder that cannot be used or written."""

    exit_code = 4


class DownloadError(MienError):
    """A download that did not yield a verified file."""

    exit_code = 5


class MissingExtraError(MienError):
    """A part of mien whose packages are not installed."""

    exit_code = 6

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(
            f"{module}: got no such package; expected it to be installed. Fix: install mien with "
            f"the extra [{extra}] (in a checkout: pip install '.[{extra}]')"
        )


class BundleError(MienError):
    """A model on disk that is not what it claims to be, or cannot be trusted.

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
        fix: str = "copy or download the model again, or export it again with mien export",
    ) -> None:
        self.where = without_password(os.fspath(where))
        self.field = field
        self.got = got
        self.expected = expected
        self.fix = fix
        super().__init__(f"{self.where}: {field}: got {got}; expected {expected}. Fix: {fix}")


@contextmanager
def writing(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the system's errors while writing into `folder` into a RunError."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{os.fspath(folder)}: got an error while writing ({error.strerror or error}); "
            "expected a folder that can be written. Fix: choose another folder with --out, or "
            "check its space and permissions"
        ) from error


def meant(word: str, words: Iterable[str], otherwise: str) -> str:
    """The fix for an unknown word: the most similar known one, ignoring case, or `otherwise`."""
    by_lower_case = {known.lower(): known for known in words if known}
    matches = difflib.get_close_matches(word.strip().lower(), list(by_lower_case), 1)
    return f"write {by_lower_case[matches[0]]}, if that was meant" if matches else otherwise


def check_word(where: str, word: object, words: Iterable[str]) -> None:
    """Refuse a word that is not one of `words`.

    Raises:
        UsageError: listing them, and suggesting the most similar one.
    """
    choices = tuple(words)
    if word not in choices:
        raise UsageError(
            f"{where}: got {in_short(repr(word))}; expected one of {', '.join(choices)}. Fix: "
            + meant(str(word), choices, "use one of these")
        )


def without_password(text: str) -> str:
    """The text with passwords, tokens and signatures in its addresses starred out.

    >>> without_password("rtsp://user:secret@camera/stream")
    'rtsp://user:***@camera/stream'
    >>> without_password("http://camera/now.jpg?user=ann&password=secret")
    'http://camera/now.jpg?user=ann&password=***'
    """
    if ":/" not in text:
        return text
    text = _TOKEN.sub(r"\1***", _LOGIN.sub(r"\1***@", text))
    return _ADDRESS.sub(lambda address: _PARAMETER.sub(r"\1***", address[0]), text)


def in_short(text: str, limit: int = 200) -> str:
    """The text; if it is too long, its beginning and end with dots between."""
    if len(text) <= limit:
        return text
    tail_length = limit // 4
    return f"{text[: limit - tail_length - 5]} ... {text[-tail_length:]}"


def counted(count: int, noun: str) -> str:
    """Such as `1 face`, `2 faces`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """The text with lone surrogates, which cannot be printed, escaped as `\\udcff`.

    Paths that are not UTF-8 contain them.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
