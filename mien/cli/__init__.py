"""The command line: `mien`."""

from mien.cli.app import main

__all__ = ["main"]
