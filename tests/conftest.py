"""What all tests share: isolation from this machine, and small real data."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before any test imports TensorFlow

import pytest

from mien.data.dataset import Dataset
from mien.data.synthetic import drawn_dataset
from mien.vision import fonts


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes this user's cache, data or working directory."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("MIEN_DATA", raising=False)
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))
    # Which letters no font has depends on the machine: no test is told of another's.
    monkeypatch.setattr(fonts, "_missing", {})
    monkeypatch.setattr(fonts, "_reported", set())


@pytest.fixture(scope="session")
def faces() -> Dataset:
    """210 drawn faces: 140 training, 35 validation, 35 test."""
    return drawn_dataset(140, 35, 35, seed=1)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real data beside the project; skips where it is absent."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the data beside the project is absent")
    return folder


@pytest.fixture
def step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training can be stopped after any step; undisturbed it takes several in one call."""
    from mien.training import trainer

    monkeypatch.setattr(trainer, "STEPS", 1)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle made by hand, as a zip."""
    from toy_bundle import write_toy

    path = tmp_path_factory.mktemp("bundle") / "toy.zip"
    write_toy(path)
    return path
