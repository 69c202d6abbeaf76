"""How large an effect is, from paired differences that come one after another, looked at after each.

Whoever stops once an interval says what it should, and takes the interval of a fixed number, is wrong more
often than the interval says. These hold at all times at once: with normal differences the chance that the
true mean is ever outside is 5 %. They are the t-test's with a normal mixture over the effect in standard
deviations (Wang & Ramdas 2023, "Anytime-valid t-tests and confidence sequences for Gaussian means with
unknown variance", arXiv 2310.03722; after Lai 1976), at n = 20 two thirds wider than a fixed number's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import fmean, stdev
from typing import Final

ERROR: Final = 0.05
"""The chance that an interval is ever wrong."""
_MIXTURE: Final = 1.0
"""Variance of the mixture, in units of the differences' variance: effects of about their deviation."""
LEAST: Final = 5
"""Pairs below which there is no interval: it would hold everything."""


class Answer(Enum):
    """What an interval says of an effect."""

    HELPS = "helps"
    HARMS = "harms"
    LITTLE = "makes little difference"
    OPEN = "open"

    @property
    def is_open(self) -> bool:
        """Whether there is none yet."""
        return self is Answer.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The mean of paired differences.

    Attributes:
        mean: of all; None: there are none.
        low, high: 95 %, whenever one has looked and stopped; infinite while there are few pairs.
        sd: of the differences; None: there are fewer than two.
        n: pairs.
        margin: effects within it count as none.
    """

    mean: float | None
    low: float
    high: float
    sd: float | None
    n: int
    margin: float

    @property
    def answer(self) -> Answer:
        """What is answered."""
        if self.low > 0:
            return Answer.HELPS
        if self.high < 0:
            return Answer.HARMS
        within = -self.margin <= self.low and self.high <= self.margin
        return Answer.LITTLE if within else Answer.OPEN


def effect(differences: Sequence[float], *, margin: float, resolution: float = 0.0) -> Effect:
    """Return the effect after some pairs, in the unit of the differences.

    All intervals on the way hold at once, and so does what they have in common. Where that is nothing, or
    without the mean of all, few early differences were too much alike to be normal: the last one counts.

    Args:
        differences: in the order in which they came.
        margin: effects within it count as none.
        resolution: the steps that measured values have, such as one validation image.
    """
    low, high = -math.inf, math.inf
    for n in range(LEAST, len(differences) + 1):
        bounds = _bounds(differences[:n], resolution)
        common = max(low, bounds[0]), min(high, bounds[1])
        holds = common[0] <= fmean(differences[:n]) <= common[1]
        low, high = common if holds else bounds
    mean = fmean(differences) if differences else None
    sd = stdev(differences) if len(differences) > 1 else None
    return Effect(mean=mean, low=low, high=high, sd=sd, n=len(differences), margin=margin)


def needed(found: Effect, *, most: int = 10_000) -> int | None:
    """Return the pairs that would answer, if effect and spread are what they seem; None: over `most`."""
    if found.mean is None or found.sd is None:
        return None
    size = abs(found.mean)
    enough = max(size, found.margin - size)
    counts = range(max(LEAST, found.n + 1), most + 1)
    return next((n for n in counts if half_width(n) * found.sd < enough * math.sqrt(n)), None)


def half_width(n: int) -> float:
    """Return the interval's half width after n differences, in their standard errors.

    With c = 1 + ng and q = (c / α²)^(1/n), t² is at most (n − 1)(q − 1) / (1 − q / c).
    """
    spread = 1 + n * _MIXTURE
    q = (spread / ERROR**2) ** (1 / n)
    if q >= spread:
        return math.inf
    return math.sqrt((n - 1) * (q - 1) / (1 - q / spread))


def _bounds(differences: Sequence[float], resolution: float) -> tuple[float, float]:
    n, mean = len(differences), fmean(differences)
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1)
    # Two values, each rounded to a step, differ by rounding with a variance of a sixth of its square.
    half = half_width(n) * math.sqrt(max(variance, resolution**2 / 6) / n)
    return mean - half, mean + half
