"""The seam between a study and whatever exports its networks and measures how long a call takes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from archsearch.exchange.export import ExportRequest
from archsearch.exchange.latency import Latency, LatencyRequest
from archsearch.ir.codec import from_json
from archsearch.ir.graph import Graph

READY: Final = 4
"""Networks at most that wait in memory to be measured."""


class Gauge(Protocol):
    """Measures networks, one at a time, without holding up whoever asks; and exports them.

    A gauge that is closed may be asked again.
    """

    def warm_up(self, requests: Sequence[LatencyRequest] = ()) -> None:
        """Get ready, as something will be asked soon; these requests among it."""
        ...

    def ask(self, request: LatencyRequest) -> None:
        """Begin a measurement.

        Raises:
            ValueError: another is under way.
            ArchsearchError: it cannot begin.
        """
        ...

    def poll(self, timeout_s: float = 0.0) -> Latency | None:
        """Return the answer; None where there is none within `timeout_s`.

        Raises:
            ArchsearchError: the measurement failed.
        """
        ...

    def export(self, request: ExportRequest) -> Path:
        """Export a network and wait for it; return where it lies.

        Raises:
            UserError: something is there already.
            ArchsearchError: it failed.
        """
        ...

    def close(self) -> None:
        """Give up what is under way."""
        ...


class FakeGauge:
    """Measures nothing: a formula says how long a network takes, after some polls.

    Args:
        ms: median milliseconds of a network; a tenth of the calls is 10 % quicker. It may raise.
        polls: polls without an answer before the one with it.
    """

    def __init__(self, ms: Callable[[Graph], float], *, polls: int = 1) -> None:
        self.asked: list[LatencyRequest] = []
        """All that was ever asked."""
        self.warmed: list[LatencyRequest] | None = None
        """What it was to get ready for; None: it was not."""
        self.closed = False
        self._ms = ms
        self._polls = polls
        self._left: int | None = None

    def warm_up(self, requests: Sequence[LatencyRequest] = ()) -> None:
        """Note it."""
        self.warmed = [*(self.warmed or []), *requests]

    def ask(self, request: LatencyRequest) -> None:
        """Begin a measurement."""
        if self._left is not None:
            raise ValueError("a measurement is under way")
        self.asked.append(request)
        self._left = self._polls

    def poll(self, timeout_s: float = 0.0) -> Latency | None:
        """Return the answer, when it is time."""
        del timeout_s
        if self._left is None:
            raise ValueError("nothing was asked")
        if self._left > 0:
            self._left -= 1
            return None
        self._left = None
        request = self.asked[-1]
        ms = self._ms(from_json(request.graph)) * request.batch
        return Latency(
            median_ms=ms,
            p10_ms=0.9 * ms,
            p90_ms=1.3 * ms,
            calls=30,
            batch=request.batch,
            device="cpu",
            threads=1,
        )

    def export(self, request: ExportRequest) -> Path:
        """Write nothing."""
        return Path(request.out)

    def close(self) -> None:
        """Give up what is under way."""
        self._left = None
        self.closed = True


def wait_for(
    gauge: Gauge, request: LatencyRequest, *, stopped: Callable[[], bool]
) -> Latency | None:
    """Measure and wait for it; None where `stopped` says so before.

    Raises:
        ArchsearchError: the measurement failed.
    """
    gauge.ask(request)
    while (found := gauge.poll(0.25)) is None:
        if stopped():
            gauge.close()
            return None
    return found
