"""Random flips, turns, zooms and shifts of a whole batch, in one resample inside the graph."""

from __future__ import annotations

import math

import tensorflow as tf

from mien.data.dataset import SIDE

TURN = math.radians(12)  # to either side
ZOOM = (0.88, 1.14)
SHIFT = 0.1  # of the picture's side, in each direction


def random_affine(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Flip half of the faces, and turn, zoom and shift each by its own random amount.

    Args:
        images: float32 (N, 48, 48, 1).
        seed: int32 (2,); the same seed and batch give the same pictures (stateless random numbers).

    Returns:
        float32 (N, 48, 48, 1), bilinear; what comes from outside repeats the edge.
    """
    n = tf.shape(images)[0]
    r = tf.random.stateless_uniform((5, n), seed, -1.0, 1.0)
    angle = r[0] * TURN
    zoom = tf.exp(tf.where(r[1] > 0, r[1] * math.log(ZOOM[1]), r[1] * -math.log(ZOOM[0])))
    flip = tf.where(r[2] > 0, 1.0, -1.0)
    centre = (SIDE - 1) / 2
    # Output pixel (x, y) is read at A (x - c) + c + shift: turn and zoom about the centre, mirrored in x.
    a, b = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    dx, dy = r[3] * SHIFT * SIDE, r[4] * SHIFT * SIDE
    zero = tf.zeros_like(a)
    rows = [
        a * flip, -b, centre - (a * flip - b) * centre + dx,
        b * flip, a, centre - (b * flip + a) * centre + dy,
        zero, zero,
    ]  # fmt: skip
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(rows, axis=1),  # (N, 8)
        output_shape=[SIDE, SIDE],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
