"""Callbacks during training: its progress, and figures for TensorBoard."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from mien.errors import MissingExtraError, RunError
from mien.training.recipe import Recipe

CURVES = ("loss", "accuracy", "val_loss", "val_calibrated_loss", "val_accuracy", "learning_rate")


@dataclass(frozen=True)
class Moment:
    """The progress of training; `history` has a line for each finished epoch."""

    epoch: int  # the current one, from 1
    step: int  # steps done in this epoch
    num_steps: int  # steps in an epoch
    loss: float  # running mean of this epoch, under augmentation, dropout and class weights
    accuracy: float
    recipe: Recipe
    history: list[dict[str, Any]]


def tensorboard(folder: Path) -> Callable[[Moment], None]:
    """A callback that writes the figures of each epoch for TensorBoard into `folder/tensorboard`.

    It writes nothing before its first call, when all checks have passed and the folder is locked.
    It raises RunError if it cannot write.

    Raises:
        MissingExtraError: if the package tensorboard is not installed.
    """
    try:
        import tensorboard as _tensorboard  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("tensorboard", "tensorboard") from error
    place = folder / "tensorboard"
    writer: Any = None
    written = 0

    def watch(moment: Moment) -> None:
        nonlocal writer, written
        try:
            if writer is None:
                # TensorFlow takes paths that are not UTF-8 as bytes.
                writer = tf.summary.create_file_writer(os.fsencode(place))
                written = len(moment.history)  # an earlier process wrote these
            for line in moment.history[written:]:
                with writer.as_default(step=line["epoch"]):
                    for name in CURVES:
                        tf.summary.scalar(name, line[name])
                writer.flush()
        except tf.errors.OpError as error:
            # Without the name of the graph's node.
            reason = re.sub(r"\{\{.*?\}\} *| *\[Op:.*", "", error.message)
            raise RunError(
                f"{place}: got an error while writing for TensorBoard ({reason}; the checkpoints "
                "are whole); expected a folder for it. Fix: check space and permissions there, or "
                "run the same command without --tensorboard"
            ) from error
        written = len(moment.history)

    return watch
