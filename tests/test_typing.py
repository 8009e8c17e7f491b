"""A user's script passes `mypy --strict`: mien is typed, and its surface says what it gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = """
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

import mien

recognizer = mien.load()
label: str = mien.load().faces("photo.jpg")[0].label
frame: mien.Frame = recognizer(Path("photo.jpg"))
for face in recognizer("photo.jpg").faces:
    name, share = face.top
    probabilities: Mapping[str, float] = face.probabilities
    number: float = face["happy"] + probabilities["happy"] + share
    text: str = name.upper() + face.reason
    row = np.asarray(list(face.probabilities.values()))
recognizer("photo.jpg").draw().save("drawn.png")
recognizer(np.zeros((9, 9, 3), np.uint8)).show()
recognizer(Image.new("RGB", (9, 9)))
recognizer(io.BytesIO(b""))
print(json.dumps(recognizer(b"").to_dict()))
frames: mien.Frames = recognizer(["a.jpg", "b.jpg"])
frames = recognizer(Path("holiday").glob("*.jpg"))
frames[:3].to_frame().to_parquet("faces.parquet")
happy = recognizer("photo.jpg").to_frame()["p_happy"].mean()
with mien.load(detector="none", mode="best", prior="balanced") as other:
    crops = [face.crop for one in other.frames(["a.png"]) for face in one.faces]
table = mien.Frames(mien.watch("talk.mp4", recognizer)).to_frame()
dataset = mien.load_dataset("faces").with_validation()
run = mien.fit(dataset, mien.recipe("small", seed=1), folder="runs/small")
evaluation = mien.evaluate(dataset, [run, mien.load_run("runs/other"), mien.open_bundle("x.zip")])
evaluation = mien.evaluate(dataset, mien.predictions(dataset, run))
evaluation = mien.evaluate(dataset, "shipped")
report: Path = mien.write_report(evaluation, "report")
"""
WRONG = """
import mien

recognizer = mien.load()
recognizer("photo.jpg").faces[0].probabilities["happy"] = 1.0
for face in recognizer("photo.jpg"):
    pass
recognizer.faces(["a.jpg", "b.jpg"])
label: int = recognizer.faces("photo.jpg")[0].label
"""


def mypy(folder: Path, script: str) -> list[str]:
    """Errors of a script under `--strict`; Keras and the like are skipped, as in `make check`,
    which leaves its cache for this.
    """
    pytest.importorskip("mypy")
    path = folder / "script.py"
    path.write_text(script, encoding="utf-8")
    options = ("--strict", "--config-file", "pyproject.toml", os.fspath(path))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stderr
    return [line for line in done.stdout.splitlines() if path.name in line]


@pytest.mark.slow
def test_a_users_script_is_strictly_typed(tmp_path: Path) -> None:
    assert (ROOT / "mien" / "py.typed").is_file()
    assert mypy(tmp_path, SCRIPT) == []
    wrong = mypy(tmp_path, WRONG)
    assert [line.split(":")[-3].strip() for line in wrong if ": error:" in line] == [
        "5",
        "6",
        "8",
        "9",
    ]
