"""Figures of samples agree with NumPy's and SciPy's; p-values of one space's draws are uniform."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from archsearch.statistics.distributions import (
    Sample,
    best_of,
    distances,
    holm,
    interval,
    kolmogorov_smirnov,
    matched,
    median,
    needed,
    quantile,
    share_below,
    weights_of,
)


def sample(errors, flops=None, bins=()) -> Sample:
    errors = tuple(map(float, errors))
    return Sample(errors=errors, flops=tuple(flops or (10**7,) * len(errors)), bins=tuple(bins))


def drawn(rng: np.random.Generator, n: int, shift: float = 0.0) -> Sample:
    return sample(0.1 + shift + 0.05 * rng.gamma(2, size=n))


@pytest.mark.parametrize("seed", range(5))
def test_figures_of_equal_weights_are_numpys_and_scipys(seed):
    rng = np.random.default_rng(seed)
    # With ties, as validation images give them.
    one, other = (
        sample(np.round(s.values, 2)) for s in (drawn(rng, 17 + seed), drawn(rng, 12, 0.05))
    )
    assert median(one.values, one.weights) == pytest.approx(np.median(one.values))
    at = np.linspace(0, 0.5, 30)
    ours, theirs = share_below(one.values, one.weights, at), stats.ecdf(one.values).cdf
    assert ours == pytest.approx(theirs.evaluate(at))
    assert quantile(0.25)(one.values, one.weights) == pytest.approx(
        np.quantile(one.values, 0.25, method="averaged_inverted_cdf")
    )
    found, expected = (
        kolmogorov_smirnov(one, other, seed=0),
        stats.ks_2samp(one.values, other.values),
    )
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)
    signed = np.concatenate([one.weights, -other.weights])[None]
    values = np.concatenate([one.values, other.values])
    assert distances(values, signed)[0] == pytest.approx(expected.statistic)


def test_the_best_of_k_is_the_mean_over_draws():
    rng = np.random.default_rng(0)
    one = drawn(rng, 15)
    draws = rng.choice(one.values, (100_000, 4)).min(axis=1)
    assert best_of(4)(one.values, one.weights) == pytest.approx(draws.mean(), abs=0.001)
    assert best_of(1)(one.values, one.weights) == pytest.approx(one.values.mean())


def test_bootstrap_intervals_are_scipys():
    rng = np.random.default_rng(1)
    one, other = drawn(rng, 30), drawn(rng, 25, 0.04)
    found = interval(median, one, other, seed=3)
    expected = stats.bootstrap(
        (one.values, other.values), lambda a, b: np.median(a) - np.median(b), method="percentile",
        n_resamples=2000, rng=np.random.default_rng(3), vectorized=False,
    ).confidence_interval  # fmt: skip
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.006)
    assert found.value == pytest.approx(np.median(one.values) - np.median(other.values))
    # Our own, for bins, comes to the same where every bin is like the next.
    halves = [replace(s, bins=tuple(i % 2 for i in range(len(s.errors)))) for s in (one, other)]
    ours = interval(median, *halves, seed=3)
    assert (ours.low, ours.high) == pytest.approx(tuple(expected), abs=0.012)


def test_weighted_permutations_agree_with_the_exact_test():
    rng = np.random.default_rng(2)
    one, other = drawn(rng, 40), drawn(rng, 40, 0.03)
    exact = stats.ks_2samp(one.values, other.values)
    # All in one bin that is named: the weights are equal, the p-value comes from permutations.
    binned = [replace(s, bins=(0,) * len(s.errors)) for s in (one, other)]
    found = kolmogorov_smirnov(*binned, seed=0)
    assert found.statistic == pytest.approx(exact.statistic)
    assert found.p_value == pytest.approx(exact.pvalue, abs=0.02)


@pytest.mark.parametrize("weighted", [False, True])
def test_two_draws_of_one_space_have_uniform_p_values(weighted, monkeypatch):
    """Of 200 replays; sizes without a common factor make the p-values nearly continuous."""
    monkeypatch.setattr("archsearch.statistics.distributions._RESAMPLES", 199)
    rng = np.random.default_rng(7)
    p_values = []
    for number in range(200):
        samples = drawn(rng, 43), drawn(rng, 38)
        if weighted:  # larger networks err less, and are more common in the second draw
            sizes = [rng.beta(a, 1, len(s.errors)) for a, s in zip((1, 2), samples, strict=True)]
            samples = [
                Sample(
                    errors=tuple(s.values - 0.1 * np.floor(4 * size) / 4),
                    flops=tuple((10**7 * (1 + size)).astype(int).tolist()),
                )
                for s, size in zip(samples, sizes, strict=True)
            ]
            found = matched(samples)
            assert found is not None
            samples = found
        p_values.append(kolmogorov_smirnov(*samples, seed=number).p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert stats.binomtest(sum(p <= 0.1 for p in p_values), 200, 0.1).pvalue > 0.01


def test_intervals_of_medians_cover_the_true_difference(monkeypatch):
    monkeypatch.setattr("archsearch.statistics.distributions._RESAMPLES", 200)
    rng = np.random.default_rng(4)
    hits = 0
    for number in range(200):
        found = interval(median, drawn(rng, 30, 0.03), drawn(rng, 30), seed=number)
        hits += found.low <= 0.03 <= found.high
    assert hits >= 180


def test_flops_that_differ_are_brought_to_one_distribution():
    rng = np.random.default_rng(0)
    alike = [sample([0.1, 0.2], [95, 100]), sample([0.1], [92])]
    assert matched(alike) == tuple(alike)
    small = rng.integers(100, 300, 60).tolist()
    large = rng.integers(200, 400, 60).tolist()
    found = matched([sample(rng.random(60), small), sample(rng.random(60), large)])
    assert found is not None
    for one in found:
        assert min(one.flops) >= 200
        assert max(one.flops) < 300
        heavy = np.bincount(one.strata, one.weights)
        assert heavy == pytest.approx(np.full(len(heavy), 1 / len(heavy)))
        assert np.bincount(one.strata).min() >= 3
    assert matched([sample([0.1] * 5, [100] * 5), sample([0.1] * 5, [500] * 5)]) is None
    assert weights_of(np.array([0, 0, 1])) == pytest.approx([0.25, 0.25, 0.5])


def test_a_difference_of_flops_alone_is_no_difference_of_spaces():
    """Errors follow from FLOPs, and one draw has more large networks: unweighted, that would count."""
    rng = np.random.default_rng(5)
    sizes = [rng.beta(1, 2, 150), rng.beta(2, 1, 150)]
    samples = [
        sample(0.3 - 0.2 * s + 0.01 * rng.normal(size=150), (10**7 * (1 + s)).astype(int).tolist())
        for s in sizes
    ]
    assert kolmogorov_smirnov(*samples, seed=0).p_value < 1e-6
    found = matched(samples)
    assert found is not None
    assert (
        abs(interval(median, *found, seed=0).value)
        < abs(interval(median, *samples, seed=0).value) / 3
    )


def test_several_p_values_are_raised_as_holm_has_it():
    # Holm 1979; as statsmodels' multipletests(method="holm") gives it.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([0.9, 0.8]) == (1.0, 1.0)


def test_so_many_networks_tell_a_difference_mostly(monkeypatch):
    monkeypatch.setattr("archsearch.statistics.distributions._RESAMPLES", 200)
    rng = np.random.default_rng(6)
    pilot = interval(median, drawn(rng, 400, 0.02), drawn(rng, 400), seed=0)
    wanted = needed(replace(pilot, value=0.02), [400, 400])
    assert wanted is not None
    told = 0
    for number in range(60):
        pair = drawn(rng, wanted, 0.02), drawn(rng, wanted)
        told += interval(median, *pair, seed=number).tells
    assert 0.6 < told / 60 < 0.95
    assert needed(replace(pilot, value=0.0), [400, 400]) is None


def test_of_thousands_of_networks_a_bounded_number_is_drawn():
    rng = np.random.default_rng(5)
    large, asked = drawn(rng, 10_000), []

    def middle(errors, weights):
        asked.append(errors.shape)
        return median(errors, weights)

    for one in (large, replace(large, bins=tuple(i % 2 for i in range(10_000)))):
        del asked[:]
        found = interval(middle, one, seed=0)
        assert found.low < np.median(large.values) < found.high
        # The standard error of a median is 1.25 of the mean's; here within a factor of two.
        expected = 3.92 * 1.25 * large.values.std() / 100
        assert expected / 2 < found.high - found.low < 2 * expected
        assert sum(np.prod(shape) for shape in asked) <= 2_100_000
