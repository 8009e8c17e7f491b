"""Faces a second in training: mien's step against Keras' `fit` with Keras' augmentation layers, same network.

    python benchmarks/train_speed.py --recipe small medium large

Both train on the same drawn faces with the same batch size and Adam, in turn, several times; the ratio is that of
the medians. The first epoch of each (tracing) is not counted.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from keras import layers

from mien.data.synth import drawn_dataset
from mien.training import augment, fit, models, recipes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", nargs="+", default=["small"], choices=list(recipes.RECIPES))
    parser.add_argument("--faces", type=int, default=1920)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    dataset = drawn_dataset(options.faces, 70, 70)
    training = dataset.part("training")
    for name in options.recipe:
        recipe = recipes.recipe(name)
        trainer = fit._Trainer(training, dataset.part("validation"), recipe)
        stock = stock_keras(recipe, len(dataset.label_set))
        faces = training.images.astype(np.float32)
        targets = keras.utils.to_categorical(training.labels, len(dataset.label_set))
        ours, theirs = [], []
        for turn in range(options.rounds + 1):
            began = time.perf_counter()
            for step in range(trainer.num_steps):
                index = np.arange(step * recipe.batch_size, min((step + 1) * recipe.batch_size, len(training)))
                loss, _ = trainer._step(index.astype(np.int32), np.array([turn, step], np.int32))
                float(loss)
            ours.append(len(training) / (time.perf_counter() - began))
            began = time.perf_counter()
            stock.fit(faces, targets, batch_size=recipe.batch_size, epochs=1, verbose=0)
            theirs.append(len(training) / (time.perf_counter() - began))
        ours_median, theirs_median = np.median(ours[1:]), np.median(theirs[1:])
        print(
            f"{name}: {models.multiply_adds(trainer.model) / 1e6:.1f} M multiply-adds; mien {ours_median:.0f} faces/s, "
            f"Keras fit with four augmentation layers {theirs_median:.0f} faces/s, "
            f"ratio {ours_median / theirs_median:.2f} "
            f"(n = {options.rounds} rounds of {len(training)} faces)",
            flush=True,
        )


def stock_keras(recipe: recipes.Recipe, num_classes: int) -> keras.Model:
    """The same convolutions as one writes them by habit: pooling last, a Keras layer for each augmentation."""
    x = faces = keras.Input((48, 48, 1))
    x = layers.RandomFlip("horizontal")(x)
    x = layers.RandomRotation(augment.TURN / (2 * np.pi))(x)
    x = layers.RandomZoom((augment.ZOOM[0] - 1, augment.ZOOM[1] - 1))(x)
    x = layers.RandomTranslation(augment.SHIFT, augment.SHIFT)(x)
    x = layers.Rescaling(1 / 255)(x)
    for filters in recipe.blocks:
        for width in filters:
            x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization()(x)
            x = layers.ReLU()(x)
        x = layers.MaxPooling2D()(x)
        x = layers.Dropout(recipe.block_dropout)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(recipe.dense, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.Dropout(recipe.dense_dropout)(x)
    model = keras.Model(faces, layers.Dense(num_classes, activation="softmax")(x))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


if __name__ == "__main__":
    main()
