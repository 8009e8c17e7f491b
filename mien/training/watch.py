"""What can be watched of a training: the moment it is at, and TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from mien.errors import MissingExtraError
from mien.training.recipes import Recipe


@dataclass(frozen=True)
class Moment:
    """What a progress bar needs to know; `history` has a line for each finished epoch."""

    epoch: int  # 1-based, the one under way
    step: int  # steps done in it
    num_steps: int
    loss: float  # running means of this epoch, under augmentation, dropout and class weights
    accuracy: float
    recipe: Recipe
    history: list[dict[str, Any]]


def tensorboard(folder: Path) -> Callable[[Moment], None]:
    """A watcher that writes each epoch's figures for TensorBoard into `folder/tensorboard`.

    Raises:
        MissingExtraError: if the package tensorboard is not installed.
    """
    try:
        import tensorboard as _tensorboard  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("tensorboard", "tensorboard") from error
    writer = tf.summary.create_file_writer(str(folder / "tensorboard"))
    written: int | None = None

    def watch(moment: Moment) -> None:
        nonlocal written
        if written is None:  # an earlier process wrote those it goes on from
            written = len(moment.history)
        for line in moment.history[written:]:
            with writer.as_default(step=line["epoch"]):
                for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
                    tf.summary.scalar(name, line[name])
            writer.flush()
        written = len(moment.history)

    return watch
