"""`mien predict --engine ray`: what is to be answered, by how many, and how it goes."""

from __future__ import annotations

import json as json_module
import os
import sys
import time
import urllib.parse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli.options import say
from mien.cli.progress import counting_bar
from mien.errors import DataError, UsageError, counted

if TYPE_CHECKING:
    from mien.predict import Options, Outputs, Tally
    from mien.ray.job import Cluster, Work
    from mien.recognizer import Recognizer

ENGINES = ("local", "ray")
LISTS = (".txt", ".lst")
LINE_S = 10.0  # between lines of progress, where there is no terminal

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """Options of `mien predict` that are for an engine only.

    Attributes:
        engine: What does the work.
        address, workers, threads, time_limit: As `mien.ray.job.Cluster`.
        dry_run: Say what it would take, and do nothing.
        core_hour: What an hour of a core costs.
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
        """The path of the table; for a folder of parts, one of them."""
        return Path(out, "part.parquet") if self.has_ray else Path(out)

    def cluster(self) -> Cluster:
        from mien.ray.job import Cluster
        from mien.ray.setup import TIME_LIMIT_S

        limit = TIME_LIMIT_S if self.time_limit is None else self.time_limit
        return Cluster(self.address, self.workers, self.threads or 1, limit)

    def check_unused(self) -> None:
        """Refuse what would be passed over without `--engine ray`."""
        for option, given in (
            ("--address", self.address is not None),
            ("--workers", self.workers is not None),
            ("--threads", self.threads is not None),
            ("--time-limit", self.time_limit is not None),
            ("--dry-run", self.dry_run),
            ("--core-hour", self.core_hour is not None),
        ):
            if given:
                raise UsageError(
                    f"{option}: got it without --engine ray; expected both. Fix: add --engine ray"
                )


def predict_with_ray(
    paths: Sequence[str],
    recognizer: Recognizer,
    out: str | None,
    given: tuple[Outputs, Options],
    asked: Asked,
    *,
    quiet: bool,
    as_json: bool,
) -> Tally:
    """Answer files on a cluster, or say what that would take."""
    from mien.predict import Tally
    from mien.ray.job import predict_on_cluster

    tell: Tell = _nothing if quiet else say
    outputs, options = given
    if out is None and not asked.dry_run:
        raise UsageError("--engine ray: got no --out; expected a folder. Fix: add --out answers/")
    work = replace(work_of(paths, tell), out=out or "", cluster=asked.cluster())
    if asked.dry_run:
        _say_what_it_takes(work, recognizer, options, asked, as_json)
        return Tally()
    with ExitStack() as stack:
        bar = stack.enter_context(counting_bar(0 if quiet else len(work.below)))
        lines = Lines(tell)

        def show(done: int, how: str) -> None:
            bar(done, how)
            if not sys.stderr.isatty():
                lines.show(how)

        tally = predict_on_cluster(work, recognizer, outputs, options, say=tell, show=show)
    if as_json:
        print(json_module.dumps({"answers": out, **vars(tally)}, indent=1))
    return tally


class Lines:
    """A line of progress now and then."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._last = tell, time.monotonic()

    def show(self, how: str) -> None:
        if time.monotonic() - self._last >= LINE_S:
            self._last = time.monotonic()
            self._tell(how)


def work_of(paths: Sequence[str], tell: Tell) -> Work:
    """The files that are named: folders, patterns, files, lists of them, addresses."""
    from mien.cli.sources import collect
    from mien.ray import storage
    from mien.ray.job import Work
    from mien.results.names import STDIN
    from mien.video.frames import is_video, is_video_name
    from mien.vision.formats import is_picture_name

    local: list[str] = []
    below: dict[str, str] = {}
    queries: dict[str, str] = {}
    for path in map(_without_scheme, _named(paths)):
        if not storage.is_remote(path):
            local.append(path)
            continue
        address, query = storage.split_query(path)
        if query:
            queries[storage.root_of(address)] = query
        files = storage.listed(address, query)
        wanted = [one for one in files if is_picture_name(one) or is_video_name(one)]
        if len(files) > len(wanted):
            num = len(files) - len(wanted)
            tell(f"{address}: left out {counted(num, 'file')}, by name neither picture nor video")
        below |= {one: one.removeprefix(address).lstrip("/") for one in wanted}
    if local or not below:
        below |= collect(local, say=tell)
    if STDIN in below:
        raise UsageError("--engine ray: got - for stdin; expected files. Fix: name the file")
    videos = frozenset(
        one for one in below if (is_video_name(one) if storage.is_remote(one) else is_video(one))
    )
    return Work("", below, videos, queries)


def _named(paths: Sequence[str]) -> list[str]:
    """The sources that arguments name, including those in lists of files."""
    from mien.data.table_rows import is_table

    named: list[str] = []
    for path in paths:
        if Path(path).suffix.lower() in LISTS and os.path.isfile(path):
            try:
                text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")
            except OSError as error:
                raise DataError(
                    path,
                    got=f"a file that cannot be read ({error.strerror})",
                    expected="a list, a path or address a line",
                    fix="check its rights",
                ) from error
            named += [line for line in text.splitlines() if line.strip()]
        elif is_table(path):
            raise UsageError(
                f"--engine ray: got the table {path}; expected pictures and videos. "
                "Fix: leave out --engine ray, one machine is fast at faces that are cut out"
            )
        else:
            named.append(path)
    return named


def _without_scheme(path: str) -> str:
    """The path that a file:// address names."""
    if not path.lower().startswith("file://"):
        return path
    return urllib.parse.unquote(urllib.parse.urlsplit(path).path)


def _say_what_it_takes(
    work: Work, recognizer: Recognizer, options: Options, asked: Asked, as_json: bool
) -> None:
    from mien.ray.estimate import CORE_HOUR, estimate
    from mien.ray.job import connected
    from mien.runtime import cores

    num_cores = (asked.workers or 0) * (asked.threads or 1)
    if not num_cores and asked.address is not None:
        with connected(asked.address) as ray:
            num_cores = int(ray.cluster_resources().get("CPU", 1))
    found = estimate(
        work,
        recognizer,
        options,
        num_cores=num_cores or cores(),
        core_hour_price=CORE_HOUR if asked.core_hour is None else asked.core_hour,
    )
    if as_json:
        print(json_module.dumps(found.to_dict(), indent=1))
    else:
        print("\n".join(found.sentences()))


def _nothing(sentence: str) -> None:
    pass
