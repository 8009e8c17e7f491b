"""Ray against plain `mien predict`, memory over many pictures, and a cluster that sleeps.

    python benchmarks/scale.py efficiency [--pictures 300] [--rounds 3]
    python benchmarks/scale.py memory [--pictures 100000] [--bundle shipped]
    python benchmarks/scale.py cluster [--picture-s 0.1] [--files 64] [--nodes 2 4 8]

efficiency: pictures a second of plain `mien predict` and of Ray, at one core and at two, in turns;
from the first answer to the last, so that neither's start counts. On a busy machine take the ratio
of processor time a picture, in which waiting for others does not count.
memory: what all processes hold while that many drawn faces are answered.
cluster: nodes of eight cores each, all on this machine; the work is replaced by sleeping for its
measured time. The same driver hands it out, gathers it and writes it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from PIL import Image

import mien
from mien.predict import Options, Outputs, Tally, predict
from mien.ray.job import Cluster, Work, connected, predict_on_cluster
from mien.ray.manifest import ResultFolder
from mien.ray.pool import Pool
from mien.ray.setup import Item, Setup, frame_of, setup_like
from mien.results import Frame
from mien.runtime import processor

TICKS = os.sysconf("SC_CLK_TCK")
# Ray's workers yield to all other processes; plain `mien predict` does not.
os.environ |= {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("efficiency", "memory", "cluster"))
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--picture-s", type=float, default=0.1)
    parser.add_argument(
        "--files", type=int, default=64, help="in a task of the cluster that sleeps"
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--bundle", default="shipped", help="network of the memory's pictures")
    options = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="mien-scale-") as folder:
        if options.what == "efficiency":
            efficiency(Path(folder), options.pictures or 300, options.rounds)
        elif options.what == "memory":
            memory(Path(folder), options.pictures or 100_000, options.bundle)
        else:
            cluster(Path(folder), options.picture_s, options.files, options.nodes)


def efficiency(folder: Path, num: int, rounds: int) -> None:
    sources = photographs(folder / "album", num)
    both = sorted(os.sched_getaffinity(0))[:2]
    ways = {
        "plain, one core": lambda out: plain(sources, both[:1], out),
        "Ray, 1 worker": lambda out: by_ray(sources, 1, out),
        "plain, two cores": lambda out: plain(sources, both, out),
        "Ray, 2 workers": lambda out: by_ray(sources, 2, out),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            out = folder / f"{number}-{name}"
            found[name].append(way(out))
            rate, spent = found[name][-1]
            print(
                f"  {name}: {rate:.2f} a second, {spent * 1000:.1f} ms of a core each", flush=True
            )
    middle = {
        name: tuple(statistics.median(values) for values in zip(*rows, strict=True))
        for name, rows in found.items()
    }
    print(f"medians of {rounds}, {num} pictures of 640 x 480")
    for name, (rate, spent) in middle.items():
        print(f"  {name}: {rate:.2f} pictures a second, {spent * 1000:.1f} ms of a core each")
    for ours, theirs in (
        ("Ray, 1 worker", "plain, one core"),
        ("Ray, 2 workers", "plain, two cores"),
    ):
        by_clock = middle[ours][0] / middle[theirs][0]
        by_time = middle[theirs][1] / middle[ours][1]
        print(f"  {ours} / {theirs}: {by_clock:.2f} by the clock, {by_time:.2f} by processor time")


def plain(sources: Sequence[str], cores: Sequence[int], out: Path) -> tuple[float, float]:
    """Pictures a second and seconds of a core a picture, of `mien predict` in this process."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    meter = Meter()
    try:
        with mien.load(num_threads=len(cores)) as recognizer:
            outputs = Outputs(out.with_suffix(".parquet"))
            predict(
                sources,
                recognizer,
                outputs,
                Options(),
                say=lambda _: None,
                show=lambda _: meter.add(1),
            )
    finally:
        os.sched_setaffinity(0, before)
    return meter.rates()


def by_ray(sources: Sequence[str], num_workers: int, out: Path) -> tuple[float, float]:
    """The same of `mien predict --engine ray`."""
    meter = Meter()
    work = Work(str(out), dict.fromkeys(sources, ""), cluster=Cluster(num_workers=num_workers))
    with mien.load(num_threads=1) as recognizer:
        predict_on_cluster(
            work,
            recognizer,
            Outputs(),
            Options(),
            say=lambda _: None,
            show=lambda done, _: meter.reach(done),
        )
    return meter.rates()


class Meter:
    """How fast, and by how much processor time of this process and all below it, from the first
    answer on.
    """

    def __init__(self) -> None:
        self.marks: list[tuple[int, float, float]] = []
        self._num = 0

    def add(self, num: int) -> None:
        self.reach(self._num + num)

    def reach(self, num: int) -> None:
        self._num = num
        self.marks.append((num, time.monotonic(), spent()))

    def rates(self) -> tuple[float, float]:
        (first, began, before), (last, ended, after) = self.marks[0], self.marks[-1]
        return (last - first) / (ended - began), (after - before) / (last - first)


def spent() -> float:
    """Processor seconds of this process and all below it, those that ended included."""
    return sum(seconds for seconds, _, _ in family().values())


def family() -> dict[int, tuple[float, float, str]]:
    """Processor seconds, MiB of its own and command of this process and all below it."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for one in Path("/proc").iterdir():
        if one.name.isdigit():
            try:
                words = (one / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(one.name)] = int(words[1])
            seconds[int(one.name)] = sum(map(int, words[11:15])) / TICKS
    found = {os.getpid()}
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: (seconds[pid], own_mb(pid), command(pid)) for pid in found}


def own_mb(pid: int) -> float:
    """Memory that a process shares with nobody; the object store is shared."""
    try:
        words = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0.0
    return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGE_SIZE") / 2**20


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def kind(words: str) -> str:
    for mark, name in (
        ("mien.ray.child", "recognising"),
        ("ray::", "workers"),
        ("raylet", "raylet"),
        ("gcs_server", "gcs"),
        ("benchmarks/scale.py", "driver"),
    ):
        if mark in words:
            return name
    return "other"


def memory(folder: Path, num: int, bundle: str) -> None:
    sources = faces(folder / "album", num)
    began, shown = time.monotonic(), 0

    def show(done: int, how: str) -> None:
        nonlocal shown
        if done * 10 // num <= shown and done < num:
            return
        shown = done * 10 // num
        held: dict[str, float] = {}
        for _, own, words in family().values():
            held[kind(words)] = held.get(kind(words), 0.0) + own
        parts = ", ".join(f"{name} {held[name]:.0f}" for name in sorted(held))
        print(
            f"  {done:,} after {time.monotonic() - began:.0f} s: {sum(held.values()):.0f} MiB "
            f"({parts}); object store {store_mb():.1f} MiB",
            flush=True,
        )

    work = Work(str(folder / "answers"), dict.fromkeys(sources, ""))
    with mien.load(bundle, detector="none", num_threads=1) as recognizer:
        tally = predict_on_cluster(
            work, recognizer, Outputs(), Options(), say=lambda one: print(f"  {one}"), show=show
        )
    print(f"  {tally.sentence()}; {len(list((folder / 'answers').glob('part-*')))} parts")


def store_mb() -> float:
    """What lies in the object store."""
    import ray

    total, free = ray.cluster_resources(), ray.available_resources()
    return (total["object_store_memory"] - free.get("object_store_memory", 0)) / 2**20


def cluster(folder: Path, picture_s: float, num_files: int, sizes: Sequence[int]) -> None:
    from ray.cluster_utils import Cluster as Nodes

    import mien.ray.pool

    mien.ray.pool.FILES_A_TASK = num_files
    with mien.load(detector="none") as recognizer:
        setup = setup_like(recognizer)
        Asleep.frame = frame_of(recognizer, np.full((48, 48, 3), 128, np.uint8), "drawn")
    Asleep.picture_s = picture_s  # Ray sends the class of a script as it is
    columns = setup.arrow_columns()
    print(f"{picture_s * 1000:g} ms a picture, {num_files} a task")
    for num_nodes in sizes:
        nodes = Nodes()
        for _ in range(num_nodes):
            nodes.add_node(num_cpus=8, object_store_memory=100 << 20, include_dashboard=False)
        nodes.wait_for_nodes()
        with connected(nodes.address):
            asleep(setup, columns, folder / str(num_nodes), 8 * num_nodes, picture_s)
        nodes.shutdown()


def asleep(setup: Setup, columns: Any, out: Path, num: int, picture_s: float) -> None:
    """Hand out work that sleeps, once all workers are there."""
    pool = Pool(setup, num_workers=num, say=print, actor=Asleep)
    while pool.num_ready < num:  # each start takes seconds of a core
        for _ in pool.answers(iter(()), 0):
            pass
        pool._top_up()
        refs = [seat.starting for seat in pool._workers if seat.starting is not None]
        for ref in pool._wait(refs):
            pool._result(next(seat for seat in pool._workers if seat.starting == ref), ref)
    total = round(num * 20 / picture_s)
    items = (Item(f"{number:09d}.jpg", "") for number in range(total))
    answers = ResultFolder(str(out), {}, columns.schema, say=print)
    driver, began = time.process_time(), time.monotonic()
    answers.add(pyarrow.concat_tables([table for table, _ in pool.answers(items, total)]))
    took, driver = time.monotonic() - began, time.process_time() - driver
    answers.close()
    pool.close()
    print(
        f"  {num // 8} nodes, {num} workers: {total / took:,.0f} pictures a second, "
        f"{total / took / (num / picture_s):.1%} of {num / picture_s:,.0f}; driver "
        f"{driver / took:.0%} of a core, {total / driver:,.0f} pictures a core second",
        flush=True,
    )


class Asleep:
    """A worker that takes its time and does nothing."""

    frame: Frame
    picture_s: float

    def __init__(self, setup: Setup) -> None:
        self._columns = setup.arrow_columns()

    def ready(self) -> None:
        """Is there."""

    def answer(self, items: Sequence[Item]) -> tuple[Any, Tally]:
        time.sleep(self.picture_s * len(items))
        frames = [replace(self.frame, source=item.source) for item in items]
        return self._columns.table_of(frames), Tally(num_sources=len(items))


def photographs(folder: Path, num: int) -> list[str]:
    """scikit-image's portrait at 640 x 480, shifted a little from file to file, as JPEG."""
    from skimage.data import astronaut

    folder.mkdir()
    portrait = Image.fromarray(astronaut())
    for number in range(num):
        canvas = Image.new("RGB", (640, 480), (90, 90, 90))
        canvas.paste(portrait, (number % 64, -(number // 64) % 32))
        canvas.save(folder / f"{number:05d}.jpg", quality=90)
    return sorted(str(one) for one in folder.iterdir())


def faces(folder: Path, num: int) -> list[str]:
    """Drawn faces of 48 x 48: a thousand, each under many names."""
    from mien.data.synthetic import draw_faces

    folder.mkdir()
    drawn = draw_faces(np.arange(min(num, 1000)) % 7, seed=0)
    for number, face in enumerate(drawn):
        Image.fromarray(face[..., 0]).save(folder / f"{number:06d}.png")
    for number in range(len(drawn), num):
        os.link(folder / f"{number % 1000:06d}.png", folder / f"{number:06d}.png")
    return sorted(str(one) for one in folder.iterdir())


if __name__ == "__main__":
    main()
