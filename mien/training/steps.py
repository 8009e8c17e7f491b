"""A training step as a TensorFlow graph: augment, run the teachers, update weights and average."""

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
from mien.training.targets import Targets, distilled, mixed

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
    """Compile a function that runs several training steps in one call.

    Args:
        recipe: How to train.
        training: The training rows.
        goals: Their targets.
        model: The network to train, built from `recipe`.
        averaged: The moving average of its weights, float32.
        optimizer: Built for `variables`.
        teachers: Networks of `targets.teacher_network`.
        num_steps: Steps in an epoch.
        side: Side in pixels at which the network sees the faces.
        mixing: Whether to mix faces (`augment.mix`).
        variables: The weights to train.

    Returns:
        A function of row numbers int32 (steps, batch) and seeds int32 (steps, 2). The second column
        of the seeds is the number of the step, where the first epoch starts at `num_steps`. It
        returns the sum of the losses and the number of correct predictions, float64 scalars.
    """
    network = models.logits_of(model)
    main = next(iter(models.heads(recipe, training.label_set)))
    # The whole set stays in memory as uint8: 2,304 or 9,216 bytes a face.
    images, labels = tf.constant(training.images), tf.constant(training.labels)
    constants = _Goals(main, goals)
    loss_and_gradients = _loss_and_gradients(network, optimizer, variables, main)
    # AdamW applies the weight decay itself.
    weight_decay = recipe.weight_decay if recipe.optimizer != "adamw" else 0.0
    decays = [weight_decay * (weight.name == "kernel") for weight in variables]
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)

    def step(index: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        faces = tf.cast(tf.gather(images, index), tf.float32)
        faces = augment(faces, seed, recipe, side) if recipe.augment else resize(faces, side)
        targets = constants.of(index, recipe)
        if mixing:
            faces, own = mix(faces, seed, recipe, side)
            targets = [(head, by, *mixed(q, weight, own)) for head, by, q, weight in targets]
        if teachers:
            targets = _distilled(targets, teachers, faces, recipe)
        if recipe.augment:
            faces = corrupt(faces, seed, recipe, side)
        losses, logits, gradients = loss_and_gradients(faces, targets)
        if recipe.sam_radius:
            gradients = _sam_gradients(
                recipe.sam_radius,
                gradients,
                variables,
                model.non_trainable_weights,
                lambda: loss_and_gradients(faces, targets)[2],
            )
        if weight_decay:
            scale = optimizer.dynamic_scale if scaled else 1.0  # the optimizer divides by it
            decayed = zip(gradients, decays, variables, strict=True)
            gradients = [
                g + scale * decay * tf.convert_to_tensor(w) if decay else g
                for g, decay, w in decayed
            ]
        optimizer.apply(gradients, variables)
        # Counted by the seed: the optimizer skips steps whose gradients overflowed float16.
        _move_average(averaged, model, recipe, tf.cast(seed[1] - num_steps + 1, tf.float32))
        hits = tf.argmax(logits, axis=1) == tf.gather(labels, index)
        # float64, so that the sums do not depend on the number of steps in a call.
        return tf.cast(tf.reduce_sum(losses), tf.float64), tf.reduce_sum(tf.cast(hits, tf.float64))

    return _several(step)


def _several(
    step: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """Compile a loop that takes a step for each row of indices and sums up what they return."""

    def steps(indices: tf.Tensor, seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def body(
            n: tf.Tensor, loss: tf.Tensor, hits: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            step_loss, step_hits = step(indices[n], seeds[n])
            return n + 1, loss + step_loss, hits + step_hits

        num = tf.shape(indices)[0]
        zero = tf.zeros((), tf.float64)
        _, loss, hits = tf.while_loop(
            lambda n, *_: n < num, body, (0, zero, zero), parallel_iterations=1
        )
        return loss, hits

    signature = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, 2], tf.int32)]
    return tf.function(steps, input_signature=signature)  # type: ignore[no-any-return]


class _Goals:
    """The targets of all training rows as constants of the graph."""

    def __init__(self, main: str, goals: Targets) -> None:
        self._main = main
        self._labels, self._weights = tf.constant(goals.labels), tf.constant(goals.weights)
        self._shares = None if goals.shares is None else tf.constant(goals.shares)
        self._share_weights = tf.constant(goals.share_weights)

    def of(self, index: tf.Tensor, recipe: Recipe) -> list[_Goal]:
        """The goal of each head for the rows of a batch."""
        goals = [(self._main, 1.0, tf.gather(self._labels, index), tf.gather(self._weights, index))]
        if self._shares is not None:
            votes = tf.gather(self._shares, index), tf.gather(self._share_weights, index)
            goals.append((VOTES_HEAD, recipe.votes_weight, *votes))
        return goals


def _distilled(
    goals: list[_Goal], teachers: Sequence[keras.Model], faces: tf.Tensor, recipe: Recipe
) -> list[_Goal]:
    """Goals mixed with the teachers' mean predictions for the same faces."""
    outputs = [teacher(faces, training=False) for teacher in teachers]
    means = {
        head: tf.add_n([tf.nn.softmax(logits[head]) for logits in outputs]) / len(outputs)
        for head, *_ in goals
    }
    return [
        (head, by, *distilled(q, weight, means[head], recipe.teacher_weight))
        for head, by, q, weight in goals
    ]


def _loss_and_gradients(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    variables: list[Any],
    main: str,
) -> Callable[[tf.Tensor, list[_Goal]], tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]]:
    """A function that computes the loss of each face (N,), the logits of the main head (N, K), and
    the gradients of the mean loss.
    """
    cross_entropy = tf.nn.softmax_cross_entropy_with_logits

    def loss_and_gradients(
        faces: tf.Tensor, goals: list[_Goal]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            logits = network(faces, training=True)
            # A face without votes has the weight 0, since its shares sum to 0 and TensorFlow's
            # gradient is right only for a sum of 1.
            losses = tf.add_n(
                [by * weight * cross_entropy(q, logits[head]) for head, by, q, weight in goals]
            )
            loss = optimizer.scale_loss(tf.reduce_mean(losses))
        return losses, logits[main], tape.gradient(loss, variables)

    return loss_and_gradients


def _sam_gradients(
    radius: float,
    gradients: list[tf.Tensor],
    variables: list[Any],
    statistics: list[Any],
    gradients_here: Callable[[], list[tf.Tensor]],
) -> list[tf.Tensor]:
    """The gradients at the weights `radius` uphill, for SAM (with another dropout mask).

    Weights and moving statistics are then restored from copies. Subtracting the step would not do:
    gradients that overflowed float16 would leave NaN behind.
    """
    changed = [*variables, *statistics]
    saved = [tf.identity(tf.convert_to_tensor(weight)) for weight in changed]
    by = radius / (tf.linalg.global_norm(gradients) + 1e-12)
    for weight, gradient in zip(variables, gradients, strict=True):
        weight.assign_add(by * gradient)
    gradients = gradients_here()
    for weight, value in zip(changed, saved, strict=True):
        weight.assign(value)
    return gradients


def _move_average(
    averaged: keras.Model, model: keras.Model, recipe: Recipe, done: tf.Tensor
) -> None:
    """Move the average of the weights after `done` steps."""
    # Batch norms restored from trained weights already start with the statistics of faces.
    unbiased = not recipe.backbone and not recipe.restore_batch_norm
    # The decay starts low: otherwise the average of a short run would mostly hold initial weights.
    decay = tf.minimum(recipe.average_decay, (1 + done) / (1 + 1 / recipe.average_over + done))
    # Moving means and variances start at 0 and 1. This share of those values is still in them, and
    # is removed, as Adam corrects the bias of its moments.
    initial = models.NORM_MOMENTUM**done
    for average, weight in zip(averaged.weights, model.weights, strict=True):
        value = tf.convert_to_tensor(weight)
        if unbiased and weight.name == "moving_mean":
            value = value / (1 - initial)
        elif unbiased and weight.name == "moving_variance":
            value = (value - initial) / (1 - initial)
        average.assign(average + (1 - decay) * (value - average))
