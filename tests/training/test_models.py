from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_recipes import DOUBLE, TINY

from mien.labels import FER2013, FERPLUS
from mien.training import models, recipes, runs
from mien.training.layers import FusedBatchNorm


@pytest.mark.parametrize("name", ["small", "medium", "large"])
def test_networks_are_made_of_the_layers_of_the_report(name: str) -> None:
    model = models.build(recipes.recipe(name), FER2013)
    assert model.input_shape == (None, 48, 48, 1) and model.output_shape == (None, 7)
    kinds = {type(layer).__name__ for layer in model.layers}
    assert {"Conv2D", "MaxPooling2D", "Dropout", "Flatten", "Dense"} <= kinds
    faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 1), np.uint8)
    probabilities = runs.predict(model, faces)
    assert probabilities.shape == (3, 7) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_pixels_are_divided_by_255_inside_the_graph() -> None:
    model = models.build(TINY, FER2013)
    scaled = keras.Model(model.input, model.get_layer("scale").output)
    np.testing.assert_allclose(scaled(np.full((1, 48, 48, 1), 255.0)), 1.0)


def test_networks_grow_and_multiply_adds_are_counted() -> None:
    built = [models.build(recipes.recipe(name), FER2013) for name in ("small", "medium", "large")]
    counts = [models.multiply_adds(model) for model in built]
    assert counts == sorted(counts)
    by_hand = 48 * 48 * 9 * 4 + 24 * 24 * 9 * 4 * 8 + 12 * 12 * 8 * 16 + 16 * 7
    assert models.multiply_adds(models.build(TINY, FER2013)) == by_hand


def test_two_heads_over_one_trunk() -> None:
    model = models.build(DOUBLE, FER2013)
    assert "Flatten" not in {type(layer).__name__ for layer in model.layers}
    answers = runs.predict_heads(
        model, np.random.default_rng(0).integers(0, 256, (3, 48, 48, 1), np.uint8)
    )
    assert {name: p.shape for name, p in answers.items()} == {"fer2013": (3, 7), "votes": (3, 8)}
    assert models.heads(DOUBLE, FER2013) == {"fer2013": FER2013, "votes": FERPLUS}
    open_sided = models.build(DOUBLE, FER2013, any_side=True)
    assert runs.predict_heads(open_sided, np.zeros((2, 48, 48, 1), np.uint8), side=32)[
        "votes"
    ].shape == (2, 8)


def test_a_residual_network_adds_what_it_was_given() -> None:
    model = models.build(dataclasses.replace(DOUBLE, blocks=((4, 4), (8,)), residual=True), FER2013)
    model.get_layer("conv1_2").kernel.assign(np.zeros((3, 3, 4, 4), np.float32))
    before, after = (
        keras.Model(model.input, model.get_layer(name).output) for name in ("relu1_1", "add1_2")
    )
    faces = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1)).astype(np.float32)
    np.testing.assert_allclose(before(faces), after(faces), atol=1e-6)
    assert {"pool1", "add1_2"} <= {layer.name for layer in model.layers}


# Layers


@pytest.mark.parametrize(
    "shape", [(16, 6, 6, 8), (576, 8)]
)  # behind a convolution, behind a dense layer
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_fused_batch_norm_is_keras_batch_norm(policy: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(2, 3, shape).astype(np.float32)
    weights = [np.linspace(0.5, 2, 8), np.linspace(-1, 1, 8), np.zeros(8), np.ones(8)]
    answers, gradients, states, frozen = [], [], [], []
    for kind in (keras.layers.BatchNormalization, FusedBatchNorm):
        layer = kind(momentum=0.9, dtype=policy)
        layer.build(x.shape)
        layer.set_weights(weights)
        given = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(given)
            answer = layer(given, training=True)
            loss = tf.reduce_mean(tf.cast(answer, tf.float32) ** 3)
        answers.append(np.asarray(answer, np.float32))
        gradients.append(
            [
                np.asarray(g, np.float32)
                for g in tape.gradient(loss, [given, *layer.trainable_weights])
            ]
        )
        states.append(layer.get_weights())
        frozen.append(np.asarray(layer(x, training=False), np.float32))
    atol = 1e-4 if policy == "float32" else 0.05  # bfloat16 has 8 bits
    np.testing.assert_allclose(*answers, atol=atol)
    np.testing.assert_allclose(*frozen, atol=atol)
    for one, other in (*zip(*gradients, strict=True), *zip(*states, strict=True)):
        np.testing.assert_allclose(one, other, atol=atol, rtol=atol)


def test_a_saved_network_with_fused_batch_norm_loads_again(tmp_path: Path) -> None:
    model = models.build(DOUBLE, FER2013, policy="mixed_bfloat16")
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    faces = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1)).astype(np.float32)
    for name in ("fer2013", "votes"):
        np.testing.assert_array_equal(model(faces)[name], again(faces)[name])
