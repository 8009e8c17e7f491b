"""Occlusion maps find the place that a made-up network looks at."""

import numpy as np
import pytest

from mien.errors import UsageError
from mien.vision.contact_sheet import explanation_sheet
from mien.vision.explain import FAINT_LOG_ODDS, log_odds, occlusion_map, overlay


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


def nearly_certain(faces: np.ndarray) -> np.ndarray:
    """As `looks_at_mouth`, but never below 99.9 %."""
    rest = np.exp(-8 - 8 * looks_at_mouth(faces)[:, 0])
    return np.stack([1 / (1 + rest), rest / (1 + rest)], axis=1).astype(np.float32)


def test_a_map_near_100_percent_shows_what_counts() -> None:
    face = bright_mouth()
    falls = occlusion_map(nearly_certain, face, 0)
    assert np.abs(falls).max() < 1e-3  # the probability hardly moves, whatever is blurred
    heat = occlusion_map(lambda faces: log_odds(nearly_certain(faces)), face, 0)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert heat.max() > 0.5 and 32 <= row <= 44 and 14 <= column <= 34
    coloured = np.ptp(overlay(face, heat, side=96, faint=FAINT_LOG_ODDS).astype(int), axis=2)
    assert coloured[76, 48] > 40 and coloured[10, 48] == 0
    gray = overlay(face, falls, side=96).astype(int)
    assert np.ptp(gray, axis=2).max() == 0  # the map of the probability is empty
    sheet = explanation_sheet(face, heat, "happy 100%")
    assert np.ptp(sheet[155:170, 300:316].astype(int), axis=2).max() > 40


def test_log_odds_of_probabilities() -> None:
    odds = log_odds(np.array([[0.8, 0.1, 0.1], [1.0, 0.0, 0.0], [1.0, 1e-7, 0.0]], np.float32))
    assert odds.shape == (3, 3) and np.isfinite(odds).all()
    np.testing.assert_allclose(odds[0], np.log([4, 1 / 9, 1 / 9]), rtol=1e-6)
    np.testing.assert_allclose(odds[2, 0], -np.log(1e-7 + 1e-9), rtol=1e-6)


def test_a_batch_is_refused() -> None:
    with pytest.raises(UsageError, match=r"uint8 \(48, 48, 1\)"):
        occlusion_map(looks_at_mouth, bright_mouth()[None], 0)
