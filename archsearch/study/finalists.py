"""The finals of a study: who is retrained, what is measured of them, and what is told."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from archsearch.archive.design import Design
from archsearch.archive.judging import evidence_of
from archsearch.archive.keys import JobKey
from archsearch.archive.leaderboard import Row, StudyResult, best_final_key, read_result
from archsearch.archive.orders import Length, Training, Trial
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.exchange.gauge import Gauge
from archsearch.exchange.latency import LatencyRequest, is_calm
from archsearch.settings import RunSettings
from archsearch.statistics.posterior import Evidence
from archsearch.strategy.allocation import Contest
from archsearch.strategy.bounds import Bounds
from archsearch.strategy.closing import READY
from archsearch.strategy.finals import Entrant, Finals, FinalsPlan
from archsearch.study.events import Event, FinalistsStarted, LatencyFound, Notice
from archsearch.units import budget_text, format_ms

MOST_CONTENDERS: Final = 5
"""Finalists of a budget whose weights are kept for an ensemble: each takes its place on the disk."""


def finals_of(
    store: StudyStore, settings: RunSettings, bounds: Bounds, length: Callable[[int], Length]
) -> Finals:
    """Return the finals of a study whose search is over; or the trainings of a full training."""
    facts = store.facts
    contest = contest_of(store, settings) if facts.training is None else None
    plan = FinalsPlan(
        entrants=tuple(Entrant(design=design, knobs={}) for design in facts.baselines),
        seeds=settings.seeds,
        seed=settings.seed,
        length=length,
        thrifty=facts.full,
        # More time is for what was left, not for more than was asked for.
        further=facts.full and facts.extension is None,
        validated=settings.train_on == "train",
    )
    if contest is not None:
        # The study's own, also where it is resumed with other workers: decisions depend on them.
        window = facts.settings.workers or 1
        names = {one.name for one in contest.contestants}
        able = [trial for trial in store.trials if trial.design.name in names]
        contestants = {trial.design.name: _entrant(trial, length, bounds) for trial in able}
        images = facts.dataset.splits.get("val", 0)
        plan = replace(
            plan,
            contest=contest,
            contestants=contestants,
            window=window,
            fold=lambda number: facts.settings.fold(number, val_images=images),
        )
    return Finals(plan, bounds=bounds, done=store.finals)


def contest_of(store: StudyStore, settings: RunSettings) -> Contest:
    """Return who of a search may be retrained, in each of its slices where it has several."""
    budgets = store.facts.settings.budgets() or (None,)
    return Contest.of([_contest(store, settings, budget) for budget in budgets])


def _contest(store: StudyStore, settings: RunSettings, budget: int | None) -> Contest:
    """Return who of a budget may be retrained: all that trained to their ends at the full length.

    Where these are fewer than are to be finalists, the best of the shorter trainings come on top: nothing is
    known of them at that length.
    """
    searched = evidence_of(store, budget, finals=False)
    trials = {trial.design.name for trial in store.trials if trial.design.budget == budget}
    found = (row for row in read_result(store).rows if row.name in trials)
    rows = [row for row in found if row.status == "complete"]
    matched = next((row.name for row in rows if row.origin == "matched"), "")
    places = settings.finalists and settings.finalists + bool(matched)
    known = {one.name for one in searched}
    rows.sort(key=lambda row: (row.stalled, -row.rung, -(row.val_accuracy or 0), row.name))
    others = [row.name for row in rows if row.origin == "search" and row.name not in known]
    lacking = max(0, settings.finalists - len(known - {matched}))
    others = [*others[:lacking], *([matched] if matched not in known and matched else [])]
    searched += tuple(Evidence(name=name, values=()) for name in others)
    return Contest(
        contestants=searched,
        matched=matched,
        trainings=settings.seeds * min(places, len(searched)),
        images=store.facts.dataset.splits.get("val", 0),
    )


def announced(store: StudyStore, finals: Finals) -> FinalistsStarted:
    """Return what is told as the finals begin."""
    plan = finals.plan
    fixed = [_named(entrant.design) for entrant in plan.entrants]
    matched = plan.contestants.get(plan.contest.matched)
    return FinalistsStarted(
        rows=read_result(store).rows,
        full=store.facts.training is not None,
        entrants=(*([_named(matched.design)] if matched else []), *fixed),
        candidates=len(plan.contestants) - (matched is not None),
        jobs=plan.asked,
        done=finals.done,
    )


def _named(design: Design) -> str:
    """Return a network's label, of several budgets with its own: their classics may be called alike."""
    return (
        design.label if design.budget is None else f"{design.label} at {budget_text(design.budget)}"
    )


def ended_before(store: StudyStore, finals: Finals) -> list[Training]:
    """Return the retrainings that an earlier process brought to their ends."""
    entrants = {entrant.design.name: entrant for entrant in finals.plan.entrants}
    entrants |= finals.plan.contestants
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
    left = [design for design in finals.retrained if design.name not in store.latencies]
    requests = [LatencyRequest(graph=folder.read_graph(design.graph)) for design in left[:READY]]
    gauge.warm_up(requests)


def unmeasured(store: StudyStore) -> list[Row]:
    """Return the networks that were retrained and have not been measured, the best first.

    Of the search's candidates it is as many as there are to be finalists, of each budget: measuring takes
    seconds each. Where latency is bounded it is all of them, since it decides.
    """
    rows, settings = [row for row in read_result(store).rows if row.retrained], store.facts.settings
    found = [row for row in rows if row.origin == "search"]
    if settings.max_latency is None:
        budgets = dict.fromkeys(row.budget for row in found)
        each = ([row for row in found if row.budget == budget] for budget in budgets)
        found = [row for rows in each for row in rows[: settings.finalists]]
    kept = {row.name for row in found}
    rows = [row for row in rows if row.origin != "search" or row.name in kept]
    return [row for row in rows if row.name not in store.latencies]


def contenders(store: StudyStore, result: StudyResult) -> tuple[tuple[Row, JobKey], ...]:
    """Return who may be in an ensemble: the best finalists of each budget, each with one training.

    It is the network's best of those that were validated on the first seed's images: no member has trained
    on these, so that the members can be chosen by them. Published networks are outside the budget.
    """
    settings, images = store.facts.settings, store.facts.dataset.splits.get("val", 0)
    first = settings.fold(1, val_images=images)
    able = {
        key: outcome
        for key, outcome in store.finals.items()
        if settings.fold(key.seed, val_images=images) == first
        and outcome.status == "complete"
        and not outcome.stalled
    }
    trained = {key.name for key in able}
    found: list[tuple[Row, JobKey]] = []
    places: Counter[int | None] = Counter()
    for row in result.rows if store.facts.training is None else ():
        if row.name not in trained or row.origin == "published":
            continue
        if places[row.budget] < MOST_CONTENDERS:
            places[row.budget] += 1
            found.append((row, best_final_key(row.name, able)))
    return tuple(found)


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


def _entrant(trial: Trial, length: Callable[[int], Length], bounds: Bounds) -> Entrant:
    seconds = _full_s(trial.best_known, length(trial.design.flops), bounds)
    return Entrant(design=trial.design, knobs=trial.knobs, trial_s=seconds)


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
