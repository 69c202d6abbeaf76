"""The finals: the best few and the baselines, retrained from scratch with several seeds.

Only here is the test split touched, once per training; it decides nothing. A network's place and
the winner follow from validation accuracy.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from archsearch.runtime.job import EpochReport, Outcome
from archsearch.search.engines.base import Engine
from archsearch.search.events import FinalistsStarted
from archsearch.search.folder import StudyFolder
from archsearch.search.journal import Entry, Journal
from archsearch.search.result import (
    FINAL,
    Row,
    final_key,
    final_outcomes,
    published,
    read_result,
)
from archsearch.search.sampler import derive_seed
from archsearch.search.storage import StudyStore
from archsearch.search.study import POLL_S, Interrupted, checked, halt


@dataclass(frozen=True, slots=True, kw_only=True)
class Finals:
    """How finalists are chosen and retrained.

    Attributes:
        finalists: how many of the search's candidates.
        seeds: trainings of each.
        length: images and epochs of a training, from a network's FLOPs.
        stopped: asked between events; true once the user wants to stop.
    """

    finalists: int
    seeds: int
    seed: int
    length: Callable[[int], tuple[int, int]]
    stopped: Callable[[], bool] = field(default=lambda: False)


def run_finals(
    plan: Finals, *, store: StudyStore, folder: StudyFolder, engine: Engine, journal: Journal
) -> None:
    """Retrain the finalists and the baselines, as far as that has not been done yet.

    Afterwards only the weights of the winner's best training (by validation) are kept.

    Raises:
        Interrupted: the plan's `stopped` said so; trainings that have ended are kept.
    """
    rows = read_result(store).rows
    entrants = choose(rows, plan.finalists)
    entries = [entry for row in entrants for entry in _entries(plan, row, store)]
    done = final_outcomes(store)
    journal.emit(
        FinalistsStarted(
            rows=rows,
            entrants=tuple(row.label for row in entrants),
            jobs=len(entries),
            done=sum(entry.key in done for entry in entries),
        )
    )
    running: dict[str, Entry] = {}
    for entry in entries:
        if entry.key in done:
            journal.replay(entry, Outcome(**done[entry.key]))
        else:
            running[entry.key] = entry
            engine.submit(journal.start(entry))

    def take(outcome: Outcome) -> None:
        entry = running.pop(outcome.key, None)
        if entry is None:
            return
        kept = checked_final(outcome)
        store.set_attribute(FINAL + outcome.key, asdict(kept))
        journal.end(entry, kept)

    def take_halted(outcome: Outcome) -> None:
        if outcome.status == "complete":
            take(outcome)

    def report(event: EpochReport) -> None:
        if event.key in running:
            journal.epoch(event)

    while running:
        if plan.stopped():
            halt(engine, list(running), report, take_halted)
            for entry in running.values():
                journal.end(entry, None)
            raise Interrupted(f"interrupted; `archsearch resume {store.name}` goes on from here")
        for event in engine.events(POLL_S):
            if isinstance(event, EpochReport):
                report(event)
            else:
                take(event)
    best = read_result(store).best_key
    if best is not None:
        folder.keep_weights(best)


def choose(rows: tuple[Row, ...], count: int) -> list[Row]:
    """Choose who is retrained: the best candidates by validation, and every baseline."""
    complete = [row for row in rows if row.status == "complete" and row.val_accuracy is not None]
    candidates = [row for row in complete if row.role == "candidate"]
    candidates.sort(key=lambda row: (-(row.val_accuracy or 0), row.name))
    matched = [row for row in complete if row.origin == "matched"]
    others = sorted((row for row in rows if row.origin == "published"), key=lambda row: row.name)
    return [*candidates[:count], *matched, *others]


def checked_final(outcome: Outcome) -> Outcome:
    """Return the outcome, as `failed` if it lacks what a finalist must have."""
    if outcome.status == "pruned":
        outcome = replace(outcome, status="failed", reason="stopped without being asked to")
    elif outcome.status == "complete" and not _finite(outcome.test_accuracy):
        reason = f"its test accuracy is {outcome.test_accuracy}"
        outcome = replace(outcome, status="failed", reason=reason)
    return checked(outcome)


def _entries(plan: Finals, row: Row, store: StudyStore) -> list[Entry]:
    facts: dict[str, Any] = dict(published(store).get(row.name, {}))
    if not facts:
        facts = dict(next(t.notes for t in store.trials if t.notes["name"] == row.name))
    images, epochs = plan.length(row.flops)
    return [
        Entry(
            key=final_key(row.name, number),
            stage="final",
            facts=facts,
            knobs=row.knobs,
            images=images,
            epochs=epochs,
            # The same seeds for every network: they see the same images in the same order.
            seed=derive_seed(plan.seed, "final", number),
            seed_number=number,
        )
        for number in range(1, plan.seeds + 1)
    ]


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
