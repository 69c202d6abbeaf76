"""What is believed of networks' true accuracies after a few trainings each, and what another would tell.

The model is the normal hierarchical one (Gelman et al., Bayesian Data Analysis, 5.4): a training of network i
comes to y = θ_i + ε, ε ~ N(0, σ²), and θ_i = f_i + m + N(0, τ²), where f_i is what a surrogate expects of it
(0: nothing). m has a flat prior; τ and σ, of which few values tell little, are averaged over. Their priors
were measured: inside a slice of equal FLOPs networks differ by 0.7 to 3 points, trainings of one by about
0.8, and by half the binomial noise of the validation images (the other half is in all networks alike).
Accuracies are shares of one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SEED_SD: Final = 0.008
"""Standard deviation between trainings of one network, as if the validation images were endless."""
_SPREAD: Final = (0.012, 0.65)
"""Of the prior of τ, which is log-normal: its median, and the sd of its logarithm."""
_NOISE_LOG_SD: Final = 0.35
"""Of the prior of σ, log-normal about `usual_noise`: the sd of its logarithm."""
_SPREADS: Final = np.geomspace(0.0012, 0.2, 14)
_NOISES: Final = np.geomspace(0.45, 2.2, 7)
_FAR: Final = 3.0
"""Robust standard deviations below the median from which on a network did not learn: it says nothing of the
others."""
_LEAST_SPREAD: Final = 0.01
_TURNS: Final = 30
_PRIOR_WEIGHT: Final = 4
"""Trainings' worth of a prior variance, where one is taken for what it is."""
_TINY: Final = 1e-12

_erf = np.frompyfunc(math.erf, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of one network.

    Attributes:
        name: of the network.
        values: validation accuracies of its trainings of the full length.
        folds: the split that each was validated on; empty: all on the same.
        expected: what a surrogate expects of it, against the others; learnt without these values.
    """

    name: str
    values: tuple[float, ...]
    folds: tuple[int, ...] = ()
    expected: float = 0.0

    def after(self, values: Sequence[float], folds: Sequence[int] = ()) -> "Evidence":
        """Return what is known after further trainings; those so far were on the search's split."""
        before = self.folds or (0,) * len(self.values)
        later = tuple(folds) or (0,) * len(values)
        return replace(self, values=(*self.values, *values), folds=(*before, *later))


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """What is believed of some networks (T of them), over K pairs of σ and τ.

    Attributes:
        names: of the networks.
        weights: (K,) of the pairs, 1 in all.
        means, variances: (K, T) of the true accuracies, given m.
        pulls: (K, T) how far m moves each.
        common: (K,) variance of m.
        noises: (K,) σ².
    """

    names: tuple[str, ...]
    weights: Floats
    means: Floats
    variances: Floats
    pulls: Floats
    common: Floats
    noises: Floats

    @cached_property
    def expected(self) -> dict[str, float]:
        """Posterior mean of each network's true accuracy."""
        return dict(zip(self.names, (self.weights @ self.means).tolist(), strict=True))

    def gain(self, one: str, other: str) -> float:
        """Return the posterior mean of one network's true accuracy less another's."""
        expected = self.expected
        return expected[one] - expected[other]

    def better(self, one: str, other: str) -> float:
        """Return the probability that one network is truly better than another."""
        i, j = self.names.index(one), self.names.index(other)
        pull = self.pulls[:, i] - self.pulls[:, j]
        variance = self.variances[:, i] + self.variances[:, j] + pull**2 * self.common
        z = (self.means[:, i] - self.means[:, j]) / np.sqrt(variance)
        return float(self.weights @ _cumulative(z))

    def knowledge_gradient(self, pending: Mapping[str, int]) -> dict[str, float]:
        """Return by how much one more training of each network is expected to raise the best posterior mean.

        Frazier, Powell, Dayanik (2008), A knowledge-gradient policy for sequential information collection,
        equation 9, averaged over σ and τ: σ̃(zΦ(z) + φ(z)), z = −|μ − best of the others| / σ̃,
        σ̃ = v / √(v + σ²).

        Args:
            pending: trainings of networks that run: they will have told less uncertainty, nobody knows what.
        """
        noise = self.noises[:, None]
        runs = np.array([pending.get(name, 0) for name in self.names], dtype=np.float64)
        variance = 1 / (1 / self.variances + runs / noise)
        change = variance / np.sqrt(variance + noise)
        z = -np.abs(self.means - _best_other(self.means)) / change
        gains = change * (z * _cumulative(z) + np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi))
        return dict(zip(self.names, (self.weights @ gains).tolist(), strict=True))


def usual_noise(accuracy: float, images: int) -> float:
    """Return the standard deviation to expect between trainings of one network.

    Args:
        accuracy: about theirs.
        images: that validate; 0: endless.
    """
    binomial = 0.5 * accuracy * (1 - accuracy) / images if images else 0.0
    return math.sqrt(SEED_SD**2 + binomial)


def posterior(evidence: Sequence[Evidence], *, images: int) -> Posterior:
    """Return what is believed after some trainings.

    Args:
        evidence: of each network, at least one.
        images: that validate; 0: endless.
    """
    every = without_splits(evidence, images=images)
    counts = np.array([len(values) for values in every], dtype=np.float64)
    means = np.array([np.mean(values) if values else np.nan for values in every])
    within = sum(float(np.var(values)) * len(values) for values in every if len(values) > 1)
    offsets = np.array([one.expected for one in evidence])
    known = _in_reach(means)
    usual = usual_noise(float(np.median(means[known])) if known.any() else 0.5, images)
    spread, noise = (part.ravel() for part in np.meshgrid(_SPREADS, usual * _NOISES))
    noises, spreads = noise[:, None] ** 2, spread[:, None] ** 2  # (K, 1)
    residuals = np.where(counts > 0, means - offsets, 0.0)
    fit = _fitted(residuals[known], spreads + noises / counts[known])

    log = fit.log_likelihood - 0.5 * (np.log(spread / _SPREAD[0]) / _SPREAD[1]) ** 2
    log -= 0.5 * (np.log(noise / usual) / _NOISE_LOG_SD) ** 2
    again = np.maximum(counts - 1, 0).sum()
    log -= again * np.log(noise) + within / (2 * noise**2)
    weights = np.exp(log - log.max())

    variances = 1 / (1 / spreads + counts / noises)
    found = variances * (fit.centre[:, None] / spreads + counts * residuals / noises)
    return Posterior(
        names=tuple(one.name for one in evidence),
        weights=weights / weights.sum(),
        means=found + offsets,
        variances=variances,
        pulls=variances / spreads,
        common=fit.variance,
        noises=noise**2,
    )


def without_splits(evidence: Sequence[Evidence], *, images: int) -> list[tuple[float, ...]]:
    """Return all values without what their split made easier than the search's.

    Splits are taken for random effects. Their variance is the half of the binomial noise that all networks
    have in common. The best linear predictions are found by turns with the networks' (backfitting). All of
    these count, since the best of the search were lucky there and fall back on any other split.
    """
    folds = [np.array(one.folds or (0,) * len(one.values), dtype=np.int64) for one in evidence]
    different = np.unique(np.concatenate(folds))
    if len(different) < 2 or not images:
        return [one.values for one in evidence]
    split = np.searchsorted(different, np.concatenate(folds))
    network = np.repeat(np.arange(len(evidence)), [len(one.values) for one in evidence])
    values = np.array([value for one in evidence for value in one.values])
    middle = float(np.median(values))
    shared = max(0.5 * middle * (1 - middle) / images, _TINY)
    noise = _noise(evidence, usual_noise(middle, images))
    splits = np.bincount(split) + noise / shared
    networks = np.bincount(network, minlength=len(evidence)) + noise / _spread(values, noise)
    easier, worth = np.zeros(len(splits)), np.zeros(len(networks))
    for _ in range(_TURNS):
        left = values - float(np.mean(values - easier[split] - worth[network]))
        worth = np.bincount(network, left - easier[split], minlength=len(networks)) / networks
        easier = np.bincount(split, left - worth[network]) / splits
    found = iter((values - (easier - easier[0])[split]).tolist())
    return [tuple(next(found) for _ in one.values) for one in evidence]


def _noise(evidence: Sequence[Evidence], usual: float) -> float:
    """Return about the variance between trainings of one network: the prior's, and what they vary by."""
    within = sum(
        float(np.var(one.values)) * len(one.values) for one in evidence if len(one.values) > 1
    )
    again = sum(max(len(one.values) - 1, 0) for one in evidence)
    return (_PRIOR_WEIGHT * usual**2 + within) / (_PRIOR_WEIGHT + again)


def _spread(values: Floats, noise: float) -> float:
    """Return about the variance between networks: the prior's, and what values vary more than by noise."""
    seen = max(float(np.var(values, ddof=1)) - noise, 0.0)
    weight = len(values) - 1
    return (_PRIOR_WEIGHT * _SPREAD[0] ** 2 + weight * seen) / (_PRIOR_WEIGHT + weight)


class _Fit(NamedTuple):
    """What values say of m: (K,) its mean and variance; and how likely they are."""

    centre: Floats
    variance: Floats
    log_likelihood: Floats


def _fitted(values: Floats, variances: Floats) -> _Fit:
    """Fit m to (T,) values that scatter about it with (K, T) variances; without any it is 0."""
    if not len(values):
        nothing = np.zeros(len(variances))
        return _Fit(nothing, nothing, nothing)
    precisions = 1 / variances
    variance = 1 / precisions.sum(axis=1)
    centre = (precisions * values).sum(axis=1) * variance
    misfit = (precisions * (values - centre[:, None]) ** 2).sum(axis=1)
    log = 0.5 * (np.log(precisions).sum(axis=1) + np.log(variance) - misfit)
    return _Fit(centre, variance, log)


def _in_reach(means: Floats) -> npt.NDArray[np.bool_]:
    """Return which networks have learnt: those that did not would pass for a wide spread of the others."""
    known = np.isfinite(means)
    if not known.any():
        return known
    middle = np.median(means[known])
    spread = max(1.4826 * np.median(np.abs(means[known] - middle)), _LEAST_SPREAD)
    learnt: npt.NDArray[np.bool_] = np.nan_to_num(means) >= middle - _FAR * spread
    return known & learnt


def _best_other(means: Floats) -> Floats:
    """Return, for each network of each row, the best mean of the others; alone: its own."""
    if means.shape[1] == 1:
        return means
    two = np.sort(means, axis=1)[:, -2:]
    best = np.argmax(means, axis=1)[:, None]
    others = np.repeat(two[:, 1:], means.shape[1], axis=1)
    np.put_along_axis(others, best, two[:, :1], axis=1)
    return others


def _cumulative(z: Floats) -> Floats:
    """Return the standard normal's Φ."""
    return 0.5 * (1 + np.asarray(_erf(z / math.sqrt(2)), dtype=np.float64))
