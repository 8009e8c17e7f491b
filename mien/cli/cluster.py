"""`mien predict --engine ray`: the sources, the workers, and the progress."""

from __future__ import annotations

import json as json_module
import os
import sys
import time
import urllib.parse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli.options import Tell, teller
from mien.cli.progress import counting_bar
from mien.errors import DataError, UsageError, counted

if TYPE_CHECKING:
    from mien.predict import Options, Outputs, Tally
    from mien.ray.job import Cluster, Work
    from mien.recognizer import Recognizer

ENGINES = ("local", "ray")
LISTS = (".txt", ".lst")
LINE_S = 10.0  # between lines of progress without a terminal


@dataclass(frozen=True)
class EngineOptions:
    """Options of `mien predict` about the engine.

    Attributes:
        engine: `local` or `ray`.
        address, workers, threads, time_limit: As for `mien.ray.job.Cluster`.
        dry_run: Only estimate time and cost.
        core_hour: Price of an hour of a core.
    """

    engine: str
    address: str | None
    workers: int | None
    threads: int | None
    time_limit: float | None
    dry_run: bool
    core_hour: float | None

    @property
    def has_ray(self) -> bool:
        return self.engine == "ray"

    def table(self, out: str) -> Path:
        """The path of the table, or of one part if `out` is a folder of parts."""
        return Path(out, "part.parquet") if self.has_ray else Path(out)

    def cluster(self) -> Cluster:
        from mien.ray.job import Cluster
        from mien.ray.setup import TIME_LIMIT_S

        limit = TIME_LIMIT_S if self.time_limit is None else self.time_limit
        return Cluster(self.address, self.workers, self.threads or 1, limit)

    def check_unused(self) -> None:
        """Refuse options that have no effect without `--engine ray`."""
        for option, is_set in (
            ("--address", self.address is not None),
            ("--workers", self.workers is not None),
            ("--threads", self.threads is not None),
            ("--time-limit", self.time_limit is not None),
            ("--dry-run", self.dry_run),
            ("--core-hour", self.core_hour is not None),
        ):
            if is_set:
                raise UsageError(
                    f"{option}: got it without --engine ray; expected both. Fix: add --engine ray"
                )


def predict_with_ray(
    paths: Sequence[str],
    recognizer: Recognizer,
    out: str | None,
    settings: tuple[Outputs, Options],
    engine: EngineOptions,
    *,
    quiet: bool,
    as_json: bool,
) -> Tally:
    """Predict files on a cluster, or print what that would take."""
    from mien.predict import Tally
    from mien.ray.job import predict_on_cluster

    tell = teller(quiet)
    outputs, options = settings
    if out is None and not engine.dry_run:
        raise UsageError("--engine ray: got no --out; expected a folder. Fix: add --out answers/")
    work = replace(work_of(paths, tell), out=out or "", cluster=engine.cluster())
    if engine.dry_run:
        _say_what_it_takes(work, recognizer, options, engine, as_json)
        return Tally()
    with ExitStack() as stack:
        bar = stack.enter_context(counting_bar(0 if quiet else len(work.below)))
        lines = Lines(tell)

        def show(num_done: int, status: str) -> None:
            bar(num_done, status)
            if not sys.stderr.isatty():
                lines.show(status)

        tally = predict_on_cluster(work, recognizer, outputs, options, say=tell, show=show)
    if as_json:
        print(json_module.dumps({"answers": out, **vars(tally)}, indent=1))
    return tally


class Lines:
    """Prints a line of progress at most every `LINE_S` seconds."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._last = tell, time.monotonic()

    def show(self, status: str) -> None:
        if time.monotonic() - self._last >= LINE_S:
            self._last = time.monotonic()
            self._tell(status)


def work_of(paths: Sequence[str], tell: Tell) -> Work:
    """The files that arguments name: files, folders, patterns, lists of files, addresses."""
    from mien.cli.sources import collect
    from mien.ray import storage
    from mien.ray.job import Work
    from mien.results.names import STDIN
    from mien.video.frames import is_video, is_video_name
    from mien.vision.formats import is_picture_name

    local: list[str] = []
    relative_paths: dict[str, str] = {}
    queries: dict[str, str] = {}
    for path in map(_without_scheme, _expand_lists(paths)):
        if not storage.is_remote(path):
            local.append(path)
            continue
        address, query = storage.split_query(path)
        if query:
            queries[storage.root_of(address)] = query
        files = storage.listed(address, query)
        media = [source for source in files if is_picture_name(source) or is_video_name(source)]
        if len(files) > len(media):
            num = len(files) - len(media)
            tell(
                f"{address}: left out {counted(num, 'file')} without the name of a picture or video"
            )
        relative_paths |= {source: source.removeprefix(address).lstrip("/") for source in media}
    if local or not relative_paths:
        relative_paths |= collect(local, say=tell)
    if STDIN in relative_paths:
        raise UsageError("--engine ray: got - for stdin; expected files. Fix: name the file")
    videos = frozenset(
        source
        for source in relative_paths
        if (is_video_name(source) if storage.is_remote(source) else is_video(source))
    )
    return Work("", relative_paths, videos, queries)


def _expand_lists(paths: Sequence[str]) -> list[str]:
    """The arguments, with each list of files replaced by its entries."""
    from mien.data.table_rows import is_table

    sources: list[str] = []
    for path in paths:
        if Path(path).suffix.lower() in LISTS and os.path.isfile(path):
            try:
                text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")
            except OSError as error:
                raise DataError(
                    path,
                    got=f"a file that cannot be read ({error.strerror})",
                    expected="a list with a path or address on each line",
                    fix="check its permissions",
                ) from error
            sources += [line for line in text.splitlines() if line.strip()]
        elif is_table(path):
            raise UsageError(
                f"--engine ray: got the table {path}; expected pictures and videos. "
                "Fix: leave out --engine ray; one machine is fast enough for tables of faces"
            )
        else:
            sources.append(path)
    return sources


def _without_scheme(path: str) -> str:
    """The path that a file:// address names."""
    if not path.lower().startswith("file://"):
        return path
    return urllib.parse.unquote(urllib.parse.urlsplit(path).path)


def _say_what_it_takes(
    work: Work, recognizer: Recognizer, options: Options, engine: EngineOptions, as_json: bool
) -> None:
    from mien.ray.estimate import CORE_HOUR, estimate
    from mien.ray.job import connected
    from mien.runtime import cores

    num_cores = (engine.workers or 0) * (engine.threads or 1)
    if not num_cores and engine.address is not None:
        with connected(engine.address) as ray:
            num_cores = int(ray.cluster_resources().get("CPU", 1))
    result = estimate(
        work,
        recognizer,
        options,
        num_cores=num_cores or cores(),
        core_hour_price=CORE_HOUR if engine.core_hour is None else engine.core_hour,
    )
    if as_json:
        print(json_module.dumps(result.to_dict(), indent=1))
    else:
        print("\n".join(result.sentences()))
