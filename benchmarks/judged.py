"""What benchmarks that judge one bundle on labelled faces are given."""

from __future__ import annotations

import argparse

from mien.bundle import Bundle, open_bundle
from mien.data.dataset import Dataset
from mien.data.readers import load_dataset


def parser(description: str | None) -> argparse.ArgumentParser:
    """DATA, and BUNDLE, by default the one in the package."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("data")
    made.add_argument("bundle", nargs="?", default="shipped")
    return made


def opened(options: argparse.Namespace) -> tuple[Dataset, Bundle]:
    """All of the data, and the bundle."""
    return load_dataset(options.data), open_bundle(options.bundle)
