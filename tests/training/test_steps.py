"""The step of training, against the same sums done by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from mien.data.dataset import Dataset
from mien.training import models, optimizers
from mien.training.recipe import Recipe
from mien.training.steps import compiled
from mien.training.targets import make_targets

PLAIN = Recipe(
    "plain",
    ((4,), (8,)),
    dense=0,
    block_dropout=0.0,
    dense_dropout=0.0,
    max_epochs=1,
    augment=False,
    optimizer="sgd",
    label_smoothing=0.0,
)
RATE = 0.5


def stepping(
    faces: Dataset, recipe: Recipe, optimizer: keras.optimizers.Optimizer | None = None
) -> tuple[keras.Model, keras.Model, Callable[[int], None]]:
    """A network, its average, and what takes the step of a number, from 1, on all faces."""
    keras.utils.set_random_seed(0)
    training = faces.part("training")
    network, averaged = (models.build(recipe, training.label_set) for _ in range(2))
    averaged.set_weights(network.get_weights())
    optimizer = optimizer or keras.optimizers.SGD(RATE)
    optimizer.build(network.trainable_variables)
    goals = make_targets(training, recipe)
    variables = network.trainable_variables
    step = compiled(
        recipe,
        training=training,
        goals=goals,
        model=network,
        averaged=averaged,
        optimizer=optimizer,
        num_steps=1,
        side=48,
        variables=variables,
    )
    everything = np.arange(len(training), dtype=np.int32)[None]

    def take(number: int) -> None:
        step(everything, np.array([[0, number]], np.int32))

    return network, averaged, take


def learned(
    faces: Dataset, recipe: Recipe, optimizer: keras.optimizers.Optimizer | None = None
) -> tuple[list[np.ndarray], keras.Model]:
    """The weights before, and the network after, one step on all faces."""
    network, _, step = stepping(faces, recipe, optimizer)
    before = network.get_weights()
    step(1)
    return before, network


@pytest.mark.parametrize(
    ("over", "shares"),
    [
        (1.0, [2, 1, 1, 1, 1]),  # all alike, the first weights twice
        (0.5, [6, 6, 8, 10, 12]),  # each by its number
        (1 / 9, None),
    ],
)
def test_which_steps_the_average_is_of(
    faces: Dataset, over: float, shares: list[int] | None
) -> None:
    recipe = dataclasses.replace(PLAIN, average_decay=0.99999, average_over=over)
    network, averaged, step = stepping(faces, recipe)
    places = [[np.asarray(w) for w in network.trainable_variables]]
    for number in range(1, 5):
        step(number)
        places.append([np.asarray(w) for w in network.trainable_variables])
    if shares is None:  # what it was before it could be chosen
        mean = places[0]
        for n, place in enumerate(places[1:], 1):
            mean = [
                m + (1 - (1 + n) / (10 + n)) * (w - m) for m, w in zip(mean, place, strict=True)
            ]
    else:
        mean = [
            np.average(one, axis=0, weights=shares)
            for one in map(np.stack, zip(*places, strict=True))
        ]
    for ours, expected in zip(averaged.trainable_variables, mean, strict=True):
        np.testing.assert_allclose(np.asarray(ours), expected, atol=1e-5)
    assert (
        max(np.abs(a - b).max() for a, b in zip(mean, places[-1], strict=True)) > 1e-3
    )  # or it would prove nothing


def slopes(network: keras.Model, faces: Dataset) -> list[np.ndarray]:
    training = faces.part("training")
    logits = models.logits_of(network)
    with tf.GradientTape() as tape:
        answers = next(iter(logits(training.images.astype(np.float32), training=True).values()))
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(training.labels.astype(int), answers)
        )
    return [np.asarray(one) for one in tape.gradient(loss, network.trainable_variables)]


@pytest.mark.parametrize("sam_radius", [0.0, 0.05])
def test_a_step_goes_down_the_slope_of_the_worst_place_nearby(
    faces: Dataset, sam_radius: float
) -> None:
    recipe = dataclasses.replace(PLAIN, sam_radius=sam_radius)
    before, network = learned(faces, recipe)
    after = [np.asarray(weight) for weight in network.trainable_variables]
    by_hand = models.build(recipe, faces.label_set)
    by_hand.set_weights(before)
    start = [np.asarray(weight) for weight in by_hand.trainable_variables]
    here = slopes(by_hand, faces)
    length = np.sqrt(sum(np.sum(one**2) for one in here))
    for weight, value, slope in zip(by_hand.trainable_variables, start, here, strict=True):
        weight.assign(value + sam_radius * slope / length)
    there = slopes(by_hand, faces)
    for ours, value, slope in zip(after, start, there, strict=True):
        np.testing.assert_allclose(ours, value - RATE * slope, atol=1e-5)
    if sam_radius:
        assert (
            max(np.abs(a - b).max() for a, b in zip(here, there, strict=True)) > 1e-3
        )  # or it would prove nothing


def test_looking_nearby_leaves_the_norms_as_one_look_leaves_them(faces: Dataset) -> None:
    found = [learned(faces, dataclasses.replace(PLAIN, sam_radius=rho))[1] for rho in (0.0, 0.5)]
    for plain, sharp in zip(*(network.non_trainable_weights for network in found), strict=True):
        np.testing.assert_allclose(np.asarray(sharp), np.asarray(plain), atol=1e-5)


def test_adamw_shrinks_kernels_and_leaves_the_rest(faces: Dataset) -> None:
    decayed, plain = (
        dataclasses.replace(PLAIN, optimizer="adamw", weight_decay=by, learning_rate=0.1)
        for by in (0.5, 0.0)
    )
    moved = []
    for recipe in (decayed, plain):
        before, network = learned(faces, recipe, optimizers.optimizer(recipe, 1))
        moved.append({w.path: np.asarray(w) for w in network.trainable_variables})
    started = dict(
        zip(
            moved[0], [before[n] for n, w in enumerate(network.weights) if w.trainable], strict=True
        )
    )
    rate = float(optimizers.optimizer(decayed, 1).learning_rate)
    assert rate > 0.001
    for path, value in moved[0].items():
        shrunk = 0.5 * rate * started[path] if path.endswith("kernel") else 0 * value
        np.testing.assert_allclose(value, moved[1][path] - shrunk, atol=1e-5)
