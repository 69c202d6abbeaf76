"""How quick the finalists are, measured when their trainings have ended and the machine is idle."""

from collections.abc import Callable, Sequence
from dataclasses import asdict

from archsearch.archive.folder import StudyFolder
from archsearch.archive.leaderboard import (
    LATENCY,
    Row,
    final_key,
    final_outcomes,
    latencies,
    read_result,
)
from archsearch.archive.store import StudyStore
from archsearch.errors import ArchsearchError
from archsearch.exchange.gauge import READY, Gauge, wait_for
from archsearch.exchange.latency import LatencyRequest, is_calm
from archsearch.planning.limits import Limits
from archsearch.study.journal import Journal
from archsearch.units import format_ms


def get_ready(gauge: Gauge, rows: Sequence[Row], *, store: StudyStore, folder: StudyFolder) -> None:
    """Have the gauge get ready for these networks: when they have trained, only calls are left to time."""
    left = [row for row in rows if row.name not in latencies(store)]
    gauge.warm_up([latency_request(row, folder) for row in left[:READY]])


def latency_request(row: Row, folder: StudyFolder) -> LatencyRequest:
    """Return what to measure of a network."""
    return LatencyRequest(graph=folder.read_graph(row.graph))


def measure_finalists(
    gauge: Gauge,
    *,
    store: StudyStore,
    folder: StudyFolder,
    journal: Journal,
    limits: Limits,
    stopped: Callable[[], bool],
) -> bool:
    """Measure every network that was retrained and has not been measured yet, the best first.

    A network that cannot be measured costs a notice.

    Returns:
        False where `stopped` said so before the end; what was measured is kept.
    """
    rows = [row for row in read_result(store).rows if row.final_val is not None]
    for row in rows:
        if row.name in latencies(store):
            continue
        if not limits.admits_latency():
            journal.notice(f"{row.label}: no time is left to measure its latency")
            break
        try:
            found = wait_for(
                gauge,
                latency_request(row, folder),
                stopped=lambda: stopped() or not limits.admits_latency(under_way=True),
            )
        except ArchsearchError as error:
            store.set_attribute(LATENCY + row.name, {"failed": str(error)})
            journal.notice(f"{row.label}: {error}")
            continue
        if found is None and stopped():
            return False
        if found is None:
            journal.notice(f"{row.label}: no time is left to measure its latency")
            break
        store.set_attribute(LATENCY + row.name, asdict(found))
    _tell(rows, store, journal)
    return True


def _tell(before: list[Row], store: StudyStore, journal: Journal) -> None:
    """Pass the latencies on to the tracker, all of them: one before may have died too early."""
    keys = list(final_outcomes(store))
    known = {row.name: row for row in read_result(store).rows}
    for row in (known[row.name] for row in before):
        if row.latency_ms is not None:
            stem = final_key(row.name, 0)[:-1]
            for key in keys:
                if key.rstrip("0123456789") == stem:
                    journal.latency(key, {"latency_ms": row.latency_ms})
        if row.too_slow and row.origin != "published":
            wins = "; it wins nevertheless: none is quicker" if row.winner else ""
            journal.notice(f"{row.label} is {row.reason}{_disturbed(row)}{wins}")


def _disturbed(row: Row) -> str:
    """Say where the measurement is not to be trusted much."""
    if row.latency_ms is None or row.latency_p10_ms is None:
        return ""
    if is_calm(row.latency_ms, p10=row.latency_p10_ms):
        return ""
    return (
        f" (though a tenth of its calls took less than {format_ms(row.latency_p10_ms)} ms: other work "
        "disturbed them)"
    )
