"""The quickest way to share the machine, measured before the first trial where that is worth its time."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from archsearch.archive.store import StudyStore
from archsearch.engines.engine import Engine
from archsearch.errors import ArchsearchError
from archsearch.planning.earlier_durations import ByPlatform, nothing
from archsearch.planning.forecast import Forecast, expected
from archsearch.planning.pace import Pace, PaceMeasuring
from archsearch.planning.problem import Problem
from archsearch.planning.sharing import Sharing, half_sharing, other_sharings
from archsearch.strategy.phase import Phase

MEASURING: Final = "measuring how fast this machine trains"
WORTH: Final = 0.02
"""The share of a run's time that measuring other ways to share the machine may take."""
CLEARLY: Final = 1.1
"""Times as fast that another way has to be to be taken: two measurements of one way differ, too."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A way to share the machine, with its workers warm.

    Attributes:
        engine: of the workers.
        problem: with the way that was chosen.
        forecast: what the run will take.
        measured_flops: training FLOPs that all measuring took.
    """

    engine: Engine
    problem: Problem
    forecast: Forecast
    measured_flops: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Measures ways to share a machine, from a rule of thumb on uphill.

    The first way is always measured: a plan needs its pace. Its neighbours are as long as all of that
    takes a small part of the run only, so a run of minutes starts at once.

    Attributes:
        open_engine: starts workers.
        drive: runs a phase on an engine until it is done, or until it is told to stop.
        clock: seconds.
        began: when the run did, by that clock.
        stopped: whether to end at once.
        tell: told what is being measured.
        store: the study that is gone on with; None: a new one.
        durations: what earlier studies say of how long networks train.
    """

    open_engine: Callable[[Sharing], Engine]
    drive: Callable[[Engine, Problem, Phase, Callable[[], bool]], None]
    clock: Callable[[], float]
    began: float
    stopped: Callable[[], bool]
    tell: Callable[[str], None]
    store: StudyStore | None = None
    durations: ByPlatform = nothing

    @contextmanager
    def run(self, problem: Problem) -> Iterator[Calibrated]:
        """Give the quickest way found while the block runs, then end its workers."""
        self.tell(MEASURING)
        workers = _Workers(self)
        try:
            found, took_s = self._all_train(problem, workers)
            best = self._quickest(found, took_s, workers)
            told = self._told(workers.of(best), workers.tried)
            yield replace(told, measured_flops=workers.measured_flops)
        finally:
            workers.close()

    def _all_train(self, problem: Problem, workers: "_Workers") -> tuple[Calibrated, float]:
        """Return a way in which all workers train at a time, if there is one, and what measuring took."""
        since = self.clock()
        first = found = workers.measured(problem)
        while (fewer := _fewer(found)) is not None and not self.stopped():
            self.tell(f"{MEASURING} with {fewer.sharing}")
            since = self.clock()
            found = workers.measured(fewer)
        if found is not first and _fails(found.forecast):  # it is not their number
            found = workers.of(first)
        return found, self.clock() - since

    def _quickest(self, best: Calibrated, took_s: float, workers: "_Workers") -> Calibrated:
        """Return the quickest way found by going uphill from one, as long as that is worth its time."""
        spent_s = 0.0
        while not self.stopped() and not _fails(best.forecast):
            other = self._next(best, workers.tried)
            worth_s = WORTH * (best.forecast.total_s or 0.0)
            if other is None or spent_s + took_s > worth_s:
                break
            self.tell(f"{MEASURING} with {other}")
            since = self.clock()
            end = since + worth_s - spent_s
            found = workers.measured(replace(best.problem, sharing=other), end=end)
            took_s = max(took_s, self.clock() - since)
            spent_s += self.clock() - since
            if CLEARLY * _length(found.forecast) < _length(best.forecast):
                best = found
        return best

    def measured(self, problem: Problem, *, end: float = math.inf) -> Calibrated:
        """Start workers and return their pace; what is tried beside, until `end`, may fail or be given up."""
        engine = self.open_engine(problem.sharing)
        pace: Pace | str
        spent_flops = 0
        try:
            try:
                phase = PaceMeasuring(problem, workers=engine.workers, durations=self.durations)
                self.drive(engine, problem, phase, lambda: self.stopped() or self.clock() > end)
                pace, spent_flops = phase.found, phase.spent_flops
            except ArchsearchError as error:
                if math.isinf(end):
                    raise
                pace = str(error)
            return Calibrated(engine, problem, self._expected(problem, pace), spent_flops)
        except BaseException:
            engine.close()
            raise

    def _expected(self, problem: Problem, pace: Pace | str) -> Forecast:
        elapsed_s = self.clock() - self.began
        return expected(problem, pace, elapsed_s=elapsed_s, store=self.store)

    def _next(self, best: Calibrated, tried: dict[str, Forecast]) -> Sharing | None:
        """Return a neighbour that has not been measured; None where there is no other."""
        problem = best.problem
        others = other_sharings(problem.settings, problem.machine, problem.sharing)
        return next((other for other in others if str(other) not in tried), None)

    def _told(self, found: Calibrated, tried: dict[str, Forecast]) -> Calibrated:
        """Return a way with what else was measured in its forecast, whose time goes on from here."""
        own = found.forecast
        others = {
            words: 0.0 if math.isinf(_length(other)) else _length(own) / _length(other)
            for words, other in tried.items()
            if words != str(found.problem.sharing)
        }
        # A study that goes on keeps to the length that it began with.
        problem = found.problem if self.store is not None else found.problem.fitted(own)
        fresh = own if own.pace is None else self._expected(problem, own.pace)
        return replace(found, problem=problem, forecast=replace(fresh, tried=others))


class _Workers:
    """The workers that are there, those of one way at a time.

    Workers that wait hold memory of a GPU that the others would have to do without.
    """

    def __init__(self, calibration: Calibration) -> None:
        self.tried: dict[str, Forecast] = {}
        self.measured_flops = 0
        self._calibration = calibration
        self._there: Calibrated | None = None

    def measured(self, problem: Problem, *, end: float = math.inf) -> Calibrated:
        """Start a way's workers and measure them."""
        self.close()
        self._there = self._calibration.measured(problem, end=end)
        self.tried[str(problem.sharing)] = self._there.forecast
        self.measured_flops += self._there.measured_flops
        return self._there

    def of(self, found: Calibrated) -> Calibrated:
        """Return a way that was measured with its workers there."""
        if self._there is not found:
            self.close()
            engine = self._calibration.open_engine(found.problem.sharing)
            self._there = replace(found, engine=engine)
        return self._there

    def close(self) -> None:
        """End the workers."""
        if self._there is not None:
            self._there.engine.close()
            self._there = None


def _fewer(found: Calibrated) -> Problem | None:
    """Return half as many workers where so many at a time did not all train; None where they did."""
    if not _fails(found.forecast):
        return None
    half = half_sharing(found.problem.settings, found.problem.machine, found.problem.sharing)
    return None if half is None else replace(found.problem, sharing=half)


def _fails(found: Forecast) -> bool:
    """Whether some of the workers could not train, or all."""
    return found.pace is None or bool(found.pace.failed)


def _length(found: Forecast) -> float:
    """Return the seconds a run takes; of one that is bounded, the seconds a trial keeps the machine.

    Without end where not all workers can train at the same time.
    """
    if found.trial_s is None or found.search_s is None or found.finals_s is None or _fails(found):
        return math.inf
    if found.fit is not None:
        return found.trial_s / found.workers
    return found.search_s + found.finals_s
