"""`python -m mien.cli.docs` prints docs/cli.md: the help text of every verb."""

from __future__ import annotations

from typer.testing import CliRunner

from mien.cli.app import EXIT_CODES, app
from mien.cli.data import data_app


def cli_docs() -> str:
    """The page as Markdown."""
    verbs = [
        [],
        *([command.callback.__name__] for command in app.registered_commands if command.callback),
        ["data"],
    ]
    verbs += [["data", command.name or ""] for command in data_app.registered_commands]
    parts = ["# Command line", "Written by `make docs` from the program's own help.", EXIT_CODES]
    for verb in verbs:
        shown = CliRunner().invoke(
            app, [*verb, "--help"], prog_name="mien", env={"COLUMNS": "100", "TERM": "dumb"}
        )
        parts.append(f"## {' '.join(['mien', *verb])}\n\n```text\n{shown.stdout.strip()}\n```")
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(cli_docs())
