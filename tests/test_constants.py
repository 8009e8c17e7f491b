"""The cache folder of users with and without a home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from mien import constants
from mien.constants import cache_dir


def test_the_folder_that_is_named_wins(tmp_path: Path) -> None:
    assert cache_dir({"MIEN_CACHE": str(tmp_path / "kept")}) == tmp_path / "kept"


def test_a_user_without_a_home_goes_on_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(platformdirs, "user_cache_path", nowhere)
    constants._temporary.cache_clear()
    folder = cache_dir({})
    assert folder.is_dir() and folder == cache_dir({})
    constants._temporary_folders.pop().cleanup()
    constants._temporary.cache_clear()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o500)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "home" / "c")
    assert tmp_path not in cache_dir({}).parents


WITHOUT = """
import sys
for name in ("tensorflow", "keras", "tf2onnx"):
    sys.modules[name] = None
"""


def without_tensorflow(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, check=False
    )


def test_bundles_are_described_and_judged_without_tensorflow() -> None:
    done = without_tensorflow(
        "sys.argv = ['mien', 'info', 'shipped']\nfrom mien.cli.app import main\nmain()"
    )
    assert done.returncode == 0, done.stderr
    assert "labels" in done.stdout and "accuracy on validation" in done.stdout
    assert "Next: mien predict photo.jpg --bundle shipped" in done.stderr
    done = without_tensorflow(
        "from mien import pipeline\npipeline.need_evaluate_extra()\n"
        "from mien.evaluation import evaluate, predictions, report, findings\n"
    )
    assert done.returncode == 0, done.stderr


def test_what_is_missing_is_said_before_the_data_are_read(tmp_path: Path) -> None:
    done = without_tensorflow(
        f"sys.argv = ['mien', 'evaluate', {str(tmp_path)!r}, '--data', 'nowhere.csv']\n"
        "from mien.cli.app import main\nmain()"
    )
    assert done.returncode == 6 and "[train]" in done.stderr, done.stderr
    done = without_tensorflow(
        "sys.modules['sklearn'] = None\n"
        "sys.argv = ['mien', 'evaluate', '--bundle', 'shipped', 'nowhere.csv']\n"
        "from mien.cli.app import main\nmain()"
    )
    assert done.returncode == 6 and "[evaluate]" in done.stderr, done.stderr
