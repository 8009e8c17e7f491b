"""The command line: all verbs, and errors as one line and an exit code.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from typing import Annotated, NoReturn

import typer

from mien import __version__
from mien.cli.calibrate import calibrate
from mien.cli.data import data_app
from mien.cli.evaluate import evaluate
from mien.cli.options import Json, answer
from mien.cli.predict import predict
from mien.cli.progress import job_bar
from mien.cli.serve import serve
from mien.cli.train import average, export, info, run, train
from mien.errors import MienError

EXIT_CODES = """\
Exit codes: 0 done, 1 other failure, 2 wrong option, 3 data cannot be read, 4 run folder cannot
be used, 5 download failed, 6 a part of mien is not installed, 7 bundle cannot be used, 8 some
pictures or videos could not be read, 130 Ctrl-C (what was computed is on disk), 143 terminated."""

# After Ctrl-C: what the same command does.
GOES_ON = {
    "run": "; the same command continues after the last complete epoch",
    "train": "; the same command continues after the last complete epoch",
    "predict": "; the rows so far are complete, and --resume continues after them",
}

app = typer.Typer(
    help=f"Facial expression recognition: train, measure, trust, use.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
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
    """Print versions, backend, processor and the data that would be found, for a bug report.

    Example: mien doctor --json
    """
    from mien.cli.doctor import examine

    values, text = examine()
    answer(values, text, json)


for verb in (run, train, evaluate, info, doctor, predict, average, export, calibrate, serve):
    app.command()(verb)


def main() -> NoReturn:
    """Entry point: run the command line and turn mien's errors into one line and an exit code."""
    # TensorFlow reads this when it is imported, which is later; the user's own setting wins.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a terminal without the letters of a name
    terminated = []

    def stop(number: int, frame: object) -> None:
        terminated.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        with job_bar():
            app()
    except MienError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        # typer turns a KeyboardInterrupt into this code without a word.
        if ended.code == 130:
            print(
                f"stopped{GOES_ON.get(sys.argv[1], '') if len(sys.argv) > 1 else ''}",
                file=sys.stderr,
            )
            sys.exit(143 if terminated else 130)
        raise
    except BrokenPipeError:
        # The reader of our output is gone (`mien ... | head`): not our failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO):
            print(
                f"error: got {error} from the operating system; expected no error. Fix: try again, "
                "or report it with the output of mien doctor",
                file=sys.stderr,
            )
            sys.exit(1)
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # or Python would try once more
        print(
            f"error: got an error while writing the output ({error.strerror}); expected room for "
            "it. Fix: free some space, or write it elsewhere",
            file=sys.stderr,
        )
        sys.exit(1)
    sys.exit(0)
