"""What TensorBoard is told of a run."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import tensorflow as tf
from small_recipes import TINY

from mien.data.dataset import Dataset
from mien.errors import RunError
from mien.training import fit
from mien.training.callbacks import tensorboard

pytest.importorskip("tensorboard")
ONE = dataclasses.replace(TINY, max_epochs=1)


def losses(folder: Path) -> list[int]:
    """The epochs that a `val_loss` is written for, in the order of the files."""
    return [
        event.step
        for path in sorted((folder / "tensorboard").iterdir())
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "val_loss"
    ]


@pytest.mark.slow
def test_a_run_that_is_refused_or_done_is_told_nothing(faces: Dataset, tmp_path: Path) -> None:
    fit.fit(faces, ONE, folder=tmp_path)
    watch = tensorboard(tmp_path)
    with pytest.raises(RunError, match="a folder with another run"):
        fit.fit(faces, dataclasses.replace(ONE, seed=9), folder=tmp_path, watch=watch)
    fit.fit(faces, ONE, folder=tmp_path, watch=watch)
    assert not (tmp_path / "tensorboard").exists()


@pytest.mark.slow
def test_fresh_begins_new_curves(faces: Dataset, tmp_path: Path) -> None:
    fit.fit(
        faces, dataclasses.replace(TINY, max_epochs=2), folder=tmp_path, watch=tensorboard(tmp_path)
    )
    assert losses(tmp_path) == [1, 2]
    (tmp_path / "tensorboard" / "notes.txt").write_text("mine")
    fit.fit(
        faces, ONE, folder=tmp_path, options=fit.FitOptions(fresh=True), watch=tensorboard(tmp_path)
    )
    (tmp_path / "tensorboard" / "notes.txt").unlink()
    assert losses(tmp_path) == [1]
    fit.fit(faces, ONE, folder=tmp_path, options=fit.FitOptions(fresh=True))
    assert not (tmp_path / "tensorboard").exists()


@pytest.mark.slow
def test_what_cannot_be_written_is_said(faces: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "run"
    with pytest.raises(RunError, match="run: got an error while writing"):
        fit.fit(faces, ONE, folder=folder, watch=tensorboard(folder))
    (tmp_path / "tensorboard").touch()
    with pytest.raises(
        RunError, match=r"for TensorBoard \(Not a directory; .* without --tensorboard"
    ):
        fit.fit(faces, ONE, folder=tmp_path, watch=tensorboard(tmp_path))
    assert fit.fit(faces, ONE, folder=tmp_path).facts["epochs"] == 1


def test_a_folder_whose_name_is_not_utf8(faces: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"l\xe4uf")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    fit.fit(faces, ONE, folder=folder, watch=tensorboard(folder))
    assert len(list((folder / "tensorboard").iterdir())) == 1
