"""Kill a training with SIGKILL at random moments, resume it each time, compare with an undisturbed
run.

    python benchmarks/kill_resume.py --kills 10

Prints a JSON line: how many kills, in which epochs the run went on, and whether every array of the
last checkpoint (weights, moving average, Adam's moments, dropout state) is equal bit for bit.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness
import numpy as np

from mien.training import checkpoint


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--faces", type=int, default=560)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=None)
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp())
    mien = [sys.executable, "-m", "mien"]
    data = work / "faces.csv"
    draw = ["data", "draw", "--num", str(options.faces), "--form", "csv", "--out", data]
    subprocess.run([*mien, *draw], check=True, stdout=sys.stderr)
    train = [
        *mien,
        "train",
        data,
        "--recipe",
        "small",
        "--epochs",
        str(options.epochs),
        "--deterministic",
    ]
    train += ["--patience", str(options.epochs)]

    subprocess.run([*train, "--out", work / "undisturbed"], check=True, stdout=sys.stderr)
    seconds = [
        json.loads(line)["seconds"] for line in (work / "undisturbed" / "history.jsonl").open()
    ]

    # Each life ends a random time after its first step could begin: within its first epoch, which
    # traces the graph, or within the two after it. What a process writes first, once it holds the
    # folder, is run.json.
    chance = random.Random(options.seed)
    killed, went_on = 0, []
    while killed < options.kills:
        before = written(work / "killed")
        with subprocess.Popen(
            [*train, "--out", work / "killed"], stdout=-1, stderr=-1, text=True
        ) as process:
            while process.poll() is None and written(work / "killed") == before:
                time.sleep(0.01)
            try:
                process.wait(
                    timeout=chance.random() * (seconds[0] + 3 * statistics.median(seconds))
                )
                shutil.rmtree(
                    work / "killed"
                )  # it came to its end first: the next kill is in a new run
                continue
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                killed += 1
        went_on.append(last_epoch(work / "killed"))
        print(f"kill {killed}: last whole epoch {went_on[-1]}", file=sys.stderr)
    subprocess.run([*train, "--out", work / "killed"], check=True, stdout=sys.stderr)

    ours, _ = checkpoint.newest(work / "killed" / "checkpoints")
    theirs, _ = checkpoint.newest(work / "undisturbed" / "checkpoints")
    if ours is None or theirs is None:
        sys.exit("no checkpoint was written")
    same = ours.arrays.keys() == theirs.arrays.keys() and all(
        np.array_equal(ours.arrays[name], theirs.arrays[name]) for name in ours.arrays
    )
    answer = {
        "num_kills": killed,
        "whole_epochs_at_each_kill": went_on,
        "num_arrays": len(ours.arrays),
        "equal": same,
    }
    print(json.dumps(answer))
    sys.exit(0 if same and killed == options.kills else 1)


def written(run: Path) -> int:
    """When run.json was last written, in nanoseconds; 0 if it is not there."""
    path = run / "run.json"
    return path.stat().st_mtime_ns if path.exists() else 0


def last_epoch(run: Path) -> int:
    """Number of the newest checkpoint, 0 for none."""
    return max(
        (int(path.name.removeprefix("epoch-")) for path in checkpoint.epochs(run / "checkpoints")),
        default=0,
    )


if __name__ == "__main__":
    main()
