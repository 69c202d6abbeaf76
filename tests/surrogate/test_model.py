"""The Gaussian process against scikit-learn's, and what it proposes where the answer is plain."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import check_grad
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from archsearch.surrogate import fitting
from archsearch.surrogate.acquisition import log_expected_improvement
from archsearch.surrogate.algebra import JITTER
from archsearch.surrogate.fitting import Fit, Hyperpriors, fit
from archsearch.surrogate.kernel import Columns, Points, Scales, covariance
from archsearch.surrogate.model import Model, Observations, model_of
from archsearch.surrogate.targets import Scale

COLUMNS = Columns((True, False, False, False), (0, 0, 1, 1))
HYPERPRIORS = Hyperpriors(lengths=(1.0, 1.0), amplitudes=(0.5, 0.5))


def drawn(count: int, seed: int = 0) -> Points:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 4))
    rows[:, 0] = rng.integers(0, 3, count)
    return Points.of(rows)


def numbers(points: Points) -> np.ndarray:
    """Columns without the category, as scikit-learn has none."""
    return points.rows[:, 1:]


def test_predictions_and_likelihood_are_scikit_learns():
    columns = Columns((False,) * 3, (0, 0, 0))
    known, asked = Points.of(numbers(drawn(30))), Points.of(numbers(drawn(20, seed=1)))
    values = np.sin(known.rows.sum(1))
    scales = Scales(np.array([0.5, 1.0, 2.0]), np.array([1.7]), 0.1)
    kernel = ConstantKernel(1.7) * Matern(length_scale=scales.weights**-0.5, nu=2.5)
    theirs = GaussianProcessRegressor(kernel, alpha=0.2 + JITTER, optimizer=None)
    theirs.fit(known.rows, values)
    ours = Model(Observations(known, values, np.full(30, 0.1)), columns, Fit(scales, 2.0))
    means, variances = ours.predicted(asked)
    expected, deviations = theirs.predict(asked.rows, return_std=True)
    assert means == pytest.approx(expected, abs=1e-9)
    assert np.sqrt(variances) == pytest.approx(deviations, abs=1e-7)


def test_categories_are_equal_or_not():
    points = Points.of(np.array([[0.0, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]]))
    scales = Scales(np.ones(4), np.array([1.0, 0.0]), 0.1)
    found = covariance(points, points, COLUMNS, scales)
    expected = Matern(nu=2.5)(np.array([[0.0]]), np.array([[1.0]]))[0, 0]
    assert found[~np.eye(3, dtype=bool)] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_that_of_the_loss(seed):
    rng = np.random.default_rng(seed)
    points = drawn(15, seed)
    points = Points(
        points.rows, -rng.integers(0, 4, 15) * 1.0, np.zeros(15), rng.uniform(0.1, 1, 15)
    )
    problem = fitting._Problem(points, rng.normal(size=15), np.full(15, 0.1), COLUMNS, HYPERPRIORS)
    at = rng.normal(size=8) * 0.5
    assert check_grad(lambda t: problem.loss(t)[0], lambda t: problem.loss(t)[1], at) < 1e-4


def test_scales_are_learnt():
    points = drawn(80)
    values = np.sin(2 * points.rows[:, 2])
    noise = 0.3 * np.random.default_rng(1).normal(size=80)
    found = fit(points, values + noise, np.full(80, 0.01), COLUMNS, HYPERPRIORS)
    assert found.scales.weights[2] > 5 * found.scales.weights[3]
    assert 0.04 < 0.01 * found.noise < 0.2  # it is 0.09


@pytest.mark.parametrize("z", [3.0, 0.5, -0.9, -1.1, -4.0])
def test_expected_improvement_is_the_integral(z):
    deviation = 0.7

    def gain(f: float) -> float:
        return f * norm.pdf(f, z * deviation, deviation)

    improvement, _ = quad(gain, 0, max(0, z) + 10, epsabs=0, epsrel=1e-10)
    [found] = log_expected_improvement(np.array([z * deviation]), np.array([deviation**2]), 0.0)
    assert found == pytest.approx(np.log(improvement), rel=1e-6)


def test_expected_improvement_falls_however_far_below():
    z = -np.logspace(0, 7, 200)
    found = log_expected_improvement(z, np.ones(200), 0.0)
    assert np.isfinite(found).all()
    assert (np.diff(found) <= 0).all()
    # The first terms of the asymptotic series of the normal's tail.
    assert found[100] == pytest.approx(
        -0.5 * z[100] ** 2 - 0.5 * np.log(2 * np.pi) - 2 * np.log(-z[100]), abs=1e-4
    )


def known_line(count: int = 12) -> tuple[Observations, Columns]:
    """Values that rise along one column."""
    rows = np.linspace(0, 1, count)[:, None]
    return Observations(Points.of(rows), 2 * rows[:, 0] - 1, np.full(count, 0.01)), Columns(
        (False,), (0,)
    )


LINE = Hyperpriors(lengths=(0.5,), amplitudes=(1.0,))


def test_what_promises_most_is_where_values_rise():
    evidence, columns = known_line()
    model = model_of(evidence, columns, LINE)
    order = model.most_promising_first(Points.of(np.array([[-0.1], [0.5], [1.1]])))
    assert order[0] == 2


def test_what_promises_most_for_what_it_costs_comes_first():
    evidence, columns = known_line()
    model = model_of(evidence, columns, LINE)
    candidates = Points.of(np.array([[0.9], [1.1]]))
    assert model.most_promising_first(candidates)[0] == 1
    alike = model.most_promising_first(candidates, log_costs=np.array([7.0, 7.0]))
    assert alike[0] == 1
    dear = np.array([0.0, 50.0])
    assert model.most_promising_first(candidates, log_costs=dear)[0] == 0


def test_what_runs_is_believed_and_others_look_elsewhere():
    evidence, columns = known_line()
    valley = Observations(evidence.points, np.abs(evidence.values), evidence.noise)
    model = model_of(valley, columns, LINE)
    candidates = Points.of(np.array([[-0.1], [1.1]]))
    first = model.most_promising_first(candidates)[0]
    running = candidates.take([first])
    after = model.believing(running)
    assert after.most_promising_first(candidates)[0] != first
    assert after.expected(running) == pytest.approx(model.expected(running), abs=0.02)
    assert after.predicted(running)[1] < model.predicted(running)[1]


def test_a_short_training_says_less_of_a_long_one():
    row = np.array([[0.0], [3.0]])
    columns, hyperpriors = Columns((False,), (0,)), Hyperpriors(lengths=(1.0,), amplitudes=(1.0,))
    fitted = Fit(Scales(np.ones(1), np.ones(1), hyperpriors.lost), 1.0)
    left = []
    for length in (0.0, -3.0, -6.0):
        points = Points(row, np.array([length, length]), np.zeros(2), np.ones(2))
        evidence = Observations(points, np.array([1.0, -1.0]), np.full(2, 0.01))
        left.append(Model(evidence, columns, fitted).predicted(Points.of(row[:1]))[1][0])
    assert left == sorted(left)
    assert left[1] == pytest.approx(1 - np.exp(-6 * hyperpriors.lost), abs=0.05)


def test_a_prior_is_believed_until_something_is_known():
    rows = np.array([[0.0], [5.0]])
    points = Points(rows, np.zeros(2), np.array([0.8, -0.8]), np.array([0.3, 0.3]))
    columns = Columns((False,), (0,))
    fitted = Fit(Scales(np.ones(1), np.ones(1), 0.1), 1.0)
    evidence = Observations(points.take([0]), np.array([-1.0]), np.full(1, 1e-4))
    means, variances = Model(evidence, columns, fitted).predicted(points)
    assert means == pytest.approx([-1.0, -0.8], abs=1e-2)
    assert variances[1] == pytest.approx(0.3, abs=1e-3)


def test_a_stalled_training_does_not_hide_what_is_between_good_ones():
    values = np.array([0.70, 0.71, 0.72, 0.73, 0.74, 0.75])
    both = np.append(values, 0.1)
    found = Scale(both).standardized(both)
    plain = (both - both.mean()) / both.std()
    assert np.ptp(found[:-1]) > 2 * np.ptp(plain[:-1])
    assert (np.diff(found[:-1]) > 0).all()
    assert found[-1] == found.min()
    assert (found.mean(), found.std()) == pytest.approx((0, 1))


def test_equal_values_have_a_scale():
    assert Scale(np.full(5, 0.4)).standardized(np.full(5, 0.4)) == pytest.approx(np.zeros(5))
    mostly = np.array([0.5, 0.5, 0.5, 0.6])
    assert np.isfinite(Scale(mostly).standardized(mostly)).all()
    assert Scale(np.array([0.3])).standardized(np.array([0.3])) == pytest.approx([0.0])
