"""Seconds from nothing to an answer: `import mien`, and `mien predict` on one portrait, each in a
new process.

    python benchmarks/cold_start.py [--rounds 7]

The named alternatives are an empty Python, and importing Keras, which a package that runs its
network there must do. Modules are compiled beforehand, as pip leaves them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness
import numpy as np
from PIL import Image
from skimage.data import astronaut


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "astronaut.png"
        Image.fromarray(astronaut()).save(picture)
        commands = {
            "an empty Python": ["-c", "pass"],
            "import mien": ["-c", "import mien"],
            "mien predict portrait": ["-m", "mien", "predict", str(picture)],
            "import keras": ["-c", "import keras"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        # In turns, so that a busy moment hits all. The first turn, which compiles, is not counted.
        for turn in range(options.rounds + 1):
            for name, words in commands.items():
                began = time.perf_counter()
                subprocess.run(
                    [sys.executable, *words],
                    check=True,
                    capture_output=True,
                    env=environment,
                )
                if turn:
                    times[name].append(time.perf_counter() - began)
    for name, seconds in times.items():
        print(
            f"{name}: median {np.median(seconds):.2f} s, least {min(seconds):.2f} s (n = "
            f"{len(seconds)})"
        )


if __name__ == "__main__":
    main()
