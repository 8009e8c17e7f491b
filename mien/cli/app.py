"""The command line: all verbs, and errors as one line and an exit code.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import copy
import errno
import io
import os
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from mien import __version__
from mien.cli.calibrate import calibrate
from mien.cli.data import data_app
from mien.cli.evaluate import evaluate
from mien.cli.options import Json, answer
from mien.cli.predict import predict
from mien.cli.progress import job_bar
from mien.cli.serve import serve
from mien.cli.train import average, export, info, run, train
from mien.errors import MienError, without_password

EXIT_CODES = """\
Exit codes: 0 done, 1 other failure, 2 wrong option, 3 data cannot be read, 4 run folder cannot
be used, 5 download failed, 6 a part of mien is not installed, 7 bundle cannot be used, 8 some
pictures or videos could not be read, 130 Ctrl-C (what was computed is on disk), 143 terminated."""

# What the user reads after Ctrl-C: how to continue.
AFTER_CTRL_C = {
    "run": "; the same command continues after the last complete epoch",
    "train": "; the same command continues after the last complete epoch",
    "predict": "; the rows so far are complete, and --resume continues after them",
}


class _Verbs(TyperGroup):
    """The verbs; typer's own errors repeat an argument, which may be an address with a password."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if isinstance(message := getattr(error, "message", None), str):
                error.message = without_password(message)  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    cls=_Verbs,
    help=f"Facial expression recognition: train, measure, trust, use.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")


def _version(is_requested: bool) -> None:
    if is_requested:
        print(f"mien {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print and exit.")
    ] = False,
) -> None:
    pass


def doctor(json: Json = False) -> None:
    """Print versions, backend, processor and default data, for a bug report.

    Example: mien doctor --json
    """
    from mien.cli.doctor import examine

    values, text = examine()
    answer(values, text, json)


for verb in (run, train, evaluate, info, doctor, predict, average, export, calibrate, serve):
    app.command()(verb)


def _app_of(verb: str) -> typer.Typer:
    """The command line with this verb alone, if there is one: building the options of all verbs
    takes time.
    """
    commands = [
        command
        for command in app.registered_commands
        if command.callback is not None and command.callback.__name__ == verb
    ]
    if not commands:
        return app
    part = copy.copy(app)
    part.registered_commands, part.registered_groups = commands, []
    return part


def main() -> NoReturn:
    """Entry point: run the command line and turn mien's errors into one line and an exit code."""
    # TensorFlow reads this when it is imported, later; the user's own setting takes precedence.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # The terminal's encoding may lack letters of a file name.
            stream.reconfigure(errors="backslashreplace")
    signals = []

    def stop(number: int, frame: object) -> None:
        signals.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    verb = "".join(sys.argv[1:2])
    try:
        with job_bar():
            _app_of(verb)()
    except MienError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as exit_request:
        # typer turns a KeyboardInterrupt into this code and prints nothing.
        if exit_request.code == 130:
            print(f"stopped{AFTER_CTRL_C.get(verb, '')}", file=sys.stderr)
            sys.exit(143 if signals else 130)
        raise
    except BrokenPipeError:
        # The reader of our output has closed it (`mien ... | head`), which is no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO):
            print(
                f"error: got {without_password(str(error))} from the operating system; expected "
                "no error. Fix: try again, or report it with the output of mien doctor",
                file=sys.stderr,
            )
            sys.exit(1)
        # Otherwise Python would try to write once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(
            f"error: got an error while writing the output ({error.strerror}); expected enough "
            "space for it. Fix: free some space, or write it elsewhere",
            file=sys.stderr,
        )
        sys.exit(1)
    sys.exit(0)
