"""Occlusion maps find the place that a made-up network looks at."""

import numpy as np
import pytest

from mien.errors import UsageError
from mien.vision.explain import occlusion_map, overlay


def looks_at_mouth(faces: np.ndarray) -> np.ndarray:
    """Probability of the first label is the brightness of rows 34 to 42, columns 16 to 32."""
    bright = faces[:, 34:42, 16:32, 0].mean(axis=(1, 2)) / 255
    return np.stack([bright, 1 - bright], axis=1)


def bright_mouth() -> np.ndarray:
    face = np.full((48, 48, 1), 40, np.uint8)
    face[34:42, 16:32] = 250
    return face


def test_the_place_that_counts_is_found() -> None:
    heat = occlusion_map(looks_at_mouth, bright_mouth(), 0)
    assert heat.shape == (48, 48) and heat.dtype == np.float32
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 32 <= row <= 44 and 14 <= column <= 34
    assert heat[:20].max() == pytest.approx(0, abs=1e-6)  # no patch there touches the mouth
    # The other label falls where this one rises.
    np.testing.assert_allclose(occlusion_map(looks_at_mouth, bright_mouth(), 1), -heat, atol=1e-6)


def test_overlay_colours_only_what_counts() -> None:
    face = bright_mouth()
    heat = occlusion_map(looks_at_mouth, face, 0)
    picture = overlay(face, heat, side=96)
    assert picture.shape == (96, 96, 3) and picture.dtype == np.uint8
    top, mouth = picture[10, 48].astype(int), picture[76, 48].astype(int)
    assert top.max() - top.min() == 0  # gray
    assert mouth[0] > mouth[2] + 40  # orange: more red than blue
    against = overlay(face, -heat, side=96)[76, 48].astype(int)
    assert against[2] > against[0]


def test_a_batch_is_refused() -> None:
    with pytest.raises(UsageError, match=r"uint8 \(48, 48, 1\)"):
        occlusion_map(looks_at_mouth, bright_mouth()[None], 0)
