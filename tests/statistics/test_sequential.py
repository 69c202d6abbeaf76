"""Intervals hold however often one looks; what they answer; how they compare with a fixed number's."""

import math

import numpy as np
import pytest
from scipy import stats

from archsearch.statistics.sequential import LEAST, Answer, effect, half_width

MARGIN = 0.5


def stopped(rng, true: float, sd: float, most: int):
    """Look after every pair from the fifth on; stop as soon as the question is answered."""
    differences: list[float] = []
    found = effect(differences, margin=MARGIN)
    while len(differences) < most and found.answer is Answer.OPEN:
        differences.append(rng.normal(true, sd))
        found = effect(differences, margin=MARGIN)
    return found


@pytest.mark.parametrize("true", [0.0, 0.4, 1.5, -3.0])
def test_100_runs_that_stop_when_it_suits_cover_the_true_effect(true):
    rng = np.random.default_rng(0)
    found = [stopped(rng, true, sd=1.5, most=40) for _ in range(100)]
    assert sum(one.low <= true <= one.high for one in found) >= 93
    wrong = {0.0: (Answer.HELPS, Answer.HARMS), 1.5: (Answer.HARMS, Answer.LITTLE)}
    assert sum(one.answer in wrong.get(true, ()) for one in found) <= 5


def test_a_fixed_numbers_intervals_would_not_hold():
    """The reason for these: stopping at the first t-test that tells is wrong far more often than 5 %."""
    x = np.random.default_rng(1).normal(0, 1, (200, 40))
    naive = np.zeros(200, dtype=bool)
    for n in range(LEAST, 41):
        naive |= stats.ttest_1samp(x[:, :n], 0, axis=1).pvalue < 0.05
    assert naive.sum() > 30
    ours = [effect(row, margin=0) for row in x[:100].tolist()]
    assert sum(one.low > 0 or one.high < 0 for one in ours) <= 7


def test_they_are_wider_than_a_fixed_numbers_and_shrink():
    widths = [half_width(n) / math.sqrt(n) for n in range(LEAST, 200)]
    assert widths == sorted(widths, reverse=True)
    for n in (8, 20, 100):
        assert 1 < half_width(n) / stats.t.ppf(0.975, n - 1) < 2.2
    assert half_width(20) / stats.t.ppf(0.975, 19) == pytest.approx(5 / 3, abs=0.05)
    # The bound is where the mixture's likelihood ratio is 20: found by solving for it.
    n, g = 20, 1.0
    t = half_width(n)
    u = t**2 / (n - 1)
    ratio = (1 + n * g) ** -0.5 * ((1 + u) / (1 + u / (1 + n * g))) ** (n / 2)
    assert ratio == pytest.approx(20)


def test_what_is_answered():
    assert effect([], margin=1).mean is None
    few = effect([2.0, 2.1], margin=1)
    assert (few.mean, few.low, few.high) == (pytest.approx(2.05), -math.inf, math.inf)
    assert few.answer is Answer.OPEN
    one = [2.0, 2.1, 1.9, 2.2, 1.8, 2.0, 2.0]
    assert effect(one, margin=1).answer is Answer.HELPS
    assert effect([-x for x in one], margin=1).answer is Answer.HARMS
    assert effect([x - 2 for x in one], margin=1).answer is Answer.LITTLE
    assert effect([0.0, 5.0, -4.0, 3.0, -5.0], margin=1).answer is Answer.OPEN


def test_equal_values_are_not_exact_where_images_are_few():
    same = [0.4] * 6
    assert effect(same, margin=1).low == pytest.approx(0.4)
    coarse = effect(same, margin=1, resolution=0.4)
    assert coarse.low < 0.4 - 0.4 / math.sqrt(36)


def test_an_interval_holds_the_mean_that_it_is_of():
    """The first five are alike by chance, then come pairs that differ: the mean leaves their interval."""
    alike = [0.1, 0.0, 0.1, 0.0, 0.1]
    first = effect(alike, margin=MARGIN)
    late = effect([*alike, 6.0, -5.0, 9.0, 4.0], margin=MARGIN)
    assert first.high < late.mean
    assert late.low <= late.mean <= late.high
    assert late.answer is Answer.OPEN
    rng = np.random.default_rng(2)
    for row in rng.standard_t(1.5, (200, 12)).tolist():  # far from normal
        found = effect(row, margin=MARGIN)
        assert found.low <= found.mean <= found.high
