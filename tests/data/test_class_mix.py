"""Accuracy in another mix of classes is what counting weighted rows gives."""

import numpy as np
import pytest

from mien.data.class_mix import class_counts, class_shares, row_weights, weighted_recall

LABELS = np.array([0, 0, 0, 1, 1, 2])
RIGHT = np.array([True, True, False, True, False, False])


def test_weighted_recall_is_the_accuracy_of_weighted_rows() -> None:
    shares = np.array([0.5, 0.4, 0.1])
    hits, counts = class_counts(LABELS, RIGHT, 3)
    np.testing.assert_array_equal(counts, [3, 2, 1])
    found = weighted_recall(hits, counts, shares)
    assert found == pytest.approx(0.5 * 2 / 3 + 0.4 * 1 / 2)
    assert found == pytest.approx(row_weights(LABELS, shares)[RIGHT].sum())
    assert weighted_recall(hits, counts, counts) == pytest.approx(RIGHT.mean())
    assert weighted_recall(hits, counts, 7 * shares) == pytest.approx(found)


def test_absent_classes_leave_their_weight_to_the_others() -> None:
    hits, counts = class_counts(LABELS[:5], RIGHT[:5], 3)
    found = weighted_recall(hits, counts, np.array([1.0, 1.0, 8.0]))
    assert found == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert np.isnan(weighted_recall(hits, counts, np.array([0.0, 0.0, 1.0])))
    both = weighted_recall(np.array([hits, [0, 0, 0]]), np.array([counts, [0, 0, 0]]), np.ones(3))
    assert both.shape == (2,) and np.isnan(both[1]) and not np.isnan(both[0])


def test_shares_and_weights_sum_to_one() -> None:
    shares = class_shares(LABELS, 4)
    np.testing.assert_allclose(shares, np.array([3, 2, 1, 0.5]) / 6.5)
    assert row_weights(LABELS, shares).sum() == pytest.approx(1)
