"""A gauge that measures nothing, for tests of whatever asks for latencies and exports."""

from collections.abc import Callable, Sequence
from pathlib import Path

from archsearch.exchange.checking.agreement import Exported
from archsearch.exchange.export import ExportRequest
from archsearch.exchange.latency import Latency, LatencyRequest
from archsearch.ir.codec import from_json
from archsearch.ir.graph import Graph


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

    def export(self, request: ExportRequest) -> Exported:
        """Write nothing."""
        return Exported(
            path=Path(request.out),
            format=request.format,
            size_bytes=0,
            images=0,
            difference=0.0,
            same_top1=0,
        )

    def close(self) -> None:
        """Give up what is under way."""
        self._left = None
        self.closed = True
