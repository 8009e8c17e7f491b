from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mien.data.dataset import Dataset
from mien.training import augment
from mien.training.recipe import Recipe

STILL = Recipe(
    "still",
    ((4,),),
    dense=0,
    block_dropout=0.0,
    dense_dropout=0.0,
    max_epochs=1,
    turn=0.0,
    zoom=(1.0, 1.0),
    shift=0.0,
)
MOVED = dataclasses.replace(STILL, turn=12.0, zoom=(0.88, 1.14), shift=0.1)
SEED = tf.constant([0, 1])


def corrupted(
    batch: tf.Tensor, monkeypatch: pytest.MonkeyPatch, **strength: tuple[float, float]
) -> np.ndarray:
    """Every face, not mirrored, with the one change that is named and as strong as it says."""
    for name, none in (("BLUR", (0.05, 0.05)), ("NOISE", (0.0, 0.0)), ("QUALITY", (100.0, 100.0))):
        monkeypatch.setattr(augment, name, strength.get(name, none))
    return np.asarray(augment._corrupted(batch, SEED, 1.0, batch.shape[1]))[..., 0]


def test_erased_boxes_and_light(faces: Dataset) -> None:
    batch = tf.cast(faces.images[:64], tf.float32)
    kept = augment.augment(batch, SEED, STILL)
    erased = augment.corrupt(kept, SEED, dataclasses.replace(STILL, erase=0.5))
    np.testing.assert_allclose(
        np.sort(kept, axis=2), np.sort(batch, axis=2), atol=1e-3
    )  # at most mirrored
    changed = (np.abs(np.asarray(erased - kept)) > 0).mean(axis=(1, 2, 3))
    assert 16 < (changed > 0).sum() < 48 and changed.max() < 0.2  # boxes of at most 0.4 by 0.4
    lit = np.asarray(augment.augment(batch, SEED, dataclasses.replace(STILL, light=1.0)))
    assert (
        0 <= lit.min()
        and lit.max() <= 255
        and len(np.unique(np.round(lit.mean(axis=(1, 2, 3)), 2))) > 32
    )


def test_resize_reads_the_whole_face() -> None:
    ramp = np.tile(np.linspace(0, 255, 48, dtype=np.float32), (48, 1))[None, :, :, None]
    small = np.asarray(augment.resize(tf.constant(ramp), 32))[0, :, :, 0]
    assert (
        small.shape == (32, 32)
        and small[5, 0] < 5
        and small[5, -1] > 250
        and np.all(np.diff(small[5]) > 0)
    )
    assert augment.resize(ramp, 48) is ramp


def test_augmentation_is_a_function_of_its_seed(faces: Dataset) -> None:
    batch = tf.cast(faces.images[:32], tf.float32)
    one, again = augment.augment(batch, SEED, MOVED), augment.augment(batch, SEED, MOVED)
    other = augment.augment(batch, [0, 2], MOVED)
    np.testing.assert_array_equal(one, again)
    assert np.abs(np.asarray(one) - np.asarray(other)).mean() > 5
    assert one.shape == batch.shape
    assert float(tf.reduce_min(one)) >= 0 and float(tf.reduce_max(one)) <= 255


def test_augmentation_flips_half_and_moves_within_limits() -> None:
    """A bright dot left of the middle: it ends on either side alike, never farther than the limits
    allow.
    """
    batch = np.zeros((400, 48, 48, 1), np.float32)
    batch[:, 22:26, 10:14] = 255
    moved = np.asarray(augment.augment(tf.constant(batch), [3, 4], MOVED))[..., 0]
    x = (moved.sum(axis=1) * np.arange(48)).sum(axis=1) / moved.sum(axis=(1, 2))
    y = (moved.sum(axis=2) * np.arange(48)).sum(axis=1) / moved.sum(axis=(1, 2))
    assert 0.4 < np.mean(x < 23.5) < 0.6
    farthest = (
        MOVED.shift * 48 * MOVED.zoom[1] + 12 * MOVED.zoom[1] * np.sin(np.radians(MOVED.turn)) + 1
    )
    assert np.abs(y - 23.5).max() < farthest
    assert np.abs(y - 23.5).max() > farthest / 3


def test_corrupted_faces_are_blurred_noisy_and_squeezed(
    faces: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = tf.cast(faces.images[:64], tf.float32)
    pixels = np.asarray(batch)[..., 0]
    assert (
        np.abs(corrupted(batch, monkeypatch) - pixels).mean() < 0.5
    )  # quality 100 rounds to whole numbers
    noisy = corrupted(tf.fill((64, 48, 48, 1), 128.0), monkeypatch, NOISE=(10.0, 10.0))
    assert noisy.std() == pytest.approx(10, abs=0.3) and noisy.mean() == pytest.approx(128, abs=0.3)
    edge = np.zeros((1, 48, 48, 1), np.float32)
    edge[:, :, 24:] = 255
    soft = corrupted(tf.constant(edge), monkeypatch, BLUR=(1.5, 1.5))[0, 20]
    # The edge's slope is the blur's own bell: 255 / (1.5 sqrt(2 pi)) at its middle.
    assert soft[24] - soft[23] == pytest.approx(255 / (1.5 * np.sqrt(2 * np.pi)), rel=0.05)
    assert soft[0] < 1 and soft[-1] > 254 and np.all(np.diff(soft) > -1)


@pytest.mark.parametrize("quality", [10, 30, 75])
def test_squeezing_is_what_jpeg_does(
    faces: Dataset, monkeypatch: pytest.MonkeyPatch, quality: int
) -> None:
    batch = tf.cast(faces.images[:16], tf.float32)
    ours = corrupted(batch, monkeypatch, QUALITY=(quality, quality))
    for face, squeezed in zip(faces.images[:16], ours, strict=True):
        file = io.BytesIO()
        Image.fromarray(face[..., 0]).save(file, "JPEG", quality=quality)
        theirs = np.asarray(Image.open(file), np.float32)
        lost = np.abs(theirs - face[..., 0]).mean()
        assert np.abs(theirs - squeezed).mean() < 0.5 + lost / 6  # its decoder rounds once more


def test_so_large_a_share_is_corrupted_at_any_side(faces: Dataset) -> None:
    batch = tf.cast(faces.images[:200], tf.float32)
    for side in (48, 36):  # 36 is no multiple of JPEG's 8
        kept = np.asarray(augment.augment(batch, SEED, STILL, side))
        some = np.asarray(
            augment.corrupt(
                tf.constant(kept), SEED, dataclasses.replace(STILL, corruption=0.2), side
            )
        )
        assert some.shape == (200, side, side, 1) and 0 <= some.min() and some.max() <= 255
        changed = np.abs(some - kept).mean(axis=(1, 2, 3)) > 1e-3
        assert 0.35 < changed.mean() < 0.63  # 1 - 0.8 ** 3 = 0.49
    again = np.asarray(
        augment.corrupt(tf.constant(kept), SEED, dataclasses.replace(STILL, corruption=0.2), 36)
    )
    np.testing.assert_array_equal(some, again)


def test_mixed_faces_say_how_much_is_their_own() -> None:
    """The first half of the batch is black, the other white, so a face's mean tells what it is made
    of.
    """
    batch = np.zeros((400, 48, 48, 1), np.float32)
    batch[200:] = 255
    for changes in ({"mixup": 0.4}, {"cutmix": 0.4}, {"mixup": 0.3, "cutmix": 0.3}):
        faces, own = map(
            np.asarray, augment.mix(tf.constant(batch), SEED, dataclasses.replace(STILL, **changes))
        )
        means = faces.mean(axis=(1, 2, 3)) / 255
        np.testing.assert_allclose(np.where(np.arange(400) < 200, 1 - means, means), own, atol=1e-4)
        assert 0.5 <= own.min() + 0.02 and own.max() == 1
        assert np.mean(own < 1) == pytest.approx(sum(changes.values()), abs=0.08)
        flat = faces.std(axis=(1, 2, 3)) < 1e-3
        assert flat.all() == ("cutmix" not in changes)
    faces, own = augment.mix(tf.constant(batch), SEED, STILL)
    np.testing.assert_array_equal(faces, batch)
    assert (np.asarray(own) == 1).all()


def test_pasted_boxes_lie_anywhere() -> None:
    batch = np.zeros((600, 48, 48, 1), np.float32)
    batch[300:] = 1
    faces, _ = augment.mix(tf.constant(batch), SEED, dataclasses.replace(STILL, cutmix=1.0))
    covered = np.asarray(faces)[:300, ..., 0].mean(axis=0)
    assert np.mean(covered > 0) > 0.95 and covered[20:28, 20:28].mean() > 0.2
