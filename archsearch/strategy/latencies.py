"""Measuring the finalists as a phase: how quick they are, when their trainings have ended."""

from collections import deque
from collections.abc import Sequence

from archsearch.archive.leaderboard import Row
from archsearch.exchange.latency import Latency
from archsearch.strategy.bounds import Bounds
from archsearch.strategy.phase import DropMeasurement, Keep, Measure, Phase, Rest, Say, Step


class Latencies(Phase):
    """Has networks measured, the best first, as long as there is time (see `Phase`).

    A network that cannot be measured costs a notice.

    Args:
        rows: the networks.
        bounds: on time.
    """

    def __init__(self, rows: Sequence[Row], *, bounds: Bounds) -> None:
        self._rows = deque(rows)
        self._bounds = bounds
        self._current: Row | None = None
        self._said: deque[Step] = deque()

    def next(self, now_s: float, *, room: int) -> Step:
        """Return what to do now."""
        self._bounds.at(now_s)
        if self._said:
            return self._said.popleft()
        if self._current is not None:
            if self._bounds.admits_latency(under_way=True):
                return Rest.WAIT
            self._give_up(self._current)
            self._current = None
            return DropMeasurement()
        if not self._rows:
            return Rest.DONE
        row = self._rows.popleft()
        if not self._bounds.admits_latency():
            self._give_up(row)
            return self._said.popleft()
        self._current = row
        return Measure(graph=row.graph)

    def measured(self, found: Latency | str, now_s: float) -> None:
        """Take what was measured of the current network, or why it could not be."""
        self._bounds.at(now_s)
        row, self._current = self._current, None
        if row is None:
            return
        self._said.append(Keep(row.name, found))
        if isinstance(found, str):
            self._said.append(Say(f"{row.label}: {found}"))

    def _give_up(self, row: Row) -> None:
        self._said.append(Say(f"{row.label}: no time is left to measure its latency"))
        self._rows.clear()
