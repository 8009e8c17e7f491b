"""What benchmarks share: their options, and the timing of several things in turns."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from mien.bundle import Bundle, open_bundle
from mien.data.dataset import Dataset
from mien.data.readers import load_dataset

Rate = Callable[[float], float]  # seconds to run for -> so many a second


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows the docstring of the benchmark as it is."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_data_and_bundle(asked: argparse.ArgumentParser) -> None:
    """DATA, and BUNDLE, by default the one in the package."""
    asked.add_argument("data")
    asked.add_argument("bundle", nargs="?", default="shipped")


def opened(options: argparse.Namespace) -> tuple[Dataset, Bundle]:
    """All of the data, and the bundle."""
    return load_dataset(options.data), open_bundle(options.bundle)


def add_rounds(asked: argparse.ArgumentParser, rounds: int, seconds: float) -> None:
    """--rounds, --seconds and --cpu-time."""
    asked.add_argument("--rounds", type=int, default=rounds)
    asked.add_argument("--seconds", type=float, default=seconds, help="of each round")
    asked.add_argument(
        "--cpu-time",
        action="store_true",
        help="count processor time, not the clock's: for one thread on a busy machine",
    )


def clock_of(options: argparse.Namespace) -> Callable[[], float]:
    return time.process_time if options.cpu_time else time.perf_counter


def timed(call: Callable[[], Any], num: int, clock: Callable[[], float]) -> Rate:
    """The rate of a call that does `num` of what is counted."""

    def rate(seconds: float) -> float:
        began, done = clock(), 0
        while clock() - began < seconds:
            call()
            done += num
        return done / (clock() - began)

    return rate


def in_turns(rates: Mapping[str, Rate], num_rounds: int, seconds: float) -> dict[str, float]:
    """The median rate of each over rounds in which each has its turn; the first round warms up."""
    rounds = [{name: rate(seconds) for name, rate in rates.items()} for _ in range(num_rounds + 1)]
    return {name: statistics.median(one[name] for one in rounds[1:]) for name in rates}


def print_speeds(speeds: Mapping[str, float], threads: int, batch: int) -> None:
    """A line for each network; the ratio is to the first."""
    first = next(iter(speeds.values()))
    for name, speed in speeds.items():
        print(
            f"{name[-34:]:34s} {threads:7d} {batch:5d} {1000 / speed:10.3f} {speed:9.0f} "
            f"{speed / first:6.2f}",
            flush=True,
        )


def print_head() -> None:
    names = f"{'network':34s} {'threads':>7s} {'batch':>5s} {'ms a face':>10s} {'faces/s':>9s}"
    print(f"{names} {'ratio':>6s}")
