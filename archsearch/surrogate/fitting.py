"""A kernel's scales, from what is known: the most probable ones under priors, by gradient steps.

Maximised is ln p(y | θ) + ln p(θ) (Rasmussen & Williams 2006, equations 5.8 and 5.9), θ the logarithms of all
scales. The priors are wide enough to learn from forty trials and narrow enough not to be led astray by five.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import minimize

from archsearch.surrogate.algebra import Floats, factor, inverse, solved
from archsearch.surrogate.kernel import Columns, Points, Scales, differences, matern

STEPS: Final = 15
"""Gradient steps at most; each takes one factorisation, now and then two."""
MODELLED: Final = 80
"""Points at most that scales are fitted to; what is predicted goes by all of them."""
_MOST: Final = 5.0
"""How far a logarithm may go from what is expected of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperpriors:
    """What is expected of a kernel's scales, before anything is known; each spread is of a natural logarithm.

    Attributes:
        lengths: of each group: the distance, in standard deviations of a point's place in it, over which
            values change.
        amplitudes: of each group: its share of the values' variance.
        noise: what the given noise variances are expected to be off by, as a factor.
        lost: see `Scales`.
    """

    lengths: tuple[float, ...]
    amplitudes: tuple[float, ...]
    weights_spread: float = 1.0
    amplitudes_spread: float = 0.7
    noise_spread: float = 1.0
    lost: float = 0.12
    lost_spread: float = 0.5


@dataclass(frozen=True, slots=True)
class Fit:
    """Scales, and the factor by which noise variances are off."""

    scales: Scales
    noise: float


def fit(
    points: Points, values: Floats, noise: Floats, columns: Columns, hyperpriors: Hyperpriors
) -> Fit:
    """Return the most probable scales.

    Args:
        points: (n).
        values: (n,) with what the prior expects taken off, in standard deviations.
        noise: (n,) their variances as far as they are known beforehand.
        columns: of the points.
        hyperpriors: about the scales.
    """
    problem = _Problem(points, values, noise, columns, hyperpriors)
    start = np.zeros(columns.count + columns.group_count + 2)
    found = minimize(
        problem.loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-_MOST, _MOST)] * len(start),
        options={"maxiter": STEPS, "maxfun": STEPS + STEPS // 3},
    )
    return problem.read(found.x)


class _Problem:
    """The loss of scales and its gradient; θ has weights, amplitudes, noise and what length costs."""

    def __init__(
        self,
        points: Points,
        values: Floats,
        noise: Floats,
        columns: Columns,
        hyperpriors: Hyperpriors,
    ) -> None:
        self._values, self._noise, self._columns = values, noise, columns
        count, groups = columns.count, columns.group_count
        sizes = np.array([len(members) for members in columns.members])
        lengths = np.asarray(hyperpriors.lengths)
        # Differences add up over a group's columns: the more there are, the less each one weighs.
        weights = (1 / (lengths**2 * sizes))[np.asarray(columns.groups, dtype=np.intp)]
        shares = np.asarray(hyperpriors.amplitudes)
        self._expected = np.log([*weights, *shares, 1.0, hyperpriors.lost])
        self._spread = np.array(
            [hyperpriors.weights_spread] * count
            + [hyperpriors.amplitudes_spread] * groups
            + [hyperpriors.noise_spread, hyperpriors.lost_spread]
        )
        # Of each group one matrix of (columns, pairs), so that a sum over columns is one product.
        squared = differences(points, columns).reshape(count, -1)
        self._squared = [squared[members] for members in columns.members]
        self._apart = np.abs(np.subtract.outer(points.lengths, points.lengths))
        self._open = np.sqrt(np.outer(points.variances, points.variances))

    def read(self, theta: Floats) -> Fit:
        """Return what θ, as steps from what is expected, stands for."""
        scales = np.exp(self._expected + theta)
        count, groups = self._columns.count, self._columns.group_count
        found = Scales(scales[:count], scales[count : count + groups], float(scales[-1]))
        return Fit(found, float(scales[-2]))

    def loss(self, theta: Floats) -> tuple[float, Floats]:
        """Return −ln p(y, θ) up to a constant, and its gradient."""
        made = self.read(theta)
        scales, columns = made.scales, self._columns
        shared = self._open * np.exp(-scales.lost * self._apart)
        parts, slopes = [], []
        for group, members in enumerate(columns.members):
            radii = scales.weights[members] @ self._squared[group]
            part, slope = matern(radii.reshape(shared.shape))
            parts.append(scales.amplitudes[group] * shared * part)
            slopes.append(scales.amplitudes[group] * shared * slope)
        whole = np.sum(parts, axis=0)
        noise = made.noise * self._noise
        lower = factor(whole + np.diag(noise))
        pull = solved(lower, self._values)
        likelihood = -0.5 * self._values @ pull - np.log(np.diag(lower)).sum()
        # ∂ ln p / ∂θ = ½ tr((αα′ − K⁻¹) ∂K/∂θ), equation 5.9.
        inner = 0.5 * (np.outer(pull, pull) - inverse(lower))
        gradient = np.empty_like(theta)
        for group, members in enumerate(columns.members):
            by_column = self._squared[group] @ (inner * slopes[group]).ravel()
            gradient[members] = by_column * scales.weights[members]
            gradient[columns.count + group] = (inner * parts[group]).sum()
        gradient[-2] = np.diag(inner) @ noise
        gradient[-1] = -scales.lost * (inner * whole * self._apart).sum()
        scaled = theta / self._spread
        return float(0.5 * scaled @ scaled - likelihood), scaled / self._spread - gradient
