"""The quickest way to share the machine, measured before the first trial where that is worth its time."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from archsearch.archive.store import StudyStore
from archsearch.engines.engine import Engine
from archsearch.errors import ArchsearchError
from archsearch.planning.forecast import Forecast, expected
from archsearch.planning.pace import Pace, measure_pace
from archsearch.planning.problem import Prepared
from archsearch.planning.sharing import Sharing, half_sharing, other_sharings

MEASURING: Final = "measuring how fast this machine trains"
WORTH: Final = 0.02
"""Of the time a run takes, what measuring other ways to share the machine may take."""
CLEARLY: Final = 1.1
"""Another way has to be so many times as fast: two measurements of one way differ, too."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A way to share the machine, with its workers warm.

    Attributes:
        engine: of the workers.
        prepared: with the way that was chosen.
        forecast: what the run will take.
    """

    engine: Engine
    prepared: Prepared
    forecast: Forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Measures ways to share a machine, from a rule of thumb on uphill.

    The first way is always measured: a plan needs its pace. Its neighbours are as long as all of that
    takes a small part of the run only, so a run of minutes starts at once.

    Attributes:
        open_engine: starts workers.
        clock: seconds.
        began: when the run did, by that clock.
        stopped: whether to end at once.
        tell: told what is being measured.
        store: the study that is gone on with; None: a new one.
    """

    open_engine: Callable[[Sharing], Engine]
    clock: Callable[[], float]
    began: float
    stopped: Callable[[], bool]
    tell: Callable[[str], None]
    store: StudyStore | None = None

    @contextmanager
    def run(self, prepared: Prepared) -> Iterator[Calibrated]:
        """Give the quickest way found while the block runs, then end its workers."""
        self.tell(MEASURING)
        since = self.clock()
        first = found = self._measured(prepared)
        tried = {str(prepared.sharing): found.forecast}
        try:
            while (fewer := _fewer(found)) is not None and not self.stopped():
                found.engine.close()
                self.tell(f"{MEASURING} with {fewer.sharing}")
                since = self.clock()
                found = self._measured(fewer)
                tried[str(fewer.sharing)] = found.forecast
            if found is not first and _fails(found.forecast):  # it is not their number
                found.engine.close()
                found = replace(first, engine=self.open_engine(prepared.sharing))
            took_s = self.clock() - since
            best = found
            spent_s = 0.0
            while not self.stopped() and not _fails(best.forecast):
                other = self._next(best, tried)
                worth_s = WORTH * (best.forecast.total_s or 0.0)
                if other is None or spent_s + took_s > worth_s:
                    break
                # Workers that wait hold memory of a GPU that the others would have to do without.
                found.engine.close()
                self.tell(f"{MEASURING} with {other}")
                since = self.clock()
                end = since + worth_s - spent_s
                found = self._measured(replace(best.prepared, sharing=other), end=end)
                took_s = max(took_s, self.clock() - since)
                spent_s += self.clock() - since
                tried[str(other)] = found.forecast
                if CLEARLY * _length(found.forecast) < _length(best.forecast):
                    best = found
            if found is not best:
                found.engine.close()
                found = replace(best, engine=self.open_engine(best.prepared.sharing))
            yield self._told(found, tried)
        finally:
            found.engine.close()

    def _measured(self, prepared: Prepared, *, end: float = math.inf) -> Calibrated:
        """Start workers and measure them; what is tried beside, until `end`, may fail or be given up."""
        engine = self.open_engine(prepared.sharing)
        pace: Pace | str
        try:
            try:
                pace = measure_pace(
                    engine, prepared, stopped=lambda: self.stopped() or self.clock() > end
                )
            except ArchsearchError as error:
                if math.isinf(end):
                    raise
                pace = str(error)
            return Calibrated(engine, prepared, self._expected(prepared, pace))
        except BaseException:
            engine.close()
            raise

    def _expected(self, prepared: Prepared, pace: Pace | str) -> Forecast:
        elapsed_s = self.clock() - self.began
        return expected(prepared, pace, elapsed_s=elapsed_s, store=self.store)

    def _next(self, best: Calibrated, tried: dict[str, Forecast]) -> Sharing | None:
        """Return a neighbour that has not been measured; None where there is no other."""
        prepared = best.prepared
        others = other_sharings(prepared.settings, prepared.sharing)
        return next((other for other in others if str(other) not in tried), None)

    def _told(self, found: Calibrated, tried: dict[str, Forecast]) -> Calibrated:
        """Say in the forecast what else was measured; its time goes on from here."""
        own = found.forecast
        others = {
            words: 0.0 if math.isinf(_length(other)) else _length(own) / _length(other)
            for words, other in tried.items()
            if words != str(found.prepared.sharing)
        }
        fresh = own if own.pace is None else self._expected(found.prepared, own.pace)
        return replace(found, forecast=replace(fresh, tried=others))


def _fewer(found: Calibrated) -> Prepared | None:
    """Return half as many workers where so many at a time did not all train; None where they did."""
    if not _fails(found.forecast):
        return None
    half = half_sharing(found.prepared.settings, found.prepared.sharing)
    return None if half is None else replace(found.prepared, sharing=half)


def _fails(found: Forecast) -> bool:
    """Whether some of the workers could not train, or all."""
    return found.pace is None or bool(found.pace.failed)


def _length(found: Forecast) -> float:
    """Say how long a run takes; in one that is bounded, how long a trial keeps the machine.

    Without end where not all workers can train at the same time.
    """
    if found.trial_s is None or found.search_s is None or found.finals_s is None or _fails(found):
        return math.inf
    if found.fit is not None:
        return found.trial_s / found.workers
    return found.search_s + found.finals_s
