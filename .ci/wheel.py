"""Build the wheel and try it in a clean environment without the extras.

    python .ci/wheel.py

Needs the package registry, and YuNet's weights: those that $MIEN_YUNET names, else they are
downloaded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("tensorflow", "keras", "sklearn", "matplotlib", "fastapi", "av")


def run(*command: str | Path, cwd: Path, exit_code: int = 0) -> str:
    words = [str(word) for word in command]
    print("$", *words, flush=True)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, cwd=cwd, env=environ, stdout=subprocess.PIPE, text=True)
    if done.returncode != exit_code:
        raise SystemExit(f"got exit code {done.returncode}; expected {exit_code}:\n{done.stdout}")
    return done.stdout


def main() -> None:
    pip = (sys.executable, "-m", "pip", "--quiet")
    run(*pip, "wheel", "--no-deps", "--wheel-dir", "dist", ".", cwd=ROOT)
    (wheel,) = sorted((ROOT / "dist").glob("mien-*.whl"), key=lambda path: path.stat().st_mtime)[
        -1:
    ]
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder).resolve()
        run(sys.executable, "-m", "venv", there / "venv", cwd=there)
        programs = there / "venv" / ("Scripts" if os.name == "nt" else "bin")
        python, mien = programs / "python", programs / "mien"
        run(python, "-m", "pip", "--quiet", "install", wheel, cwd=there)
        code = f"import importlib.util as u; print([x for x in {EXTRAS} if u.find_spec(x)])"
        if (extras := run(python, "-c", code, cwd=there).strip()) != "[]":
            raise SystemExit(f"got {extras} beside the wheel; expected none of the extras")
        print(run(python, "-c", "import mien; print(mien.__file__)", cwd=there), end="")
        run(mien, "--help", cwd=there)
        # The portrait of scikit-image, without making that a dependency of the wheel.
        run(*pip, "install", "--no-deps", "--target", there / "data", "scikit-image", cwd=there)
        (portrait,) = (there / "data").rglob("astronaut.png")
        answer = json.loads(run(mien, "predict", portrait, "--json", cwd=there))
        labels = [face["label"] for frame in answer["frames"] for face in frame["faces"]]
        if labels != ["happy"]:
            raise SystemExit(f"got the faces {labels}; expected one happy face")
        run(mien, "train", portrait, cwd=there, exit_code=6)  # says which extra is lacking
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, works without the extras")


if __name__ == "__main__":
    main()
