"""`python -m mien.cli.docs` prints docs/cli.md: the help text of every verb."""

from __future__ import annotations

from typer.testing import CliRunner

from mien.cli.app import EXIT_CODES, app
from mien.cli.data import data_app

INTRODUCTION = """\
Every verb with its options, as the program itself prints them:

    mien --help
    mien predict --help
    mien --install-completion        # completes verbs and options in your shell

Results go to stdout, everything else to stderr; `--json` prints results for programs."""


def cli_docs() -> str:
    """The page as Markdown."""
    verbs = [
        [],
        *([command.callback.__name__] for command in app.registered_commands if command.callback),
        ["data"],
    ]
    verbs += [["data", command.name or ""] for command in data_app.registered_commands]
    parts = ["# Command line", INTRODUCTION, EXIT_CODES]
    for verb in verbs:
        result = CliRunner().invoke(
            app, [*verb, "--help"], prog_name="mien", env={"COLUMNS": "100", "TERM": "dumb"}
        )
        parts.append(f"## {' '.join(['mien', *verb])}\n\n```text\n{result.stdout.strip()}\n```")
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(cli_docs())
