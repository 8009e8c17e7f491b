"""Benchmarks that the docs quote exist and start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = sorted(set((ROOT / "benchmarks").glob("*.py")) - {ROOT / "benchmarks" / "harness.py"})
# The log's commands belong to the commits of their days, and so does a line that names one.
PAGES = [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"), ROOT / "Makefile"]
COMMAND = re.compile(r"python\)? (benchmarks/\w+\.py)((?:[^`\n#]|\\\n)*)")


def test_commands_in_the_docs_name_benchmarks_and_their_options() -> None:
    commands = [
        match
        for page in PAGES
        if page.name != "log.md"
        for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        if "git checkout" not in line
        for match in COMMAND.findall(line)
    ]
    assert len(commands) > 25
    shared = (ROOT / "benchmarks" / "harness.py").read_text(encoding="utf-8")
    wrong = []
    for file, words in commands:
        if not (ROOT / file).exists():
            wrong.append(file)
            continue
        source = (ROOT / file).read_text(encoding="utf-8") + shared
        options = re.findall(r"--[a-z][a-z-]*", words)
        wrong += [f"{file} {option}" for option in options if f'"{option}"' not in source]
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("file", BENCHMARKS, ids=lambda file: file.stem)
def test_each_benchmark_starts(file: Path) -> None:
    assert len(BENCHMARKS) > 20
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(file), "--help"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=ROOT)
    if "got no PyTorch" in done.stderr:
        pytest.skip("needs PyTorch, which is no dependency")
    if "No module named 'ray'" in done.stderr:
        pytest.skip("needs Ray, which .ci/run installs")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")
