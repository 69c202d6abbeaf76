"""The seam between a study and whatever exports its networks and measures how long a call takes."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from archsearch.exchange.checking.agreement import Exported
from archsearch.exchange.export import ExportRequest
from archsearch.exchange.latency import Latency, LatencyRequest

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

    def export(self, request: ExportRequest) -> Exported:
        """Export a network and wait for it.

        Raises:
            UserError: something is there already.
            ArchsearchError: it failed.
        """
        ...

    def close(self) -> None:
        """Give up what is under way."""
        ...


def wait_for(
    gauge: Gauge, request: LatencyRequest, *, stopped: Callable[[], bool]
) -> Latency | None:
    """Return a latency as soon as it is measured; None where `stopped` says so before.

    Raises:
        ArchsearchError: the measurement failed.
    """
    gauge.ask(request)
    while (found := gauge.poll(0.25)) is None:
        if stopped():
            gauge.close()
            return None
    return found
