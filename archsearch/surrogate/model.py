"""A Gaussian process over what is known: what it expects of other points, and which of them promise most.

y_i = f(x_i) + ε_i with f a Gaussian process (see `surrogate/kernel.py`) and ε_i noise of each trial's own
variance. Trials that run are taken as if they had come out as expected (Ginsbourger et al. 2010, "kriging
believer"), so that several workers spread out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from archsearch.surrogate.acquisition import log_expected_improvement
from archsearch.surrogate.algebra import Floats, factor, forward, solved
from archsearch.surrogate.fitting import MODELLED, Fit, Hyperpriors, fit
from archsearch.surrogate.kernel import Columns, Points, covariance

UNSURE: Final = 4.0
"""Times the model's variance that is reckoned with where something is to be chosen.

One set of scales, fitted to few values, is surer of itself than it should be.
"""
_LEAST_VARIANCE: Final = 1e-10


@dataclass(frozen=True, slots=True)
class Observations:
    """What is known of some points.

    Attributes:
        points: (n).
        values: (n,) standardised.
        noise: (n,) the variance that each value's noise is expected to have, in the same units.
    """

    points: Points
    values: Floats
    noise: Floats


class Model:
    """What is expected, given what is known; made by `model_of`."""

    def __init__(self, known: Observations, columns: Columns, fitted: Fit) -> None:
        self._known, self._columns, self._fitted = known, columns, fitted
        points = known.points
        covariances = covariance(points, points, columns, fitted.scales)
        self._lower = factor(covariances + np.diag(fitted.noise * known.noise))
        self._pull = solved(self._lower, known.values - points.means)

    def expected(self, points: Points) -> Floats:
        """Return the mean of f at some points."""
        between = covariance(points, self._known.points, self._columns, self._fitted.scales)
        return np.asarray(points.means + between @ self._pull)

    def predicted(self, points: Points) -> tuple[Floats, Floats]:
        """Return the mean and the variance of f at some points."""
        between = covariance(points, self._known.points, self._columns, self._fitted.scales)
        explained = (forward(self._lower, between.T) ** 2).sum(0)
        before = self._fitted.scales.amplitudes.sum() * points.variances
        variances = np.maximum(before - explained, _LEAST_VARIANCE)
        return points.means + between @ self._pull, variances

    def best_first(self, points: Points) -> npt.NDArray[np.intp]:
        """Return the numbers of points, the one of which most is expected first."""
        return np.argsort(-self.expected(points), kind="stable")

    def believing(self, running: Points) -> "Model":
        """Return the model as if points that are tried now had come out as expected."""
        if not len(running):
            return self
        known = Observations(
            self._known.points.joined(running),
            np.concatenate([self._known.values, self.expected(running)]),
            np.concatenate([self._known.noise, np.full(len(running), self._known.noise.mean())]),
        )
        return Model(known, self._columns, self._fitted)

    def most_promising_first(
        self, candidates: Points, *, over: Points | None = None, log_costs: Floats | None = None
    ) -> npt.NDArray[np.intp]:
        """Return the numbers of candidates by expected improvement over the best of what is known.

        The best is what is expected of it at full length, not what was seen: noise flatters.

        Args:
            candidates: to be put in order.
            over: of which the best is taken; None: of all that is known.
            log_costs: (n,) logarithms of what each costs: it is improvement by cost that counts (Snoek,
                Larochelle & Adams 2012, section 3.2); None: all cost the same.
        """
        known = self._known.points if over is None else over
        best = float(self.expected(known.at_full_length()).max())
        means, variances = self.predicted(candidates)
        promise = log_expected_improvement(means, UNSURE * variances, best)
        if log_costs is not None:
            promise = promise - log_costs
        return np.argsort(-promise, kind="stable")


def model_of(known: Observations, columns: Columns, hyperpriors: Hyperpriors) -> Model:
    """Return the model of what is known, its scales fitted."""
    chosen = _fitted_to(known.values)
    points = known.points.take(chosen)
    residuals = known.values[chosen] - points.means
    return Model(known, columns, fit(points, residuals, known.noise[chosen], columns, hyperpriors))


def _fitted_to(values: Floats) -> Sequence[int]:
    """Return the numbers of the points that scales are fitted to: the best half, and the newest others."""
    if len(values) <= MODELLED:
        return range(len(values))
    best = set(np.argsort(-values, kind="stable")[: MODELLED // 2].tolist())
    others = [number for number in range(len(values)) if number not in best]
    return sorted([*best, *others[len(best) - MODELLED :]])
