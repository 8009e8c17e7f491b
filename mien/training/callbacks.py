"""What can be watched during training: how far it is, and TensorBoard."""

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

    Nothing is written before its first call, when the run has passed every check and holds its
    folder. It raises RunError where it cannot write.

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
                # Bytes, since a path that is not UTF-8 is no text to TensorFlow.
                writer = tf.summary.create_file_writer(os.fsencode(place))
                written = len(moment.history)  # an earlier process wrote those it goes on from
            for line in moment.history[written:]:
                with writer.as_default(step=line["epoch"]):
                    for name in CURVES:
                        tf.summary.scalar(name, line[name])
                writer.flush()
        except tf.errors.OpError as error:
            reason = re.sub(
                r"\{\{.*?\}\} *| *\[Op:.*", "", error.message
            )  # less the name of the node in the graph
            raise RunError(
                f"{place}: got an error while writing for TensorBoard ({reason}; the checkpoints "
                "are whole); expected a folder for it. Fix: check space and permissions there, or "
                "run the same command without --tensorboard"
            ) from error
        written = len(moment.history)

    return watch
