"""Under a bound on latency: the most FLOPs at which a candidate is quick enough, in few measurements.

A candidate that is too slow at the budget is solved again for less, never rejected: its knobs stay.
Trials may be in training meanwhile, which slows single calls down; what counts here is therefore a
low quantile, the time below which a tenth of the calls stays. The finalists' latencies are measured
again when nothing else runs, and decide.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from archsearch.archive.design import LatencyFit
from archsearch.errors import UserError
from archsearch.exchange.latency import Latency
from archsearch.space.knobs import Knobs
from archsearch.space.solve import Candidate
from archsearch.units import format_count, format_ms

GOOD: Final = 0.9
"""The share of the bound on latency from which on no better candidate is looked for."""
AIM: Final = 0.95
MOST: Final = 7
"""Measurements at most of a candidate; then the best of those that were quick enough is taken."""
QUANTILE: Final = "p10"
MEASURE_S: Final = 0.5
_STEEP: Final = 1.15
"""Times slower than in proportion to its FLOPs that a network must be to be measured once more."""
_CLOSE: Final = 0.95
"""The share of the FLOPs of the next slower candidate from which on no better one is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBound:
    """What a fit needs.

    Attributes:
        max_ms: of a call of one image, as exported.
        text: the bound as it was written.
        solve: from knobs and FLOPs to the candidate that fills them.
    """

    max_ms: float
    text: str
    solve: Callable[[Knobs, int], Candidate]


@dataclass(frozen=True, slots=True)
class _Measured:
    flops: int
    ms: float
    candidate: Candidate


@dataclass(slots=True)
class Fit:
    """Decides what to measure next, from what was measured; knows no clock and no process.

    Args:
        candidate: at the full budget; afterwards the one to be measured next.
        bound_ms: what it may take.
        solve: from FLOPs to the candidate that fills them; a UserError where they are too few.
    """

    candidate: Candidate
    bound_ms: float
    solve: Callable[[int], Candidate]
    best: Candidate | None = None
    """The one of most FLOPs that is quick enough, as far as is known."""
    best_ms: float | None = None
    """What it takes."""
    done: bool = False
    measured: list[_Measured] = field(default_factory=list)
    _smallest: bool = False

    def tell(self, ms: float) -> None:
        """Take the latency of `candidate`, in milliseconds, and choose the next or be done."""
        self.measured.append(_Measured(self.candidate.cost.flops, ms, self.candidate))
        believed = [replace(m, ms=self._believed(m)) for m in self.measured]
        quick = [m for m in believed if m.ms <= self.bound_ms]
        slow = [m for m in believed if m.ms > self.bound_ms]
        low = max(quick, key=lambda m: m.flops, default=None)
        high = min(slow, key=lambda m: m.flops, default=None)
        self.best = None if low is None else low.candidate
        self.best_ms = None if low is None else low.ms
        if low is None:
            self._go_down(slow)
        elif high is None or len(self.measured) >= MOST or low.ms >= GOOD * self.bound_ms:
            self.done = True
        else:
            self._go_between(low, high)

    def _believed(self, of: _Measured) -> float:
        """Return what a network takes at most: what disturbs a measurement only ever adds to it."""
        return min(m.ms for m in self.measured if m.flops >= of.flops)

    def _times(self, candidate: Candidate) -> int:
        return sum(m.candidate is candidate for m in self.measured)

    def _go_between(self, low: _Measured, high: _Measured) -> None:
        # With all that does not grow with them, latency grows more slowly than the FLOPs.
        steep = high.ms * low.flops > _STEEP * low.ms * high.flops
        if steep and self._times(high.candidate) < 3:
            self.candidate = high.candidate  # it was disturbed
            return
        if low.flops >= _CLOSE * high.flops:
            self.done = True
            return
        share = (AIM * self.bound_ms - low.ms) / (high.ms - low.ms)
        gap = high.flops - low.flops
        found = self._solved(low.flops + min(0.95, max(0.1, share)) * gap)
        # Whole channels: there may be nothing between the two.
        if found is None or not low.flops < found.cost.flops < high.flops:
            self.done = True
        else:
            self.candidate = found

    def _go_down(self, slow: list[_Measured]) -> None:
        """Follow the line through the two quickest so far: latency is nearly linear in the FLOPs."""
        if self._smallest:
            # Its trial fails for it: a second measurement has to say the same.
            self.done = self._times(self.candidate) > 1
            return
        first, *more = sorted(slow, key=lambda m: m.flops)
        aim = AIM * self.bound_ms
        wanted = first.flops * aim / first.ms
        if more and more[0].ms > first.ms:
            slope = (more[0].ms - first.ms) / (more[0].flops - first.flops)
            wanted = first.flops - (first.ms - aim) / slope
        wanted = min(0.9, max(0.1, wanted / first.flops)) * first.flops
        found = None if len(self.measured) >= MOST else self._solved(wanted)
        if found is None:
            self._smallest = True
            found = self._least(wanted, first)
        self.candidate = found if found.cost.flops < first.flops else first.candidate
        self.done = self._times(self.candidate) > 1

    def _solved(self, flops: float) -> Candidate | None:
        try:
            return self.solve(int(flops))
        except UserError:
            return None

    def _least(self, below: float, known: _Measured) -> Candidate:
        """Return the smallest candidate, to a hundredth of its FLOPs; `below` may be too few for any."""
        low, found = 0.0 if self._solved(below) else below, known.candidate
        high = float(known.flops)
        while high - low > 0.01 * high:
            middle = (low + high) / 2
            solved = self._solved(middle)
            if solved is None:
                low = middle
            else:
                found, high = solved, min(middle, float(solved.cost.flops))
        return found


class Fitting:
    """A fit under way: says what to measure, and takes what was measured."""

    def __init__(self, bound: LatencyBound, knobs: Knobs, first: Candidate) -> None:
        self._bound = bound
        self._first = first
        self._fit = Fit(first, bound.max_ms, lambda flops: bound.solve(knobs, flops))
        self._trouble = ""
        self._tried_again = False

    @property
    def wanted(self) -> Candidate:
        """The candidate to measure next."""
        return self._fit.candidate

    @property
    def over(self) -> bool:
        """Whether nothing is left to measure."""
        return bool(self._trouble) or self._fit.done

    def tell(self, found: Latency) -> None:
        """Take the latency of `wanted`."""
        self._fit.tell(found.p10_ms)

    def fail(self, why: str) -> None:
        """Take note that `wanted` could not be measured; the first time it may be no fault of its."""
        if self._tried_again:
            self._trouble = f"its latency could not be measured: {why}"
        self._tried_again = True

    @property
    def candidate(self) -> Candidate:
        """The candidate that is quick enough; the one at the full budget where none is."""
        return self._fit.best or self._first

    @property
    def fault(self) -> str:
        """Why there is none; empty where there is one."""
        if self._trouble or self._fit.best is not None:
            return self._trouble
        least = min(self._fit.measured, key=lambda m: (m.flops, m.ms))
        return (
            f"even {format_count(least.flops)} FLOPs, the least it reaches, take "
            f"{format_ms(least.ms)} ms a call; --max-latency is {self._bound.text}"
        )

    @property
    def bound(self) -> bool:
        """Whether latency kept the candidate from filling the budget."""
        return self._fit.best is not None and self._fit.best is not self._first

    @property
    def result(self) -> LatencyFit:
        """Return what is kept of it."""
        return LatencyFit(
            bound_by="latency" if self.bound else "flops",
            max_ms=self._bound.max_ms,
            quantile=QUANTILE,
            ms=self._fit.best_ms,
            measured=tuple((m.flops, round(m.ms, 4)) for m in self._fit.measured),
        )
