"""The job of `mien predict --engine ray`: files in, a folder of Parquet parts out, by as many
workers as there are cores in a cluster. The same command goes on where it was stopped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from mien.errors import MissingExtraError, RunError, counted, printable
from mien.predict import Options, Outputs, Tally, settings_of
from mien.ray.manifest import Answers
from mien.ray.setup import TIME_LIMIT_S, Item, Setup, setup_like
from mien.recognizer import Recognizer
from mien.results.names import output_names
from mien.results.resume import make_folder
from mien.runtime import cores

ROWS_A_PART = 50_000
PART_S = 30.0  # after which a part is written that has fewer; a kill costs no more than this
STORE_BYTES = 512 << 20  # answers on their way, on a machine of its own

Say = Callable[[str], None]
Show = Callable[[int, str], None]


@dataclass(frozen=True)
class Cluster:
    """Where the work is done.

    Attributes:
        address: Of a Ray cluster; None: the cores of this machine.
        num_workers: How many; None: all that there are cores for.
        num_threads: Cores of each.
        time_limit_s: A picture, or a video between two frames, may take so long.
    """

    address: str | None = None
    num_workers: int | None = None
    num_threads: int = 1
    time_limit_s: float = TIME_LIMIT_S


@dataclass(frozen=True)
class Work:
    """What is to be answered, where to, and by whom.

    Attributes:
        out: The folder of answers, a path or an address.
        below: Each source, with its path below the folder that was given.
        videos: Those that are videos.
        queries: What stood behind the `?` of an address, by its beginning.
        cluster: By whom.
    """

    out: str
    below: Mapping[str, str]
    videos: frozenset[str] = frozenset()
    queries: Mapping[str, str] = field(default_factory=dict)
    cluster: Cluster = field(default_factory=Cluster)


def predict_on_cluster(
    work: Work,
    recognizer: Recognizer,
    outputs: Outputs,
    options: Options,
    *,
    say: Say,
    show: Show,
) -> Tally:
    """Answer all files that the folder does not answer yet.

    Args:
        work: What is to be answered.
        recognizer: What the workers recognise like.
        outputs: Further folders, and the preset of columns.
        options: How videos are looked at, and what the recognizer was loaded with.
        say: Takes sentences for a person.
        show: Takes how many files are answered, and how it goes.

    Raises:
        UsageError: if the folder holds something else, or rows computed by other means.
        RunError: if no worker can begin.
        MissingExtraError: where Ray is not installed.
    """
    setup = replace(
        setup_like(recognizer, max_side=options.max_side, prior=options.prior),
        num_threads=work.cluster.num_threads,
        time_limit_s=work.cluster.time_limit_s,
        options=options,
        outputs=outputs,
        columns=outputs.columns,
        raw=bool(work.videos),
        queries=work.queries,
    )
    for folder in outputs.folders():
        make_folder(folder)
    settings = settings_of(recognizer, options, has_videos=bool(work.videos))
    schema = setup.arrow_columns().schema
    answers = Answers(work.out, settings, schema, overwrite=outputs.overwrite, say=say)
    try:
        tally = _answer_missing(work, setup, answers, say, show)
        answers.finish()
    finally:
        answers.close()
    return tally


def _answer_missing(work: Work, setup: Setup, answers: Answers, say: Say, show: Show) -> Tally:
    missing = [one for one in work.below if printable(one) not in answers.held]
    tally = Tally(num_resumed=len(work.below) - len(missing))
    if not missing:
        return tally
    names = output_names(list(work.below), work.below) if setup.outputs.folders() else {}
    items = (Item(one, names.get(one, ""), one in work.videos) for one in missing)
    with connected(work.cluster.address) as ray:
        from mien.ray.pool import Pool

        cores_there = int(ray.cluster_resources().get("CPU", 0))
        say(
            f"{counted(len(missing), 'file')} to answer on {counted(cores_there, 'core')}; "
            f"{counted(tally.num_resumed, 'file')} there from an earlier run"
        )
        pool = Pool(setup, num_workers=work.cluster.num_workers, say=say)
        progress = Progress(len(missing), show)
        try:
            for table in _parts(pool.answers(items, len(missing)), tally, progress, pool):
                answers.add(table)
        finally:
            pool.close()
    return tally


def _parts(
    answered: Iterator[tuple[Any, Tally]], tally: Tally, progress: Progress, pool: Any
) -> Iterator[Any]:
    """Tables of many rows, made of those that workers give."""
    import pyarrow

    tables: list[Any] = []
    began = time.monotonic()
    for table, found in answered:
        if not tables:
            began = time.monotonic()
        tables.append(table)
        tally.include(found)
        progress.move(found.num_sources, tally, pool.num_ready)
        if sum(one.num_rows for one in tables) >= ROWS_A_PART or time.monotonic() - began >= PART_S:
            yield pyarrow.concat_tables(tables)
            tables = []
    if tables:
        yield pyarrow.concat_tables(tables)


class Progress:
    """How far the job is, in words."""

    def __init__(self, total: int, show: Show) -> None:
        self._total, self._show = total, show
        self._num, self._began = 0, time.monotonic()

    def move(self, num: int, tally: Tally, num_workers: int) -> None:
        """So many more files are answered."""
        self._num += num
        rate = self._num / max(1e-3, time.monotonic() - self._began)
        left = (self._total - self._num) / rate if rate else 0.0
        failed = f", {tally.num_failed:,} could not be read" if tally.num_failed else ""
        self._show(
            self._num,
            f"{self._num:,} of {self._total:,} files by {counted(num_workers, 'worker')}, "
            f"{rate:,.1f} a second, about {span(left)} left{failed}",
        )


def span(seconds: float) -> str:
    """Such as `40 s`, `5 min`, `3.2 h`, `12 days`."""
    for size, unit, most in ((1, "s", 100), (60, "min", 100), (3600, "h", 72)):
        if seconds / size < most:
            count = seconds / size
            return f"{count:.1f} {unit}" if unit == "h" else f"{count:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, on a cluster or on this machine's cores; left again at the end.

    Args:
        address: Of a cluster; None: a Ray of our own, on this machine. A caller that uses Ray
            already is given its own.

    Raises:
        RunError: if there is no such cluster.
        MissingExtraError: where Ray is not installed.
    """
    # Ray would tell its maker of every use; nothing leaves this machine unasked.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_gcs_rpc_server_connect_timeout_s", "60")  # 5 on a busy machine fail
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "ray") from None
    if ray.is_initialized():
        yield ray
        return
    ours = {"num_cpus": cores(), "include_dashboard": False, "object_store_memory": STORE_BYTES}
    options = {"address": "local", **ours} if address is None else {"address": address}
    for is_last in (address is not None, False, True):
        try:
            ray.init(logging_level="ERROR", **options)
            break
        except Exception as error:  # Ray raises Exception itself
            ray.shutdown()
            if is_last:  # a busy machine may need more than Ray's 30 s to begin
                reason = " ".join(str(error).split())[:300]
                raise RunError(
                    f"Ray: got {reason}; expected a cluster at {address or 'this machine'}. "
                    "Fix: check the address, and that `ray status` there knows it"
                ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
