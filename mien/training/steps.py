"""One training step as a graph: change the faces, ask the teachers, update weights and their
average.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from mien.data.dataset import Dataset
from mien.labels import VOTES_HEAD
from mien.training import models
from mien.training.augment import augment, corrupt, mix, resize
from mien.training.recipe import Recipe
from mien.training.targets import Targets, mixed, taught

# Head, weight in the loss, targets (n, K), weights of the rows (n,).
_Goal = tuple[str, float, tf.Tensor, tf.Tensor]


def compiled(
    recipe: Recipe,
    *,
    training: Dataset,
    goals: Targets,
    model: keras.Model,
    averaged: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    teachers: Sequence[keras.Model] = (),
    num_steps: int,
    side: int,
    mixing: bool = False,
    variables: list[Any],
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """Several steps in one call into the graph, so that Python takes no part in between.

    Args:
        recipe: How to train.
        training: The training rows.
        goals: Their targets.
        model: The network of `recipe`.
        averaged: Its moving average, float32.
        optimizer: Built for `variables`.
        teachers: Networks of `targets.teacher_network`.
        num_steps: Of an epoch.
        side: Of the faces, in pixels.
        mixing: Whether faces are mixed (`augment.mix`).
        variables: The weights that learn.

    Returns:
        A function of row numbers int32 (steps, batch) and seeds int32 (steps, 2), whose second
        column counts the steps from `num_steps` on. It answers the sum of the losses and the number
        of faces named right, float64.
    """
    network = models.logits_of(model)
    main = next(iter(models.heads(recipe, training.label_set)))
    # uint8: 2,304 or 9,216 bytes a face, the whole set stays in memory
    images, labels = tf.constant(training.images), tf.constant(training.labels)
    constants = _Goals(main, goals)
    slopes = _slopes(network, optimizer, variables, main)
    # AdamW itself takes it from the weights.
    in_slope = recipe.weight_decay if recipe.optimizer != "adamw" else 0.0
    decays = [in_slope * (weight.name == "kernel") for weight in variables]
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)

    def step(index: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        faces = tf.cast(tf.gather(images, index), tf.float32)
        faces = augment(faces, seed, recipe, side) if recipe.augment else resize(faces, side)
        wanted = constants.of(index, recipe)
        if mixing:
            faces, own = mix(faces, seed, recipe, side)
            wanted = [(head, by, *mixed(q, weight, own)) for head, by, q, weight in wanted]
        if teachers:
            wanted = _taught(wanted, teachers, faces, recipe)
        if recipe.augment:
            faces = corrupt(faces, seed, recipe, side)
        losses, logits, gradients = slopes(faces, wanted)
        if recipe.sam_radius:
            gradients = _worst_nearby(
                recipe.sam_radius,
                gradients,
                variables,
                model.non_trainable_weights,
                lambda: slopes(faces, wanted)[2],
            )
        if in_slope:
            scale = optimizer.dynamic_scale if scaled else 1.0  # the optimizer divides by it
            decayed = zip(gradients, decays, variables, strict=True)
            gradients = [
                g + scale * decay * tf.convert_to_tensor(w) if decay else g
                for g, decay, w in decayed
            ]
        optimizer.apply(gradients, variables)
        # Counted by the seed: the optimizer does not count steps that float16 could not hold.
        _move_average(averaged, model, recipe, tf.cast(seed[1] - num_steps + 1, tf.float32))
        hits = tf.argmax(logits, axis=1) == tf.gather(labels, index)
        # In float64, so that it does not matter how many steps a call takes.
        return tf.cast(tf.reduce_sum(losses), tf.float64), tf.reduce_sum(tf.cast(hits, tf.float64))

    return _several(step)


def _several(
    step: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """As many steps as there are rows of indices, in one call; the sums of what they return."""

    def steps(indices: tf.Tensor, seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def one(
            n: tf.Tensor, loss: tf.Tensor, hits: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            step_loss, step_hits = step(indices[n], seeds[n])
            return n + 1, loss + step_loss, hits + step_hits

        num = tf.shape(indices)[0]
        zero = tf.zeros((), tf.float64)
        _, loss, hits = tf.while_loop(
            lambda n, *_: n < num, one, (0, zero, zero), parallel_iterations=1
        )
        return loss, hits

    signature = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, 2], tf.int32)]
    return tf.function(steps, input_signature=signature)  # type: ignore[no-any-return]


class _Goals:
    """Targets in the graph: what each head is to answer of some rows."""

    def __init__(self, main: str, goals: Targets) -> None:
        self._main = main
        self._labels, self._weights = tf.constant(goals.labels), tf.constant(goals.weights)
        self._shares = None if goals.shares is None else tf.constant(goals.shares)
        self._share_weights = tf.constant(goals.share_weights)

    def of(self, index: tf.Tensor, recipe: Recipe) -> list[_Goal]:
        wanted = [
            (self._main, 1.0, tf.gather(self._labels, index), tf.gather(self._weights, index))
        ]
        if self._shares is not None:
            voted = tf.gather(self._shares, index), tf.gather(self._share_weights, index)
            wanted.append((VOTES_HEAD, recipe.votes_weight, *voted))
        return wanted


def _taught(
    wanted: list[_Goal], teachers: Sequence[keras.Model], faces: tf.Tensor, recipe: Recipe
) -> list[_Goal]:
    """Targets of which a part is the mean of what teachers answer to the same faces."""
    answers = [teacher(faces, training=False) for teacher in teachers]
    means = {
        head: tf.add_n([tf.nn.softmax(one[head]) for one in answers]) / len(answers)
        for head, *_ in wanted
    }
    return [
        (head, by, *taught(q, weight, means[head], recipe.teacher_weight))
        for head, by, q, weight in wanted
    ]


def _slopes(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    variables: list[Any],
    main: str,
) -> Callable[[tf.Tensor, list[_Goal]], tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]]:
    """What gives each face's loss, the main head's logits and the slope of the mean loss."""
    cross_entropy = tf.nn.softmax_cross_entropy_with_logits

    def slopes(
        faces: tf.Tensor, wanted: list[_Goal]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            answers = network(faces, training=True)
            # Of a face without votes the weight is 0: TensorFlow's gradient takes shares to sum to
            # 1.
            losses = tf.add_n(
                [by * weight * cross_entropy(q, answers[head]) for head, by, q, weight in wanted]
            )
            loss = optimizer.scale_loss(tf.reduce_mean(losses))
        return losses, answers[main], tape.gradient(loss, variables)

    return slopes


def _worst_nearby(
    radius: float,
    gradients: list[tf.Tensor],
    variables: list[Any],
    statistics: list[Any],
    slope: Callable[[], list[tf.Tensor]],
) -> list[tf.Tensor]:
    """The slope where the loss is worst nearby (by another dropout), for SAM.

    Then all is put back as it was: a slope that float16 could not hold would leave no number
    behind.
    """
    moved = [*variables, *statistics]
    kept = [tf.identity(tf.convert_to_tensor(weight)) for weight in moved]
    by = radius / (tf.linalg.global_norm(gradients) + 1e-12)
    for weight, gradient in zip(variables, gradients, strict=True):
        weight.assign_add(by * gradient)
    gradients = slope()
    for weight, value in zip(moved, kept, strict=True):
        weight.assign(value)
    return gradients


def _move_average(
    averaged: keras.Model, model: keras.Model, recipe: Recipe, done: tf.Tensor
) -> None:
    """Move the average after `done` steps towards the weights."""
    # Others begin with statistics of faces.
    young_norms = not recipe.backbone and not recipe.restore_batch_norm
    # A young average forgets faster, or short runs would be judged by their first weights.
    decay = tf.minimum(recipe.average_decay, (1 + done) / (1 + 1 / recipe.average_over + done))
    # Moving statistics begin at 0 and 1 and still hold this share of that, which is taken out (as
    # Adam does).
    begun = models.NORM_MOMENTUM**done
    for average, weight in zip(averaged.weights, model.weights, strict=True):
        value = tf.convert_to_tensor(weight)
        if young_norms and weight.name == "moving_mean":
            value = value / (1 - begun)
        elif young_norms and weight.name == "moving_variance":
            value = (value - begun) / (1 - begun)
        average.assign(average + (1 - decay) * (value - average))
