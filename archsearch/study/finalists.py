"""The finals of a study: who is retrained, what is measured of them, and what is told."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from archsearch.archive.leaderboard import Row, read_result
from archsearch.archive.orders import Length, Training
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.exchange.gauge import Gauge
from archsearch.exchange.latency import LatencyRequest, is_calm
from archsearch.settings import RunSettings
from archsearch.strategy.bounds import Bounds
from archsearch.strategy.closing import READY
from archsearch.strategy.finals import Entrant, Finals, FinalsPlan, choose
from archsearch.study.events import Event, FinalistsStarted, LatencyFound, Notice
from archsearch.units import format_ms


def finals_of(
    store: StudyStore, settings: RunSettings, bounds: Bounds, length: Callable[[int], Length]
) -> Finals:
    """Return the finals of a study whose search is over; or the trainings of a full training."""
    rows, facts = read_result(store).rows, store.facts
    if facts.training is None:
        rows = tuple(choose(rows, settings.finalists))
    plan = FinalsPlan(
        entrants=tuple(_entrant(row, store, length, bounds) for row in rows),
        seeds=settings.seeds,
        seed=settings.seed,
        length=length,
        # More time is for what was left, not for more than was asked for.
        further=facts.full and facts.more_time is None,
        validated=settings.train_on == "train",
    )
    return Finals(plan, bounds=bounds, done=store.finals)


def announced(store: StudyStore, finals: Finals) -> FinalistsStarted:
    """Return what is told as the finals begin."""
    entrants, seeds = finals.plan.entrants, finals.plan.seeds
    asked = [finals.plan.order(e, n).key for e in entrants for n in range(1, seeds + 1)]
    return FinalistsStarted(
        rows=read_result(store).rows,
        full=store.facts.training is not None,
        entrants=tuple(entrant.design.label for entrant in entrants),
        jobs=len(asked),
        done=sum(key in store.finals for key in asked),
    )


def ended_before(store: StudyStore, finals: Finals) -> list[Training]:
    """Return the retrainings that an earlier process brought to their ends."""
    entrants = {entrant.design.name: entrant for entrant in finals.plan.entrants}
    return [
        Training(order=finals.plan.order(entrants[key.name], key.seed or 0), outcome=outcome)
        for key, outcome in store.finals.items()
        if key.name in entrants
    ]


def keep_what_is_left(store: StudyStore, finals: Finals, emit: Callable[[Event], None]) -> None:
    """Keep why finals are left to do, and tell what the time that was left over went into."""
    facts = replace(store.facts, left=finals.left)
    if finals.further and finals.further not in facts.ended:
        ended = "; ".join(filter(None, (facts.ended, finals.further)))
        facts = replace(facts, ended=ended)
        emit(Notice(text=finals.further))
    store.keep(facts)


def get_ready(gauge: Gauge, store: StudyStore, folder: StudyFolder, finals: Finals) -> None:
    """Have the gauge get ready for the finalists: when they have trained, only calls are left to time."""
    left = [e.design for e in finals.plan.entrants if e.design.name not in store.latencies]
    requests = [LatencyRequest(graph=folder.read_graph(design.graph)) for design in left[:READY]]
    gauge.warm_up(requests)


def unmeasured(store: StudyStore) -> list[Row]:
    """Return the networks that were retrained and have not been measured, the best first."""
    rows = [row for row in read_result(store).rows if row.retrained]
    return [row for row in rows if row.name not in store.latencies]


def tell_latencies(before: Sequence[Row], store: StudyStore, emit: Callable[[Event], None]) -> None:
    """Tell the latencies of finalists, all of them: one process before may have died too early."""
    known = {row.name: row for row in read_result(store).rows}
    for row in (known[row.name] for row in before):
        if row.latency_ms is not None:
            keys = tuple(key for key in store.finals if key.name == row.name)
            emit(LatencyFound(keys=keys, ms=row.latency_ms))
        if row.too_slow and row.origin != "published":
            wins = "; it wins nevertheless: none is quicker" if row.winner else ""
            emit(Notice(text=f"{row.label} is {row.reason}{_disturbed(row)}{wins}"))


def _entrant(
    row: Row, store: StudyStore, length: Callable[[int], Length], bounds: Bounds
) -> Entrant:
    for trial in store.trials:
        if trial.design.name == row.name:
            seconds = _full_s(trial.best_known, length(trial.design.flops), bounds)
            return Entrant(design=trial.design, knobs=trial.knobs, trial_s=seconds)
    design = next(design for design in store.facts.baselines if design.name == row.name)
    return Entrant(design=design, knobs={})


def _full_s(ended: Training | None, full: Length, bounds: Bounds) -> float | None:
    """Return the seconds that a training of the full length takes, from one that may have been shorter."""
    if ended is None or ended.outcome is None or ended.outcome.status != "complete":
        return None
    images = ended.order.length.images or full.images  # an earlier version did not keep it
    return bounds.in_full_s(ended.outcome.total_s, images / full.images)


def _disturbed(row: Row) -> str:
    """Return a remark where the measurement is not to be trusted much; empty: it is."""
    if row.latency_ms is None or row.latency_p10_ms is None:
        return ""
    if is_calm(row.latency_ms, p10=row.latency_p10_ms):
        return ""
    return (
        f" (though a tenth of its calls took less than {format_ms(row.latency_p10_ms)} ms: other work "
        "disturbed them)"
    )
