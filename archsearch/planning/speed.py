"""How long a network trains beside others, from its workload: with equal FLOPs one to four times as long.

A linear model of the logarithm of the seconds, whose coefficients were fitted to trainings of nine spaces on
a processor (benchmarks/RESULTS.md). Its level is never used: how fast a machine is has to be measured.
"""

from collections.abc import Sequence
from math import exp
from statistics import fmean
from typing import Final

from archsearch.readings.workload import Workload

COEFFICIENTS: Final = Workload(flops=0.34, elements=0.23, ops=0.12, params=0.03, thin=0.15)
"""What the logarithm of the seconds rises by with each figure."""


def effort(load: Workload) -> float:
    """Return what a training with this workload takes, in seconds of a machine nobody has."""
    pairs = zip(load.figures(), COEFFICIENTS.figures(), strict=True)
    return exp(sum(figure * coefficient for figure, coefficient in pairs))


def typical(measured: Sequence[Workload], every: Sequence[Workload]) -> float:
    """Return how many times as long as the networks that were measured those take that will be trained."""
    if not measured or not every:
        return 1.0
    return fmean(map(effort, every)) / fmean(map(effort, measured))
