"""Design spaces as distributions of error: empirical distribution functions, and how far two lie apart.

Radosavovic, Johnson, Xie, Lo & Dollár 2019, "On network design spaces for visual recognition", arXiv
1905.13214: a space is what its networks' errors are like, of which some are drawn by chance. Where these
differ in FLOPs they are weighted to a common distribution first. Errors are shares of one.
Arrays of errors are (…, n) and weights (n,), 1 in all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Statistic: TypeAlias = Callable[[Floats, Floats], Floats]
"""From errors (…, n) and weights (n,) to (…)."""

CONFIDENCE: Final = 0.95
_RESAMPLES: Final = 2000
_MOST_DRAWS: Final = 2_000_000
"""Networks drawn for an interval or a test, all resamples together: of 10,000 networks it is 200 resamples,
whose intervals are narrow."""
_ALIKE: Final = 1 / 0.9
"""FLOPs that differ by no more are one budget, which candidates fill to 90 % at least."""
_MOST_BINS: Final = 10
_LEAST_IN_BIN: Final = 3
"""Networks of every space that a bin of FLOPs must have."""
_TINY: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Networks drawn from one space: their errors, FLOPs, and the bin of FLOPs that each lies in.

    Attributes:
        errors, flops: one a network.
        bins: likewise; networks of one bin weigh the same, every bin as much as the next.
    """

    errors: tuple[float, ...]
    flops: tuple[int, ...]
    bins: tuple[int, ...] = ()

    @property
    def strata(self) -> Ints:
        """The bin of each network."""
        return np.array(self.bins or (0,) * len(self.errors), dtype=np.int64)

    @property
    def weights(self) -> Floats:
        """1/(k n_j) for a network in bin j of k, which has n_j."""
        return weights_of(self.strata)

    @property
    def values(self) -> Floats:
        """The errors."""
        return np.array(self.errors, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def tells(self) -> bool:
        """Whether 0 lies outside."""
        return self.low > 0 or self.high < 0


def weights_of(strata: Ints) -> Floats:
    """Return weights that make all strata count alike."""
    counts = np.bincount(strata)
    return 1 / (np.count_nonzero(counts) * counts[strata])


# --- equal FLOPs -----------------------------------------------------------------------------------


def matched(samples: Sequence[Sample]) -> tuple[Sample, ...] | None:
    """Return samples of one FLOP distribution; None: there are no FLOPs that networks of all have.

    Where all FLOPs are those of one budget, nothing is changed. Else the range that all have is cut into as
    many bins, up to ten, as leave three networks of every sample in each; what lies outside is left out.
    """
    every = [flops for sample in samples for flops in sample.flops]
    if max(every) <= _ALIKE * min(every):
        return tuple(samples)
    low = max(min(sample.flops) for sample in samples)
    high = min(max(sample.flops) for sample in samples)
    for count in range(_MOST_BINS, 0, -1):
        found = tuple(_binned(sample, low, high, count) for sample in samples)
        fullness = [np.bincount(s.strata, minlength=count) if s.errors else [0] for s in found]
        if min(min(counts) for counts in fullness) >= _LEAST_IN_BIN:
            return found
    return None


def _binned(sample: Sample, low: int, high: int, count: int) -> Sample:
    """Return what of a sample lies from `low` to `high`, in so many bins of one width."""
    flops = np.array(sample.flops, dtype=np.float64)
    inside = np.flatnonzero((low <= flops) & (flops <= high))
    place = (flops[inside] - low) / max(high - low, 1) * count
    return Sample(
        errors=tuple(sample.errors[i] for i in inside),
        flops=tuple(sample.flops[i] for i in inside),
        bins=tuple(np.minimum(place.astype(np.int64), count - 1).tolist()),
    )


# --- figures of one sample -------------------------------------------------------------------------


def share_below(errors: Floats, weights: Floats, at: Floats) -> Floats:
    """Return the empirical distribution function: the weight of errors up to each of `at`."""
    order = np.argsort(errors)
    total = np.concatenate([[0.0], np.cumsum(weights[order])])
    return np.asarray(total[np.searchsorted(errors[order], at, side="right")])


def quantile(share: float) -> Statistic:
    """Return the statistic that gives the error below which `share` of the weight lies.

    Between two errors, where just that much lies below, it is their middle: the median of NumPy.
    """

    def statistic(errors: Floats, weights: Floats) -> Floats:
        ordered, total = _ordered(errors, weights)
        low = np.argmax(total >= share - _TINY, axis=-1)[..., None]
        high = np.argmax(total > min(share + _TINY, 1 - _TINY), axis=-1)[..., None]
        ends = [np.take_along_axis(ordered, end, axis=-1)[..., 0] for end in (low, high)]
        return np.asarray((ends[0] + ends[1]) / 2)

    return statistic


median: Final = quantile(0.5)


def best_of(count: int) -> Statistic:
    """Return the statistic that gives the least error to expect of so many networks drawn by chance.

    Dodge et al. 2019, "Show your work", arXiv 1909.03004: of draws with replacement.
    """

    def statistic(errors: Floats, weights: Floats) -> Floats:
        ordered, total = _ordered(errors, weights)
        left = 1 - np.concatenate([np.zeros_like(total[..., :1]), total], axis=-1)
        chance = np.clip(left, 0, 1) ** count
        return np.asarray(np.sum(ordered * (chance[..., :-1] - chance[..., 1:]), axis=-1))

    return statistic


def _ordered(errors: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return errors in rising order along the last axis, and the weight up to each."""
    order = np.argsort(errors, axis=-1, kind="stable")
    return np.take_along_axis(errors, order, axis=-1), np.cumsum(weights[order], axis=-1)


# --- intervals -------------------------------------------------------------------------------------


def interval(statistic: Statistic, *samples: Sample, seed: int) -> Interval:
    """Return a statistic of a sample, or its difference of two, the first less the second.

    The interval is the percentile bootstrap's (Efron 1979): networks are drawn again, with FLOP bins each
    within its own.

    Args:
        statistic: of one sample.
        samples: one or two.
        seed: of the draws.
    """
    signs = (1.0, -1.0)[: len(samples)]
    weights = [sample.weights for sample in samples]

    def difference(*errors: Floats) -> Floats:
        parts = (s * statistic(e, w) for s, e, w in zip(signs, errors, weights, strict=True))
        return np.asarray(sum(parts))

    found = float(difference(*(sample.values for sample in samples)))
    if any(len(set(sample.bins)) > 1 for sample in samples):
        low, high = _stratified(difference, samples, seed)
    else:
        low, high = _plain(difference, samples, seed)
    return Interval(value=found, low=low, high=high)


def _resamples(*samples: Sample) -> int:
    """Return how often samples are drawn again."""
    return min(_RESAMPLES, max(1, _MOST_DRAWS // sum(len(one.errors) for one in samples)))


def _plain(
    difference: Callable[..., Floats], samples: Sequence[Sample], seed: int
) -> tuple[float, float]:
    from scipy.stats import bootstrap

    def along(*errors: Floats, axis: int) -> Floats:
        return difference(*(np.moveaxis(e, axis, -1) for e in errors))

    found = bootstrap(
        [sample.values for sample in samples], along, paired=False, vectorized=True,
        n_resamples=_resamples(*samples), confidence_level=CONFIDENCE, method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


def _stratified(
    difference: Callable[..., Floats], samples: Sequence[Sample], seed: int
) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    count = _resamples(*samples)
    drawn = difference(*(_drawn_again(sample, rng, count) for sample in samples))
    rest = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [rest, 1 - rest])
    return float(low), float(high)


def _drawn_again(sample: Sample, rng: np.random.Generator, count: int) -> Floats:
    """Return (resamples, n) errors drawn with replacement, those of a bin from that bin."""
    strata, values = sample.strata, sample.values
    found = np.empty((count, len(values)))
    for stratum in np.unique(strata):
        inside = np.flatnonzero(strata == stratum)
        found[:, inside] = values[rng.choice(inside, (count, len(inside)))]
    return found


# --- Kolmogorov and Smirnov ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class KsTest:
    """The two-sample Kolmogorov–Smirnov test: the largest distance of two EDFs, and its p-value."""

    statistic: float
    p_value: float


def kolmogorov_smirnov(one: Sample, other: Sample, *, seed: int) -> KsTest:
    """Return the test of two samples that `matched` has made; `seed` is that of permutations.

    Of equal weights the p-value is SciPy's, exact for small samples. With FLOP bins it comes from
    permutations within each bin, which are equally likely where the bin's networks err alike.
    """
    if not one.bins:
        from scipy.stats import ks_2samp

        found: Any = ks_2samp(one.values, other.values)
        return KsTest(statistic=float(found.statistic), p_value=float(found.pvalue))
    strata = np.concatenate([one.strata, other.strata])
    signed = np.concatenate([one.weights, -other.weights])
    values = np.concatenate([one.values, other.values])
    rng = np.random.default_rng(seed)
    count = _resamples(one, other)
    permuted = np.tile(signed, (count, 1))
    for stratum in np.unique(strata):
        inside = np.flatnonzero(strata == stratum)
        permuted[:, inside] = rng.permuted(permuted[:, inside], axis=1)
    seen = float(distances(values, signed[None])[0])
    as_far = np.count_nonzero(distances(values, permuted) >= seen - _TINY)
    return KsTest(statistic=seen, p_value=(1 + as_far) / (1 + count))


def distances(values: Floats, signed: Floats) -> Floats:
    """Return the largest distances of two EDFs, (m,).

    Args:
        values: (n,) errors of both samples.
        signed: (m, n) weights, those of the second sample negative.
    """
    order = np.argsort(values)
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    apart = np.abs(np.cumsum(signed[:, order], axis=1))[:, ends]
    return np.asarray(apart.max(axis=1))


# --- verdicts --------------------------------------------------------------------------------------


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p-values adjusted for being several (Holm 1979): each may be judged by itself."""
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    raised = np.maximum.accumulate(np.array(p_values)[order] * factors)
    found = np.empty(len(p_values))
    found[order] = np.minimum(raised, 1)
    return tuple(found.tolist())


def needed(found: Interval, networks: Sequence[int]) -> int | None:
    """Return the networks a space with which a difference of this size is told in four cases of five.

    Standard errors fall with the root of n: n ((z.975 + z.8) se / d)². None: the difference is 0.

    Args:
        found: the difference, with its interval.
        networks: of the two samples it is from.
    """
    if abs(found.value) < _TINY:
        return None
    error = (found.high - found.low) / (2 * 1.96)
    count = len(networks) / sum(1 / n for n in networks)
    return max(2, int(np.ceil(count * ((1.96 + 0.84) * error / found.value) ** 2)))
