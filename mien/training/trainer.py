"""The training loop of a run: epochs, checkpoints, best weights, early stopping."""

from __future__ import annotations

import json
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mien.bundle import Bundle
from mien.data.dataset import Dataset
from mien.errors import RunError
from mien.runtime import has_bf16, peak_memory_mb, reset_peak_memory
from mien.training import checkpoint, models
from mien.training.callbacks import Moment
from mien.training.optimizers import optimizer
from mien.training.recipe import Recipe
from mien.training.runs import (
    RUN_FILE,
    Run,
    best_epoch,
    best_folder,
    best_folders,
    evaluated,
    load_run,
)
from mien.training.steps import compiled
from mien.training.targets import make_targets, teacher_network, with_photographs
from mien.training.transfer import Start

STEPS = 8  # run in one call of the graph


class _DivergedError(RunError):
    """The loss is not a finite number."""


class Trainer:
    """The network, its average, the optimizer and the data of one run.

    `training` and `validation` hold faces of the side that the recipe takes; `photographs` are
    training faces for the vote head alone.
    """

    def __init__(
        self,
        training: Dataset,
        validation: Dataset,
        recipe: Recipe,
        *,
        teachers: Sequence[Bundle] = (),
        start: Start | None = None,
        photographs: Dataset | None = None,
    ) -> None:
        keras.backend.clear_session()
        keras.utils.set_random_seed(recipe.seed)
        reset_peak_memory()
        self.recipe = recipe
        self.validation = validation
        self.num_rows = len(training)
        self._photograph_odds: np.ndarray | None = None  # probability of each to be drawn
        if photographs is not None:
            odds = 1 / np.sqrt(np.bincount(photographs.labels))[photographs.labels]
            self._photograph_odds = odds / odds.sum()
            training = with_photographs(training, photographs)
        order = self._order(1)
        self.num_used = len(order)
        # Photographs have no label of the main head.
        self._labelled_share = float((order < self.num_rows).mean())
        self.num_steps = -(-self.num_used // recipe.batch_size)
        self.precision = precision(recipe)
        policy = "float32" if self.precision == "float32" else f"mixed_{self.precision}"
        any_side = not recipe.one_side
        self.model = models.build(recipe, training.label_set, policy=policy, any_side=any_side)
        self.averaged = models.build(recipe, training.label_set, any_side=any_side)
        self.averaged.set_weights(self.model.get_weights())
        self.optimizer = optimizer(recipe, self.num_steps)
        if self.precision == "float16":  # small gradients would become zeros
            self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer)
        self.optimizer.build(self.model.trainable_variables)
        self._training = training
        self._targets = make_targets(training, recipe)
        self._teachers = [teacher_network(bundle, training, recipe, policy) for bundle in teachers]
        self._start = start
        self._steps: dict[tuple[int, bool, bool], Callable[..., tuple[tf.Tensor, tf.Tensor]]] = {}

    def _order(self, epoch: int) -> np.ndarray:
        """The rows of an epoch in order, int32 (n,).

        A last batch of a single face is dropped: batch norm needs a variance. Photographs are drawn
        with probabilities proportional to 1 / sqrt(frequency of their label).
        """
        rng, size = np.random.default_rng([self.recipe.seed, epoch]), self.recipe.batch_size
        order = rng.permutation(self.num_rows)
        if self._photograph_odds is None:
            return order[: len(order) - (len(order) % size == 1)].astype(np.int32)
        num = min(size - 1, max(1, round(size * self.recipe.photograph_share)))
        num_batches = max(1, len(order) // (size - num))
        rows = order[: num_batches * (size - num)].reshape(num_batches, -1)
        odds = self._photograph_odds
        photographs = self.num_rows + rng.choice(len(odds), (len(rows), num), p=odds)
        batches = np.concatenate([rows, photographs], axis=1)
        return rng.permuted(batches, axis=1).reshape(-1).astype(np.int32)

    def _step(self, epoch: int) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
        """The compiled steps of an epoch; epochs of equal side, freezing and mixing share them."""
        kind = self.recipe.side(epoch), epoch <= self.recipe.freeze_epochs, self.recipe.mixes(epoch)
        if kind not in self._steps:
            side, frozen, mixing = kind
            layers = models.head_layers(self.model).values() if frozen else [self.model]
            variables = [weight for layer in layers for weight in layer.trainable_variables]
            self._steps[kind] = self._compile(side, variables, mixing)
        return self._steps[kind]

    def _compile(
        self, side: int, variables: list[Any], mixing: bool
    ) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
        return compiled(
            self.recipe,
            training=self._training,
            goals=self._targets,
            model=self.model,
            averaged=self.averaged,
            optimizer=self.optimizer,
            teachers=self._teachers,
            num_steps=self.num_steps,
            side=side,
            mixing=mixing,
            variables=variables,
        )

    def run(self, folder: Path, facts: dict[str, Any], watch: Callable[[Moment], None]) -> Run:
        """Train, from the last checkpoint in the folder if there is one.

        Args:
            folder: The run folder, locked by this process.
            facts: The contents of run.json that are known before training.
            watch: Called after every `STEPS` steps and at the end of each epoch.

        Raises:
            RunError: if the loss is not finite, a checkpoint is damaged or of another version, or
                the folder cannot be written.
        """
        history, warnings = self._resume(folder)
        try:
            while not (stopped := self._why_stop(history)):
                line = self._epoch(len(history) + 1, history, watch)
                self._save(folder, [*history, line])
                history = [*history, line]
                scores = line["loss"], line["accuracy"]
                watch(
                    Moment(
                        len(history), self.num_steps, self.num_steps, *scores, self.recipe, history
                    )
                )
        except (KeyboardInterrupt, _DivergedError):
            if history:  # the best network so far can be used
                self._finish(folder, facts, history, warnings, None)
            raise
        self._finish(folder, facts, history, warnings, stopped)
        return load_run(folder)

    def _resume(self, folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
        stored, damaged = checkpoint.newest(folder / "checkpoints")
        if stored is None:
            if self._start:
                heads = models.heads(self.recipe, self.validation.label_set)
                self._start.put(self.model, heads, self._training.images)
                self.averaged.set_weights(self.model.get_weights())
            return [], []
        # The state of float16's loss scale is there only on cards that train in float16.
        expected = {
            name: array for name, array in stored.arrays.items() if not name.startswith("scale")
        }
        named = [
            (v, name)
            for v, name in self._named_variables()
            if name in stored.arrays or not name.startswith("scale")
        ]
        if {name: v.shape for v, name in named if name in expected} != {
            name: a.shape for name, a in expected.items()
        }:
            raise RunError(
                f"{folder}: got a checkpoint of another version of mien or Keras; expected one of "
                "this version's network. Fix: continue with that version, or start again with "
                "--fresh"
            )
        for variable, name in named:
            variable.assign(stored.arrays[name])
        history = list(stored.state["history"])
        if damage := self._damage_of_best(folder, history, stored):
            damaged = [*damaged, damage]
        return history, damaged

    def _damage_of_best(
        self, folder: Path, history: list[dict[str, Any]], stored: checkpoint.Checkpoint
    ) -> str:
        """Check the best weights so far before hours of work, and repair them if possible.

        Returns:
            What was damaged and repaired, or ''.

        Raises:
            RunError: if they are damaged and the checkpoint is of another epoch.
        """
        target = best_folder(folder, self._best(history))
        try:
            checkpoint.read_verified(target)
            return ""
        except RunError as error:
            if self._best(history) != stored.epoch:
                raise RunError(f"the best weights so far: {error}") from error
            self._write_best(target, stored.epoch)  # the checkpoint holds the same weights
            damage = str(error).partition("; expected")[0]
            return f"{damage}; written again from the checkpoint"

    def _write_best(self, target: Path, epoch: int) -> None:
        arrays = {
            f"{n:03d}": np.asarray(weight) for n, weight in enumerate(self.averaged.get_weights())
        }
        checkpoint.write_verified(target, arrays, {"epoch": epoch})

    def _named_variables(self) -> Iterator[tuple[Any, str]]:
        """Each variable of a checkpoint, with its name there."""
        inner = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        num_inner = len(inner.variables)
        # `variables`, not `weights`: they include the state of the dropout layers' random numbers.
        for part, variables in (
            ("model", self.model.variables),
            ("average", self.averaged.weights),
            ("optimizer", inner.variables),
            ("scale", self.optimizer.variables[: len(self.optimizer.variables) - num_inner]),
        ):
            for number, variable in enumerate(variables):
                path = (
                    variable.path.removeprefix(f"{inner.name}/")
                    if part == "optimizer"
                    else variable.path
                )
                yield variable, f"{part}-{number:03d}-{path.replace('/', '.')}"

    def _best(self, history: Sequence[Mapping[str, float]]) -> int:
        return best_epoch(history, self.recipe.choose_by)

    def _why_stop(self, history: list[dict[str, Any]]) -> str:
        """The reason to stop training, or ''."""
        epoch, best_epoch = len(history), self._best(history)
        if epoch >= self.recipe.max_epochs:
            return f"the schedule of {self.recipe.max_epochs} epochs is done"
        # Patience counts from when the whole network is trained on faces of the final side.
        since = max(best_epoch, self.recipe.freeze_epochs, self.recipe.last_stage - 1)
        if epoch - since >= self.recipe.patience:
            score = (
                "validation accuracy"
                if self.recipe.choose_by == "accuracy"
                else "calibrated validation loss"
            )
            return (
                f"no better {score} in the {self.recipe.patience} epochs after epoch {best_epoch}"
            )
        return ""

    def _epoch(
        self, epoch: int, history: list[dict[str, Any]], watch: Callable[[Moment], None]
    ) -> dict[str, Any]:
        """Train for an epoch; returns its line of the history."""
        recipe = self.recipe
        began = time.perf_counter()
        order = self._order(epoch)
        loss = hits = 0.0
        side = recipe.side(epoch)
        take_steps = self._step(epoch)
        for first, indices in _calls(order, recipe.batch_size):
            steps = first + np.arange(len(indices))
            seeds = [[recipe.seed % 2**31, epoch * self.num_steps + step] for step in steps]
            call_loss, call_hits = take_steps(indices, np.array(seeds, np.int32))
            loss, hits = loss + float(call_loss), hits + float(call_hits)
            done = first + len(indices)
            num_faces = min(done * recipe.batch_size, self.num_used)
            means = loss / num_faces, hits / num_faces / self._labelled_share
            watch(Moment(epoch, done, self.num_steps, *means, recipe, history))
        seconds = time.perf_counter() - began
        scores = evaluated(self.averaged, self.validation, side=side)  # the side of this epoch
        if not np.isfinite(loss + scores["val_loss"]):
            raise _DivergedError(
                f"epoch {epoch}: got a loss of {loss / self.num_used}, {scores['val_loss']} on "
                "validation; expected finite numbers. Fix: train with a lower --learning-rate"
                + (f", or use the best of the {len(history)} epochs before it" if history else "")
            )
        line = {
            "epoch": epoch,
            "loss": loss / self.num_used,
            "accuracy": hits / self.num_used / self._labelled_share,
            **scores,
            "learning_rate": float(self.optimizer.learning_rate),
            "seconds": round(seconds, 3),
        }
        return line if self.recipe.one_side else {**line, "side": side}

    def _save(self, folder: Path, history: list[dict[str, Any]]) -> None:
        epoch, best_epoch = len(history), self._best(history)
        if best_epoch == epoch:
            # Before the checkpoint: a kill between the two must not leave a checkpoint whose best
            # weights are missing.
            self._write_best(best_folder(folder, epoch), epoch)
        arrays = {name: np.asarray(variable) for variable, name in self._named_variables()}
        checkpoint.save(
            folder / "checkpoints", checkpoint.Checkpoint(epoch, arrays, {"history": history})
        )
        # The previous checkpoint may still be needed, and with it the best weights of that time.
        needed = {best_epoch, self._best(history[:-1])}
        for number, old in best_folders(folder).items():
            if number not in needed:
                shutil.rmtree(old, ignore_errors=True)
        checkpoint.write_text(
            folder / "history.jsonl", "".join(json.dumps(line) + "\n" for line in history)
        )

    def _finish(
        self,
        folder: Path,
        facts: dict[str, Any],
        history: list[dict[str, Any]],
        warnings: list[str],
        stopped: str | None,
    ) -> None:
        best_epoch = self._best(history)
        arrays, _ = checkpoint.read_verified(best_folder(folder, best_epoch))
        self.averaged.set_weights([arrays[name] for name in sorted(arrays)])
        seconds = [line["seconds"] for line in history]
        facts |= {
            "parameters": self.model.count_params(),
            "multiply_adds": models.multiply_adds(
                self.averaged
                if self.recipe.backbone
                else models.build(self.recipe, self.validation.label_set)
            ),
            "precision": self.precision,
            "seconds_per_epoch": float(np.median(seconds)),
            "peak_memory_mb": peak_memory_mb(),
            "epochs": len(history),
            "best_epoch": best_epoch,
            "history": history,
            "warnings": warnings,
            "versions": {
                "python": platform.python_version(),
                "keras": keras.__version__,
                "tensorflow": tf.__version__,
                "numpy": np.__version__,
            },
        }
        if stopped is not None:
            facts["stopped"] = stopped
        temporary = folder / ".model.tmp.keras"
        try:
            self.averaged.save(temporary)
            temporary.replace(folder / "model.keras")
        except OSError as error:
            raise checkpoint.cannot_write(
                folder, error, f"the weights are whole in best-{best_epoch:04d}"
            ) from error
        checkpoint.write_text(folder / RUN_FILE, json.dumps(facts, indent=1))


def _calls(order: np.ndarray, batch_size: int) -> Iterator[tuple[int, np.ndarray]]:
    """The calls of an epoch: the number of the first step, and the rows, int32 (steps, batch).

    A call holds at most `STEPS` batches of one size; a smaller last batch has a call of its own.
    """
    num_whole = len(order) // batch_size
    whole = order[: num_whole * batch_size].reshape(-1, batch_size)
    for first in range(0, num_whole, STEPS):
        yield first, whole[first : first + STEPS]
    if len(rest := order[num_whole * batch_size :]):
        yield num_whole, rest[None]


def precision(recipe: Recipe) -> str:
    """The precision of a recipe's layers on this machine: `float32`, `bfloat16` or `float16`."""
    if recipe.precision != "auto":
        return recipe.precision
    if gpus := tf.config.list_physical_devices("GPU"):
        capability = tf.config.experimental.get_device_details(gpus[0]).get(
            "compute_capability", (0, 0)
        )
        if capability >= (8, 0):
            return "bfloat16"
        # Volta and Turing (7.x) have float16 units, but none for bfloat16.
        return "float16" if capability >= (7, 0) else "float32"
    return "bfloat16" if has_bf16() else "float32"
