"""The optimizer of a recipe, and its learning rate at each step."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from mien.training.recipe import Recipe


def optimizer(recipe: Recipe, num_steps: int) -> keras.optimizers.Optimizer:
    """Adam, AdamW or SGD with warm-up and cosine decay, not below the share `Recipe.last_rate`.

    With frozen epochs there are two such schedules: one for the heads alone, then one for the whole
    network at the share `Recipe.backbone_rate` of the rate.

    Args:
        recipe: The recipe.
        num_steps: Steps in an epoch.
    """
    frozen = min(recipe.freeze_epochs, recipe.max_epochs)
    rate = _schedule(recipe, num_steps, recipe.learning_rate, frozen or recipe.max_epochs)
    if frozen:
        # A second warm-up: Adam has no moments yet for the weights that were frozen.
        then = _schedule(
            recipe,
            num_steps,
            recipe.learning_rate * recipe.backbone_rate,
            recipe.max_epochs - frozen,
        )
        rate = _InTurn(rate, then, frozen * num_steps)
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    if recipe.optimizer == "adamw":
        decayed = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
        decayed.exclude_from_weight_decay(var_names=["(bias|gamma|beta)(:0)?$"])
        return decayed
    return keras.optimizers.Adam(rate)


def _schedule(recipe: Recipe, num_steps: int, learning_rate: float, epochs: int) -> Any:
    warm_up = recipe.warmup_epochs * num_steps
    cosine = keras.optimizers.schedules.CosineDecay(
        learning_rate / 100,
        decay_steps=max(1, min(recipe.fall_epochs or epochs, epochs) * num_steps - warm_up),
        warmup_target=learning_rate,
        warmup_steps=warm_up,
    )
    return (
        _AtLeast(cosine, learning_rate * recipe.last_rate, warm_up) if recipe.last_rate else cosine
    )


class _AtLeast(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule with a lower bound after the warm-up."""

    def __init__(self, schedule: Any, least: float, warm_up: int) -> None:
        self.schedule, self.least, self.warm_up = schedule, least, warm_up

    def __call__(self, step: Any) -> Any:
        rate = self.schedule(step)
        return tf.where(
            tf.cast(step, tf.float32) < self.warm_up, rate, tf.maximum(rate, self.least)
        )


class _InTurn(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """One schedule for the first steps, then another."""

    def __init__(self, first: Any, then: Any, num_first: int) -> None:
        self.first, self.then, self.num_first = first, then, num_first

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32)
        return tf.where(step < self.num_first, self.first(step), self.then(step - self.num_first))
