import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from sklearn.utils.class_weight import compute_class_weight

from archsearch.data.balance import balanced_accuracy, class_weights, imbalance

LABELS = np.array([0] * 10 + [1] * 5 + [2])


def test_weights_are_scikit_learns_balanced_ones():
    want = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    assert class_weights(LABELS, 3) == pytest.approx(want)
    assert np.mean(np.array(class_weights(LABELS, 3))[LABELS]) == pytest.approx(1)


def test_a_class_without_images_weighs_nothing():
    assert class_weights(np.array([0, 0, 2, 2]), 3) == pytest.approx((1.0, 0.0, 1.0))


def test_balanced_accuracy_is_scikit_learns():
    predicted = np.random.default_rng(0).integers(0, 3, size=len(LABELS))
    want = balanced_accuracy_score(LABELS, predicted)
    assert balanced_accuracy(LABELS, predicted) == pytest.approx(want)
    assert balanced_accuracy(LABELS, LABELS) == 1
    assert math.isnan(balanced_accuracy(LABELS[:0], LABELS[:0]))


def test_imbalance_is_largest_over_smallest():
    assert imbalance([10, 5, 0]) == 2
    assert imbalance([0]) == 1
