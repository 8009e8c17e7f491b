"""Faces a second in training: mien's step against stock Keras `fit` and plain PyTorch, same
convolutions and batch.

    python benchmarks/train_speed.py --recipe champion
    python benchmarks/train_speed.py --recipe small medium large

In turn, several rounds in one run; ratios are those of the medians, and the first round (tracing)
is not counted.

mien      its own training step: augmentation, both heads if the recipe has them, moving average,
          the precision that it chooses on this machine; at each side of the recipe's stages
keras     `fit` in float32 with `keras.layers.BatchNormalization`, pooling last, no augmentation
keras+    the same with Keras' four augmentation layers, as one writes it by habit
torch     plain PyTorch, channels last, bfloat16 autocast, no augmentation; left out where torch is
          not installed
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import harness
import keras
import numpy as np
import tensorflow as tf
from keras import layers

from mien.data.dataset import Dataset
from mien.data.synthetic import drawn_dataset
from mien.labels import FERPLUS_VOTES
from mien.runtime import cores, processor
from mien.training import models, recipes, trainer
from mien.training.augment import augment, corrupt
from mien.training.recipe import Recipe
from mien.training.trainer import Trainer

Round = Callable[[], object]  # trains once on all faces


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--recipe", nargs="+", default=["champion"], choices=list(recipes.RECIPES))
    parser.add_argument("--faces", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--parts", action="store_true", help="where mien's step spends its time, instead"
    )
    options = parser.parse_args()
    dataset = with_votes(drawn_dataset(options.faces, 70, 70))
    training = dataset.part("training")
    print(f"{processor()}, {cores()} cores; {options.rounds} rounds of {len(training)} drawn faces")
    for name in options.recipe:
        recipe = recipes.recipe(name)
        if options.parts:
            parts(training, dataset.part("validation"), recipe, options.rounds)
            continue
        rounds: dict[str, Round] = {}
        for side in sorted({side for _, side in recipe.stages}, reverse=True):
            rounds[f"mien {side} px"] = ours(training, dataset.part("validation"), recipe, side)
        rounds["keras"] = stock_keras(training, recipe, augmented=False)
        rounds["keras+"] = stock_keras(training, recipe, augmented=True)
        try:
            rounds["torch"] = plain_torch(training, recipe)
        except ImportError:
            print("torch is not installed: left out")
        seconds = {key: list[float]() for key in rounds}
        for _ in range(options.rounds + 1):
            for key, train in rounds.items():
                began = time.perf_counter()
                train()
                seconds[key].append(time.perf_counter() - began)
        speed = {key: len(training) / float(np.median(times[1:])) for key, times in seconds.items()}
        madds = models.multiply_adds(models.build(recipe, dataset.label_set)) / 1e6
        print(
            f"{name}: {madds:.0f} M multiply-adds, batch {recipe.batch_size}, "
            f"{trainer.precision(recipe)}; faces/s: "
            + ", ".join(f"{key} {value:.0f}" for key, value in speed.items())
        )
        for key in speed:
            if not key.startswith("mien"):
                ratios = [
                    f"{mine} {speed[mine] / speed[key]:.2f}"
                    for mine in speed
                    if mine.startswith("mien")
                ]
                print(f"  times {key}: {', '.join(ratios)}", flush=True)


def parts(training: Dataset, validation: Dataset, recipe: Recipe, num_rounds: int) -> None:
    """Seconds of a step, and of ever larger parts of it."""
    trainer = Trainer(training, validation, recipe)
    network = models.logits_of(trainer.model)
    images = tf.constant(training.images[: recipe.batch_size])
    whole = trainer._compile(48, trainer.model.trainable_variables, mixing=False)
    indices = np.arange(recipe.batch_size, dtype=np.int32)[None]

    def changed(seed: tf.Tensor) -> tf.Tensor:
        return corrupt(augment(tf.cast(images, tf.float32), seed, recipe), seed, recipe)

    def loss(seed: tf.Tensor) -> tf.Tensor:
        return tf.add_n(
            [tf.reduce_mean(x**2) for x in network(changed(seed), training=True).values()]
        )

    @tf.function
    def augmented(seed: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(changed(seed))

    @tf.function
    def forward(seed: tf.Tensor) -> tf.Tensor:
        return loss(seed)

    @tf.function
    def backward(seed: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = loss(seed)
        gradients = tape.gradient(value, trainer.model.trainable_variables)
        return value + tf.add_n([tf.reduce_sum(tf.cast(g, tf.float32)) for g in gradients])

    steps: dict[str, Callable[[np.ndarray], Any]] = {
        "augmentation": augmented,
        "and forward": forward,
        "and backward": backward,
        "the whole step": lambda seed: whole(indices, seed[None])[0],
    }
    seconds = {key: list[float]() for key in steps}
    for turn in range(5 * num_rounds + 1):
        for key, step in steps.items():
            began = time.perf_counter()
            float(step(np.array([0, trainer.num_steps + turn], np.int32)))
            seconds[key].append(time.perf_counter() - began)
    whole_s = float(np.median(seconds["the whole step"][1:]))
    print(f"{recipe.name}, batch {recipe.batch_size}, 48 px, n = {5 * num_rounds} steps, medians:")
    for key, times in seconds.items():
        value = float(np.median(times[1:]))
        print(f"  {key:15} {1000 * value:6.0f} ms, {value / whole_s:.2f} of the step")


def with_votes(dataset: Dataset) -> Dataset:
    """The drawn faces with ten votes each for their label, so that both heads are trained."""
    import dataclasses

    votes = np.zeros((len(dataset), len(FERPLUS_VOTES)), np.uint8)
    votes[
        np.arange(len(dataset)),
        [FERPLUS_VOTES.index(dataset.label_set[label]) for label in dataset.labels],
    ] = 10
    return dataclasses.replace(dataset, votes=votes)


def ours(training: Dataset, validation: Dataset, recipe: Recipe, side: int) -> Round:
    trainer = Trainer(training, validation, recipe)
    take_steps = trainer._compile(side, trainer.model.trainable_variables, mixing=False)
    rows = np.arange(len(training), dtype=np.int32)
    count = iter(range(trainer.num_steps, 10**9))

    def train() -> None:
        for _, indices in trainer._calls(rows, recipe.batch_size):
            loss, _ = take_steps(indices, np.array([[0, next(count)] for _ in indices], np.int32))
            float(loss)

    return train


def stock_keras(training: Dataset, recipe: Recipe, *, augmented: bool) -> Round:
    x = faces = keras.Input((48, 48, 1))
    if augmented:
        x = layers.RandomFlip("horizontal")(x)
        x = layers.RandomRotation(recipe.turn / 360)(x)
        x = layers.RandomZoom((recipe.zoom[0] - 1, recipe.zoom[1] - 1))(x)
        x = layers.RandomTranslation(recipe.shift, recipe.shift)(x)
    x = layers.Rescaling(1 / 255)(x)
    for b, filters in enumerate(recipe.blocks, 1):
        for width in filters:
            x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization()(x)
            x = layers.ReLU()(x)
        if b < len(recipe.blocks) or recipe.dense:
            x = layers.MaxPooling2D()(x)
        if recipe.block_dropout:
            x = layers.Dropout(recipe.block_dropout)(x)
    if recipe.dense:
        x = layers.Flatten()(x)
        x = layers.Dense(recipe.dense, use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    else:
        x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(recipe.dense_dropout)(x)
    model = keras.Model(faces, layers.Dense(len(training.label_set), activation="softmax")(x))
    sgd = recipe.optimizer == "sgd"
    optimizer = (
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True) if sgd else keras.optimizers.Adam()
    )
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    images = training.images.astype(np.float32)
    targets = keras.utils.to_categorical(training.labels, len(training.label_set))
    return lambda: model.fit(images, targets, batch_size=recipe.batch_size, epochs=1, verbose=0)


def plain_torch(training: Dataset, recipe: Recipe) -> Round:
    import torch
    from torch import nn

    torch.set_num_threads(cores())
    parts: list[Any] = []
    before, side = 1, 48
    for b, filters in enumerate(recipe.blocks, 1):
        for width in filters:
            parts += [
                nn.Conv2d(before, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            before = width
        if b < len(recipe.blocks) or recipe.dense:
            parts.append(nn.MaxPool2d(2))
            side //= 2
    if recipe.dense:
        parts += [nn.Flatten(), nn.Linear(before * side * side, recipe.dense, bias=False)]
        parts += [nn.BatchNorm1d(recipe.dense), nn.ReLU()]
        before = recipe.dense
    else:
        parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(
        *parts, nn.Dropout(recipe.dense_dropout), nn.Linear(before, len(training.label_set))
    )
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    images = torch.from_numpy(training.images.transpose(0, 3, 1, 2).copy()).float() / 255
    labels = torch.from_numpy(training.labels)

    def train() -> None:
        for start in range(0, len(training), recipe.batch_size):
            batch = images[start : start + recipe.batch_size].to(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                answers = network(batch)
            loss = nn.functional.cross_entropy(
                answers.float(), labels[start : start + recipe.batch_size]
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return train


if __name__ == "__main__":
    main()
