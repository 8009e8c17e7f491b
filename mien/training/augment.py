"""Augmentation of a whole batch inside the graph.

A training step calls, in this order: `augment` (flip, rotation, zoom and shift in one resampling,
then contrast and brightness), `mix` (mixup and CutMix), `corrupt` (blur, noise, JPEG, erased box).
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from mien.constants import FACE_SIDE
from mien.training.recipe import Recipe

CONTRAST = 0.3  # at `light` 1: by a factor of exp(-0.3) to exp(0.3)
BRIGHTNESS = 30.0  # at `light` 1: up to this many gray values up or down
BOX = (0.15, 0.4)  # smallest and largest height and width of the erased box, as shares of the side
BOX_GRAY = 60.0  # largest difference between the gray of the box and the mean of the face
BLUR = (0.3, 1.8)  # sigma in pixels of a face of 48 px
NOISE = (2.0, 20.0)  # sigma in gray values
QUALITY = (10.0, 80.0)  # of JPEG
_NUM_RANDOM = 13
# Added to the number of the step: each kind of change gets random numbers of its own.
_MIX, _CORRUPTION, _NOISE = 2**30, 2**29, 2**28
_BLOCK = 8  # side of JPEG's blocks
# JPEG's quantisation table for luminance at quality 50 (ITU-T T.81, table K.1).
_TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)


def augment(images: tf.Tensor, seed: tf.Tensor, recipe: Recipe, side: int = FACE_SIDE) -> tf.Tensor:
    """Flip, rotate, zoom, shift and relight each face by random amounts.

    Args:
        images: float32 (N, S, S, 1), 0..255.
        seed: int32 (2,); the same seed and batch give the same result (stateless random numbers).
        recipe: Its `turn`, `zoom`, `shift` and `light` set the ranges.
        side: Height and width of the result in pixels.

    Returns:
        float32 (N, side, side, 1), 0..255, bilinear; places outside the face repeat its edge.
    """
    r = tf.random.stateless_uniform((_NUM_RANDOM, tf.shape(images)[0]), seed, -1.0, 1.0)
    smallest, largest = recipe.zoom
    faces = _affine(
        images,
        turn=r[0] * math.radians(recipe.turn),
        zoom=tf.exp(tf.where(r[1] > 0, r[1] * math.log(largest), r[1] * -math.log(smallest))),
        flip=tf.where(r[2] > 0, 1.0, -1.0),
        dx=r[3] * recipe.shift * images.shape[1],
        dy=r[4] * recipe.shift * images.shape[1],
        side=side,
    )
    if recipe.light:
        mean = tf.reduce_mean(faces, axis=(1, 2, 3), keepdims=True)
        by = r[5:7, :, None, None, None] * recipe.light
        faces = tf.clip_by_value(
            (faces - mean) * tf.exp(by[0] * CONTRAST) + mean + by[1] * BRIGHTNESS, 0.0, 255.0
        )
    return faces


def corrupt(faces: tf.Tensor, seed: tf.Tensor, recipe: Recipe, side: int = FACE_SIDE) -> tf.Tensor:
    """Degrade faces as real pictures are: blur, noise and JPEG (`Recipe.corruption`), and an erased
    box (`Recipe.erase`).

    Args:
        faces: float32 (N, side, side, 1), 0..255.
        seed: int32 (2,).
        recipe: Its `corruption` and `erase` are shares of the faces.
        side: Height and width of the faces in pixels.

    Returns:
        float32 (N, side, side, 1); after an erased box a little outside 0..255.
    """
    if recipe.corruption:
        faces = _corrupted(faces, seed, recipe.corruption, side)
    if recipe.erase:
        r = tf.random.stateless_uniform((_NUM_RANDOM, tf.shape(faces)[0]), seed, -1.0, 1.0)
        mean = tf.reduce_mean(faces, axis=(1, 2, 3), keepdims=True)
        box = _boxes(r[7:11], side) & ((r[11] + 1) / 2 < recipe.erase)[:, None, None, None]
        faces = tf.where(box, mean + r[12, :, None, None, None] * BOX_GRAY, faces)
    return faces


def mix(
    faces: tf.Tensor, seed: tf.Tensor, recipe: Recipe, side: int = FACE_SIDE
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mix some faces with a partner: the face at the same place in the reversed batch.

    mixup blends two faces (Zhang et al. 2018, https://arxiv.org/abs/1710.09412), CutMix pastes a
    box of the partner into a face (Yun et al. 2019, https://arxiv.org/abs/1905.04899). Each face
    keeps at least half of itself.

    Args:
        faces: float32 (N, side, side, 1), in random order.
        seed: int32 (2,).
        recipe: Its `mixup` and `cutmix` are shares of the faces; their sum is at most 1.
        side: Height and width of the faces in pixels.

    Returns:
        The faces, and float32 (N,), the share of each that is its own, 0.5 to 1.
    """
    which, share, down, right = tf.unstack(
        tf.random.stateless_uniform((4, tf.shape(faces)[0]), seed + [0, _MIX])
    )
    partners, share = tf.reverse(faces, [0]), share / 2
    cut = which < recipe.cutmix
    blended = ~cut & (which < recipe.cutmix + recipe.mixup)
    length = tf.round(tf.sqrt(share) * side)
    places = tf.range(side, dtype=tf.float32)
    rows, columns = (
        (places >= at[:, None]) & (places < at[:, None] + length[:, None])
        for at in (tf.floor(start * (side - length + 1)) for start in (down, right))
    )
    box = (rows[:, :, None] & columns[:, None, :] & cut[:, None, None])[..., None]
    own = 1 - tf.where(blended, share, 0.0)[:, None, None, None]
    mixed = tf.where(box, partners, own * faces + (1 - own) * partners)
    return mixed, 1 - tf.where(cut, (length / side) ** 2, tf.where(blended, share, 0.0))


def _corrupted(faces: tf.Tensor, seed: tf.Tensor, share: float, side: int) -> tf.Tensor:
    """Blur, noise and JPEG, each applied to this share of the faces (N, side, side, 1)."""
    num = tf.shape(faces)[0]
    chance, amount = tf.unstack(tf.random.stateless_uniform((2, 3, num), seed + [0, _CORRUPTION]))
    pixels = faces[..., 0]

    def noisy(some: tf.Tensor, sigma: tf.Tensor, side: int) -> tf.Tensor:
        noise = tf.random.stateless_normal((tf.shape(some)[0], side, side), seed + [0, _NOISE])
        return tf.clip_by_value(some + sigma * noise, 0.0, 255.0)

    kinds = ((BLUR, _blurred), (NOISE, noisy), (QUALITY, _jpeg))
    for n, ((low, high), changed) in enumerate(kinds):
        rows = tf.where(chance[n] < share)  # (n, 1); only these faces are computed
        strength = low + (high - low) * tf.gather_nd(amount[n], rows)[:, None, None]
        some = changed(tf.gather_nd(pixels, rows), strength, side)
        pixels = tf.tensor_scatter_nd_update(pixels, rows, some)
    return tf.clip_by_value(pixels, 0.0, 255.0)[..., None]


def _blurred(pixels: tf.Tensor, sigma: tf.Tensor, side: int) -> tf.Tensor:
    """Faces (N, side, side) after a Gaussian blur; sigma (N, 1, 1) in pixels of a face of 48 px."""
    sigma = sigma * side / FACE_SIDE
    places = tf.range(side, dtype=tf.float32)
    kernel = tf.exp(-0.5 * ((places[:, None] - places) / sigma) ** 2)
    kernel /= tf.reduce_sum(kernel, axis=2, keepdims=True)
    return tf.matmul(tf.matmul(kernel, pixels), kernel, transpose_b=True)


def _jpeg(pixels: tf.Tensor, quality: tf.Tensor, side: int) -> tf.Tensor:
    """Faces (N, side, side) after JPEG compression at a quality (N, 1, 1) on libjpeg's scale."""
    n = np.arange(_BLOCK)
    cosine = np.cos((2 * n + 1) * n[:, None] * np.pi / (2 * _BLOCK)).astype(np.float32) / 2
    cosine[0] /= np.sqrt(2)
    whole = side - side % _BLOCK
    blocks = tf.reshape(
        pixels[:, :whole, :whole] - 128, (-1, whole // _BLOCK, _BLOCK, whole // _BLOCK, _BLOCK)
    )
    waves = tf.einsum("ia,nyaxb,jb->nyxij", cosine, blocks, cosine)
    scale = tf.where(quality < 50, 50 / quality, 2 - quality / 50)[..., None, None]
    steps = tf.clip_by_value(tf.round(scale * _TABLE), 1.0, 255.0)
    blocks = tf.einsum("ia,nyxij,jb->nyaxb", cosine, tf.round(waves / steps) * steps, cosine)
    rounded = tf.reshape(blocks, (-1, whole, whole)) + 128
    # The last rows and columns of a side that is not a multiple of 8 stay as they are.
    rounded = tf.concat([rounded, pixels[:, :whole, whole:]], axis=2)
    return tf.concat([rounded, pixels[:, whole:]], axis=1)


def resize(images: tf.Tensor, side: int) -> tf.Tensor:
    """Faces, float32 (N, S, S, 1), resampled to another side as `augment` does it."""
    if side == images.shape[1]:
        return images
    one = tf.ones(tf.shape(images)[:1])
    return _affine(images, turn=0 * one, zoom=one, flip=one, dx=0 * one, dy=0 * one, side=side)


def _affine(
    images: tf.Tensor,
    *,
    turn: tf.Tensor,
    zoom: tf.Tensor,
    flip: tf.Tensor,
    dx: tf.Tensor,
    dy: tf.Tensor,
    side: int,
) -> tf.Tensor:
    """Rotate, zoom, flip and shift faces (N, S, S, 1) in one bilinear resampling.

    Output pixel p is read at A (p - output centre) + input centre + shift, where A turns, scales
    and mirrors.
    """
    before = images.shape[1]
    step = before / side
    a, b = tf.cos(turn) / zoom * step, tf.sin(turn) / zoom * step
    centre, middle = (before - 1) / 2, (side - 1) / 2
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
    """bool (N, side, side, 1): a box in each face, from random numbers (4, N) in -1..1."""
    share = (r + 1) / 2
    half = (BOX[0] + (BOX[1] - BOX[0]) * share[:2]) * side / 2  # (2, N): half height, half width
    middle = share[2:] * side
    places = tf.range(side, dtype=tf.float32)
    rows, columns = tf.unstack(tf.abs(places - middle[..., None]) < half[..., None])
    return (rows[:, :, None] & columns[:, None, :])[..., None]
