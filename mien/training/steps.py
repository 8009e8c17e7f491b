"""The step of training as a graph: faces are changed, teachers asked, weights and their average
moved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from mien.constants import FACE_SIDE
from mien.data.dataset import Dataset
from mien.labels import VOTES_HEAD
from mien.training import models
from mien.training.augment import augment, corrupt, mix, resize
from mien.training.recipes import Recipe
from mien.training.targets import Targets, mixed, taught


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
    side: int = FACE_SIDE,
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
    images = tf.constant(
        training.images
    )  # uint8: 2,304 bytes a face, the whole set stays in memory
    labels = tf.constant(training.labels)
    targets, weights = tf.constant(goals.labels), tf.constant(goals.weights)
    shares = None if goals.shares is None else tf.constant(goals.shares)
    share_weights = tf.constant(goals.share_weights)
    cross_entropy = tf.nn.softmax_cross_entropy_with_logits
    in_slope = (
        recipe.weight_decay if recipe.optimizer != "adamw" else 0.0
    )  # AdamW itself takes it from the weights
    decays = [in_slope * (weight.name == "kernel") for weight in variables]
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    young_norms = (
        not recipe.backbone and not recipe.restore_batch_norm
    )  # others begin with statistics of faces
    statistics = model.non_trainable_weights

    def step(index: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        faces = tf.cast(tf.gather(images, index), tf.float32)
        faces = augment(faces, seed, recipe, side) if recipe.augment else resize(faces, side)
        wanted = [(main, 1.0, tf.gather(targets, index), tf.gather(weights, index))]
        if shares is not None:
            voted = tf.gather(shares, index), tf.gather(share_weights, index)
            wanted.append((VOTES_HEAD, recipe.votes_weight, *voted))
        if mixing:
            faces, own = mix(faces, seed, recipe, side)
            wanted = [(head, by, *mixed(q, weight, own)) for head, by, q, weight in wanted]
        if teachers:
            said = [teacher(faces, training=False) for teacher in teachers]
            told = {
                head: tf.add_n([tf.nn.softmax(one[head]) for one in said]) / len(said)
                for head, *_ in wanted
            }
            wanted = [
                (head, by, *taught(q, weight, told[head], recipe.teacher_weight))
                for head, by, q, weight in wanted
            ]
        if recipe.augment:
            faces = corrupt(faces, seed, recipe, side)

        def slopes() -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
            with tf.GradientTape() as tape:
                answers = network(faces, training=True)
                # Of a face without votes the weight is 0: TensorFlow's gradient takes shares to sum
                # to 1.
                losses = tf.add_n(
                    [
                        by * weight * cross_entropy(q, answers[head])
                        for head, by, q, weight in wanted
                    ]
                )
                loss = optimizer.scale_loss(tf.reduce_mean(losses))
            return losses, answers[main], tape.gradient(loss, variables)

        losses, logits, gradients = slopes()
        if recipe.sam_radius:
            # The slope is taken where the loss is worst nearby (by another dropout). Then all is
            # put back as it was: a slope that float16 could not hold would leave no number behind.
            moved = [*variables, *statistics]
            kept = [tf.identity(tf.convert_to_tensor(weight)) for weight in moved]
            by = recipe.sam_radius / (tf.linalg.global_norm(gradients) + 1e-12)
            for weight, gradient in zip(variables, gradients, strict=True):
                weight.assign_add(by * gradient)
            *_, gradients = slopes()
            for weight, value in zip(moved, kept, strict=True):
                weight.assign(value)
        if in_slope:
            scale = optimizer.dynamic_scale if scaled else 1.0  # the optimizer divides by it
            decayed = zip(gradients, decays, variables, strict=True)
            gradients = [
                g + scale * decay * tf.convert_to_tensor(w) if decay else g
                for g, decay, w in decayed
            ]
        optimizer.apply(gradients, variables)
        # Counted by the seed: the optimizer does not count steps that float16 could not hold.
        done = tf.cast(seed[1] - num_steps + 1, tf.float32)
        # A young average forgets faster, or short runs would be judged by their first weights.
        decay = tf.minimum(recipe.average_decay, (1 + done) / (1 + 1 / recipe.average_over + done))
        # Moving statistics begin at 0 and 1 and still hold this share of that, which is taken out
        # (as Adam does).
        begun = models.NORM_MOMENTUM**done
        for average, weight in zip(averaged.weights, model.weights, strict=True):
            value = tf.convert_to_tensor(weight)
            if young_norms and weight.name == "moving_mean":
                value = value / (1 - begun)
            elif young_norms and weight.name == "moving_variance":
                value = (value - begun) / (1 - begun)
            average.assign(average + (1 - decay) * (value - average))
        hits = tf.argmax(logits, axis=1) == tf.gather(labels, index)
        # In float64, so that it does not matter how many steps a call takes.
        return tf.cast(tf.reduce_sum(losses), tf.float64), tf.reduce_sum(tf.cast(hits, tf.float64))

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
