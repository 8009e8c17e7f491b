"""docs/api.md: its examples run, and it names every code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from encoded import encoded
from running_server import Server, StartServer

from mien.data.synthetic import drawn_dataset
from mien.serving.problems import CODES

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(bash|python|javascript)\n(.*?)^```", TEXT, re.M | re.S)


@pytest.fixture(scope="module")
def teachable(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Server:
    return start_server("--collect", str(tmp_path_factory.mktemp("kept")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the files that the examples name."""
    where = tmp_path_factory.mktemp("examples")
    for name, face in zip(
        ("photo.jpg", "one.jpg", "two.jpg", "crop.png"), drawn_dataset(7, 7, 7).images, strict=False
    ):
        kind = "PNG" if name.endswith("png") else "JPEG"
        (where / name).write_bytes(encoded(face[:, :, 0], kind))
    return where


def test_there_are_examples_in_each_language() -> None:
    kinds = [kind for kind, _ in EXAMPLES]
    assert (kinds.count("bash"), kinds.count("python"), kinds.count("javascript")) == (4, 4, 2)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_run(teachable: Server, folder: Path, number: int) -> None:
    kind, code = EXAMPLES[number]
    command = {
        "bash": ["bash", "-e", "-c"],
        "python": [sys.executable, "-c"],
        "javascript": ["node", "--input-type=module", "-e"],
    }[kind]
    needed = "curl" if kind == "bash" else command[0]
    if shutil.which(needed) is None:
        pytest.skip(f"no {needed} here")
    code = code.replace("127.0.0.1:8000", f"127.0.0.1:{teachable.port}").replace(
        "curl ", "curl -sS "
    )
    if kind == "javascript" and "WebSocket" in code:
        version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
        if int(version[1:].split(".")[0]) < 22:
            pytest.skip(f"node {version.strip()} has no WebSocket")
    done = subprocess.run([*command, code], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout and '"code"' not in done.stdout
    assert re.search("angry|disgust|fear|happy|sad|surprise|neutral|200|ok", done.stdout)


def test_every_code_is_explained() -> None:
    table = TEXT[TEXT.index("## Errors") :]
    assert len(CODES) > 20
    for code, status in CODES.items():
        row = re.search(rf"^\| {status} \|.*`{code}`", table, re.M)
        assert row is not None, code
