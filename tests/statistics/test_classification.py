"""Held against scikit-learn and SciPy, and calibration against numbers worked out by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from archsearch.statistics.classification import classification, wilson

CLASSES = ("a", "b", "c", "d")


def example(n=500):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, n)
    logits = rng.normal(size=(n, 4))
    logits[np.arange(n), labels] += 1
    powers = np.exp(logits)
    return labels, powers / powers.sum(axis=1, keepdims=True)


def test_scores_are_those_of_scikit_learn():
    labels, probabilities = example()
    answers = probabilities.argmax(axis=1)
    found = classification(labels, probabilities, CLASSES)
    assert found.accuracy == metrics.accuracy_score(labels, answers)
    assert found.balanced_accuracy == pytest.approx(
        metrics.balanced_accuracy_score(labels, answers)
    )
    assert np.array_equal(found.confusion, metrics.confusion_matrix(labels, answers))
    precision, recall, f1, images = metrics.precision_recall_fscore_support(labels, answers)
    for n, score in enumerate(found.classes):
        assert (score.images, score.name) == (images[n], CLASSES[n])
        assert (score.precision, score.recall) == pytest.approx((precision[n], recall[n]))
        assert score.f1 == pytest.approx(f1[n])
    assert found.calibration.nll == pytest.approx(metrics.log_loss(labels, probabilities))
    one_hot = np.eye(4)[labels]
    brier = metrics.mean_squared_error(one_hot, probabilities) * 4
    assert found.calibration.brier == pytest.approx(brier)


def test_calibration_is_the_mean_distance_of_confidence_from_accuracy():
    # Guo et al. 2017, equation 3: nine of ten right at 0.8, four of ten right at 0.6.
    probabilities = np.array([[0.8, 0.2]] * 10 + [[0.6, 0.4]] * 10)
    labels = np.array([0] * 9 + [1] + [0] * 4 + [1] * 6)
    found = classification(labels, probabilities, ("a", "b")).calibration
    assert found.ece == pytest.approx((10 * 0.1 + 10 * 0.2) / 20)
    assert [(n, round(sure, 9), round(true, 9)) for n, sure, true in found.bins] == [
        (10, 0.6, 0.4), (10, 0.8, 0.9),
    ]  # fmt: skip


def test_the_interval_is_wilsons():
    for right, images in ((0, 5), (5, 5), (37, 40), (250, 500)):
        wanted = binomtest(right, images).proportion_ci(method="wilson")
        assert wilson(right, images) == pytest.approx((wanted.low, wanted.high), abs=1e-4)


def test_what_is_not_known_stays_unknown():
    found = classification(np.array([0, 0, 1]), np.array([[0.9, 0.1, 0]] * 3), ("a", "b", "none"))
    assert [score.recall for score in found.classes] == [1, 0, None]
    assert [score.precision for score in found.classes] == [2 / 3, None, None]
    assert found.confused(5) == [("b", "a", 1)]
