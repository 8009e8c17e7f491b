"""Random changes of a whole batch inside the graph: flip, turn, zoom, shift in one resample; light; an erased box."""

from __future__ import annotations

import math

import tensorflow as tf

from mien.data.dataset import SIDE
from mien.training.recipes import Recipe

CONTRAST = 0.3  # at `light` 1: by a factor of exp(-0.3) to exp(0.3)
BRIGHTNESS = 30.0  # at `light` 1: gray values to either side
BOX = (0.15, 0.4)  # height and width of the erased box, of the picture's side
BOX_GRAY = 60.0  # the box's gray differs from the picture's mean by at most so much
_NUM_RANDOM = 13


def augment(images: tf.Tensor, seed: tf.Tensor, recipe: Recipe, side: int = SIDE) -> tf.Tensor:
    """Change each face by its own random amounts, as large as the recipe says.

    Args:
        images: float32 (N, 48, 48, 1), 0..255.
        seed: int32 (2,); the same seed and batch give the same pictures (stateless random numbers).
        recipe: Its `turn`, `zoom`, `shift`, `light` and `erase`.
        side: Height and width of the answer.

    Returns:
        float32 (N, side, side, 1), 0..255, bilinear; what comes from outside repeats the edge.
    """
    r = tf.random.stateless_uniform((_NUM_RANDOM, tf.shape(images)[0]), seed, -1.0, 1.0)
    smallest, largest = recipe.zoom
    faces = _affine(
        images,
        turn=r[0] * math.radians(recipe.turn),
        zoom=tf.exp(tf.where(r[1] > 0, r[1] * math.log(largest), r[1] * -math.log(smallest))),
        flip=tf.where(r[2] > 0, 1.0, -1.0),
        dx=r[3] * recipe.shift * SIDE,
        dy=r[4] * recipe.shift * SIDE,
        side=side,
    )
    if recipe.light or recipe.erase:
        mean = tf.reduce_mean(faces, axis=(1, 2, 3), keepdims=True)
    if recipe.light:
        by = r[5:7, :, None, None, None] * recipe.light
        faces = tf.clip_by_value((faces - mean) * tf.exp(by[0] * CONTRAST) + mean + by[1] * BRIGHTNESS, 0.0, 255.0)
    if recipe.erase:
        box = _boxes(r[7:11], side) & ((r[11] + 1) / 2 < recipe.erase)[:, None, None, None]
        faces = tf.where(box, mean + r[12, :, None, None, None] * BOX_GRAY, faces)
    return faces


def resize(images: tf.Tensor, side: int) -> tf.Tensor:
    """Faces float32 (N, 48, 48, 1) at another side, sampled as `augment` samples."""
    if side == SIDE:
        return images
    one = tf.ones(tf.shape(images)[:1])
    return _affine(images, turn=0 * one, zoom=one, flip=one, dx=0 * one, dy=0 * one, side=side)


def _affine(
    images: tf.Tensor, *, turn: tf.Tensor, zoom: tf.Tensor, flip: tf.Tensor, dx: tf.Tensor, dy: tf.Tensor, side: int
) -> tf.Tensor:
    # Output pixel p is read at A (p - its centre) + the input's centre + shift: turn and zoom, mirrored in x.
    step = SIDE / side
    a, b = tf.cos(turn) / zoom * step, tf.sin(turn) / zoom * step
    centre, middle = (SIDE - 1) / 2, (side - 1) / 2
    zero = tf.zeros_like(a)
    rows = [
        a * flip, -b, centre - (a * flip - b) * middle + dx,
        b * flip, a, centre - (b * flip + a) * middle + dy,
        zero, zero,
    ]  # fmt: skip
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(rows, axis=1),  # (N, 8)
        output_shape=[side, side],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def _boxes(r: tf.Tensor, side: int) -> tf.Tensor:
    """bool (N, side, side, 1): a box in each picture, from random numbers (4, N) in -1..1."""
    share = (r + 1) / 2
    half = (BOX[0] + (BOX[1] - BOX[0]) * share[:2]) * side / 2  # (2, N): half its height, half its width
    middle = share[2:] * side
    places = tf.range(side, dtype=tf.float32)
    rows, columns = tf.unstack(tf.abs(places - middle[..., None]) < half[..., None])
    return (rows[:, :, None] & columns[:, None, :])[..., None]
