"""The job of `mien predict --engine ray`: process files on all cores of a cluster, and write a
folder of Parquet files. If it is interrupted, the same command continues it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from mien.errors import MissingExtraError, RunError, counted, printable, without_password
from mien.predict import Options, Outputs, Tally, settings_of
from mien.ray.manifest import ResultFolder
from mien.ray.setup import TIME_LIMIT_S, Item, Setup, setup_like
from mien.recognizer import Recognizer
from mien.results.names import output_names
from mien.results.resume import make_folder
from mien.runtime import cores

ROWS_A_PART = 50_000
PART_S = 30.0  # seconds after which a smaller part is written; a kill loses no more than this
STORE_BYTES = 512 << 20  # Ray's object store, if mien starts Ray on this machine

Say = Callable[[str], None]
Show = Callable[[int, str], None]


@dataclass(frozen=True)
class Cluster:
    """Where the work is done.

    Attributes:
        address: Address of a Ray cluster; None uses the cores of this machine.
        num_workers: Number of workers; None uses all cores.
        num_threads: Cores of each worker.
        time_limit_s: Seconds after which a picture fails, or a video without a new frame.
    """

    address: str | None = None
    num_workers: int | None = None
    num_threads: int = 1
    time_limit_s: float = TIME_LIMIT_S


@dataclass(frozen=True)
class Work:
    """The files of a job, the folder of its results, and the cluster.

    Attributes:
        out: The folder of results, a path or an address.
        below: Source -> its path below the folder on the command line.
        videos: The sources that are videos.
        queries: Scheme and bucket of an address -> the query after its `?`.
        cluster: Where the work is done.
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
    """Process all files that the folder has no results for yet.

    Args:
        work: The files and the folder.
        recognizer: The workers recognise as this one does.
        outputs: Additional folders, and the preset of columns.
        options: How videos are analysed, and how the recognizer was loaded.
        say: Receives messages for the user.
        show: Receives the number of processed files, and a description of the progress.

    Returns:
        The number of files, faces and failures.

    Raises:
        UsageError: if the folder holds other files, or results with other settings.
        RunError: if no worker can start.
        MissingExtraError: if Ray is not installed.
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
    answers = ResultFolder(work.out, settings, schema, overwrite=outputs.overwrite, say=say)
    try:
        tally = _answer_missing(work, setup, answers, say, show)
        answers.finish()
    finally:
        answers.close()
    return tally


def _answer_missing(work: Work, setup: Setup, answers: ResultFolder, say: Say, show: Show) -> Tally:
    missing = [
        source for source in work.below if printable(without_password(source)) not in answers.held
    ]
    tally = Tally(num_resumed=len(work.below) - len(missing))
    if not missing:
        return tally
    names = output_names(list(work.below), work.below) if setup.outputs.folders() else {}
    items = (Item(source, names.get(source, ""), source in work.videos) for source in missing)
    with connected(work.cluster.address) as ray:
        from mien.ray.pool import Pool

        num_cores = int(ray.cluster_resources().get("CPU", 0))
        say(
            f"{counted(len(missing), 'file')} to answer on {counted(num_cores, 'core')}; "
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
    results: Iterator[tuple[Any, Tally]], tally: Tally, progress: Progress, pool: Any
) -> Iterator[Any]:
    """The tables of the workers, joined to larger ones."""
    import pyarrow

    tables: list[Any] = []
    began = time.monotonic()
    for table, counts in results:
        if not tables:
            began = time.monotonic()
        tables.append(table)
        tally.include(counts)
        progress.move(counts.num_sources, tally, pool.num_ready)
        num_rows = sum(part.num_rows for part in tables)
        if num_rows >= ROWS_A_PART or time.monotonic() - began >= PART_S:
            yield pyarrow.concat_tables(tables)
            tables = []
    if tables:
        yield pyarrow.concat_tables(tables)


class Progress:
    """Describes the progress of the job."""

    def __init__(self, total: int, show: Show) -> None:
        self._total, self._show = total, show
        self._num, self._began = 0, time.monotonic()

    def move(self, num: int, tally: Tally, num_workers: int) -> None:
        """Report that `num` more files are processed."""
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
    """A duration as text, such as `40 s`, `5 min`, `3.2 h`, `12 days`."""
    for size, unit, most in ((1, "s", 100), (60, "min", 100), (3600, "h", 72)):
        if seconds / size < most:
            count = seconds / size
            return f"{count:.1f} {unit}" if unit == "h" else f"{count:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Connect to Ray within the block.

    Args:
        address: Address of a cluster; None starts Ray on this machine. If the process is already
            connected to Ray, that connection is used and left open.

    Raises:
        RunError: if there is no such cluster.
        MissingExtraError: if Ray is not installed.
    """
    # Ray would send usage statistics to its maker.
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
    local = {"num_cpus": cores(), "include_dashboard": False, "object_store_memory": STORE_BYTES}
    options = {"address": "local", **local} if address is None else {"address": address}
    for is_last in (address is not None, False, True):
        try:
            ray.init(logging_level="ERROR", **options)
            break
        except Exception as error:  # Ray raises Exception itself
            ray.shutdown()
            if is_last:  # a busy machine may need more than Ray's 30 s to start it
                reason = " ".join(str(error).split())[:300]
                raise RunError(
                    f"Ray: got {reason}; expected a cluster at {address or 'this machine'}. "
                    "Fix: check the address, and that `ray status` there knows it"
                ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
