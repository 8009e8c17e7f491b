"""Ray answers as one machine does, and whoever is killed: no row twice, none lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.data.synthetic import draw_faces
from mien.labels import FER2013
from mien.ray.manifest import MANIFEST
from mien.video.writer import VideoCopy

ray = pytest.importorskip("ray")
pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
# Parts are written as answers come, not every half minute.
COMMAND = "import mien.ray.job as job; job.PART_S = 0; from mien.cli import main; main()"
PATIENCE_S = 900
NUM = 1200  # pictures, while which somebody is killed
# Ray's workers yield to all other processes, which on a busy machine is for ever.
os.environ |= {
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_gcs_rpc_server_connect_timeout_s": "120",
}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two nodes of one core each."""
    node = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=node)
    made.add_node(num_cpus=1, object_store_memory=100 << 20)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def many(folder: Path, num: int) -> Path:
    """So many pictures: five drawn faces under many names, and a broken one."""
    folder.mkdir()
    faces = draw_faces(np.arange(5) % len(FER2013), seed=3)
    for number, face in enumerate(faces):
        Image.fromarray(face[..., 0]).save(folder / f"{number:05d}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    for number in range(5, num - 1):
        os.link(folder / f"{number % 5:05d}.png", folder / f"{number:05d}.png")
    return folder


def predict(*words: object, toy: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMAND, "predict", *map(str, words)]
    return subprocess.Popen(
        [*command, "--bundle", str(toy), "--detector", "none"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*words: object, toy: Path) -> tuple[int, str]:
    process = predict(*words, toy=toy)
    said, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, said


def in_order(table: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pylist()
    return sorted(rows, key=lambda row: (row["source"], row["frame"]))


def num_rows(out: Path) -> int:
    try:
        text = (out / MANIFEST).read_text()
    except FileNotFoundError:
        return 0
    import json

    return int(json.loads(text)["num_rows"])


def family(pid: int) -> dict[int, str]:
    """The processes below one, with their command lines."""
    parents, commands = {}, {}
    for one in Path("/proc").iterdir():
        if one.name.isdigit():
            try:
                stat = (one / "stat").read_text()
                commands[int(one.name)] = (one / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
            parents[int(one.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {pid}
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    return {one: commands[one] for one in found if one in commands}


def workers() -> list[int]:
    """The actors that recognise: parents of the processes that do it for them."""
    below = family(os.getpid())
    parents = []
    for pid, command in below.items():
        if "-m mien.ray.child" in command:
            stat = Path(f"/proc/{pid}/stat").read_text()
            parents.append(int(stat.rpartition(")")[2].split()[1]))
    return parents


@pytest.mark.parametrize("killed", ["driver", "worker", "node"])
def test_whoever_is_killed_every_file_has_its_row_once(
    cluster: Cluster, toy: Path, tmp_path: Path, killed: str
) -> None:
    album, out = many(tmp_path / "album", NUM), tmp_path / "out"
    words = (album, "--engine", "ray", "--address", cluster.address, "--out", out)
    process = predict(*words, toy=toy)
    patience = time.monotonic() + PATIENCE_S
    while not 0 < num_rows(out) < NUM * 4 // 5 or len(workers()) < 2:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < patience
        time.sleep(0.02)
    if killed == "driver":
        process.kill()
    elif killed == "worker":
        os.kill(workers()[0], signal.SIGKILL)
    else:
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert num_rows(out) < NUM if killed == "driver" else process.returncode == 8, said
    code, again = run(*words, toy=toy)
    assert code in (0, 8), again
    assert "already in the table" in again
    rows = in_order(parquet.read_table(out))
    assert len(rows) == NUM
    assert [row["source"] for row in rows] == sorted(str(one) for one in album.iterdir())
    assert [Path(row["source"]).name for row in rows if row["error"]] == ["broken.png"]


def test_answers_are_those_of_one_machine(toy: Path, tmp_path: Path) -> None:
    """Row by row, columns and values, pictures and a video, with its summary."""
    album = many(tmp_path / "album", 40)
    face = np.repeat(draw_faces(np.array([3]), seed=3)[0], 3, axis=2)
    copy = VideoCopy(album / "film.mp4")
    for number in range(12):
        copy.write(number / 10, face)
    copy.close()
    here, there = tmp_path / "here.parquet", tmp_path / "out"
    words = (album, "--smooth", "0.5s")
    code, said = run(*words, "--out", here, "--summary", tmp_path / "sums", toy=toy)
    assert code == 8, said
    ray_words = ("--engine", "ray", "--out", there, "--summary", tmp_path / "sums-of-ray")
    code, said = run(*words, *ray_words, toy=toy)
    assert code == 8, said
    one, many_parts = parquet.read_table(here), parquet.read_table(there)
    assert many_parts.schema.equals(one.schema)
    assert one.num_rows == 52
    assert in_order(many_parts) == in_order(one)
    names = sorted(path.name for path in (tmp_path / "sums").rglob("*") if path.is_file())
    assert names == sorted(
        path.name for path in (tmp_path / "sums-of-ray").rglob("*") if path.is_file()
    )
    summary = "film_summary.csv"
    assert (tmp_path / "sums" / summary).read_text() == (
        tmp_path / "sums-of-ray" / summary
    ).read_text()


def test_a_poisonous_picture_costs_one_row(toy: Path, tmp_path: Path) -> None:
    album, out = many(tmp_path / "album", 100), tmp_path / "out"
    os.mkfifo(album / "endless.png")
    held = os.open(album / "endless.png", os.O_RDWR)
    words = (album, "--engine", "ray", "--time-limit", "5s", "--out", out)
    code, said = run(*words, toy=toy)
    os.close(held)
    assert code == 8, said
    rows = in_order(parquet.read_table(out))
    assert len(rows) == 101
    errors = {Path(row["source"]).name: row["error"] for row in rows if row["error"]}
    assert sorted(errors) == ["broken.png", "endless.png"]
    assert "no answer within 5 s" in errors["endless.png"]


# Ray Data warns of its own parts, and a Ray that is begun twice leaves processes to be waited for.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_dataset_of_pictures_becomes_one_of_faces(toy: Path, tmp_path: Path) -> None:
    import ray.data

    import mien.ray
    from mien.errors import UsageError
    from mien.ray.job import connected

    album = many(tmp_path / "album", 30)
    with connected(None):
        pictures = ray.data.read_binary_files(str(album), include_paths=True)
        pictures = pictures.map(lambda row: {**row, "album": "holiday"})
        load = {"bundle": str(toy), "detector": "none"}
        faces = mien.ray.predict(pictures, load=load, num_workers=1)
        found = pyarrow.concat_tables(ray.get(faces.to_arrow_refs()))
        with pytest.raises(UsageError, match="got a dataset with the columns id"):
            mien.ray.predict(ray.data.range(3), load=load)
    assert found.num_rows == 30
    assert set(found["album"].to_pylist()) == {"holiday"}
    code, said = run(album, "--out", tmp_path / "here.parquet", toy=toy)
    assert code == 8, said
    here = in_order(parquet.read_table(tmp_path / "here.parquet"))
    there = in_order(found.select(list(here[0])))
    for one, other in zip(here, there, strict=True):
        assert one.pop("error") is None or other["error"]
        other.pop("error")
        assert other == one
