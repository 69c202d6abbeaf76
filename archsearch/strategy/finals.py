"""The finals: the best few and the baselines, retrained from scratch with several seeds.

Only here is the test split touched, once per training; it decides nothing. A network's place and
the winner follow from validation accuracy.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Any, Final

from archsearch.archive.folder import StudyFolder
from archsearch.archive.leaderboard import (
    FINAL,
    FULL,
    LEFT,
    MORE_TIME,
    Row,
    final_key,
    final_outcomes,
    published,
    read_result,
)
from archsearch.archive.store import StudyStore
from archsearch.engines.engine import Engine
from archsearch.exchange.gauge import Gauge
from archsearch.planning.limits import Limits, Load
from archsearch.strategy.latencies import get_ready, measure_finalists
from archsearch.strategy.sampler import derive_seed
from archsearch.strategy.search import POLL_S, STOPPING, checked, halt, interrupted
from archsearch.study.events import FinalistsStarted
from archsearch.study.journal import Entry, Journal
from archsearch.training.job import EpochReport, Outcome
from archsearch.units import counted


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
    plan: Finals,
    *,
    store: StudyStore,
    folder: StudyFolder,
    engine: Engine,
    journal: Journal,
    limits: Limits | None = None,
    gauge: Gauge | None = None,
) -> None:
    """Retrain the finalists and the baselines, as far as that has not been done yet and fits.

    Under a bound every network's first training comes before any second one; and where it was the
    bound that ended the search, what is left of it goes into further seeds of all of them.
    Then the `gauge` measures how quick they are, and only the weights of the winner's best training
    (by validation) are kept.

    Raises:
        Interrupted: the plan's `stopped` said so; trainings that have ended are kept.
    """
    limits = limits or Limits()
    rows = read_result(store).rows
    entrants = choose(rows, plan.finalists)
    entries = [
        _entry(plan, row, store, number) for row in entrants for number in range(1, plan.seeds + 1)
    ]
    if limits.bounded:
        entries.sort(key=lambda entry: entry.seed_number or 0)
    done = final_outcomes(store)
    journal.emit(
        FinalistsStarted(
            rows=rows,
            entrants=tuple(row.label for row in entrants),
            jobs=len(entries),
            done=sum(entry.key in done for entry in entries),
        )
    )
    for entry in entries:
        if entry.key in done:
            journal.replay(entry, Outcome(**done[entry.key]))
    waiting = [entry for entry in entries if entry.key not in done]

    def further(number: int) -> list[Entry]:
        """Return the trainings of seed `number`, beyond those asked for, that are left to do."""
        kept = final_outcomes(store)
        failed = {key.rpartition("-seed")[0] for key in kept if kept[key]["status"] == "failed"}
        able = [r for r in entrants if final_key(r.name, 0).rpartition("-seed")[0] not in failed]
        found = [_entry(plan, row, store, number) for row in able]
        for entry in found:
            if entry.key in done:
                journal.replay(entry, Outcome(**done[entry.key]))
        return [entry for entry in found if entry.key not in kept]

    # More time is for what was left, not for more than was asked for.
    filled = store.attributes.get(FULL) and not store.attributes.get(MORE_TIME)
    spare = _Spare(further, plan.seeds) if filled else None

    def all_begun() -> None:
        if gauge is not None:
            get_ready(gauge, entrants, store=store, folder=folder)

    stage = _Stage(store, engine, journal, limits, waiting, spare, all_begun)
    stage.run(plan.stopped)
    _tell_further(store, journal, plan.seeds)
    if gauge is not None and not measure_finalists(
        gauge, store=store, folder=folder, journal=journal, limits=limits, stopped=plan.stopped
    ):
        raise interrupted(store)
    best = read_result(store).best_key
    if best is not None and not store.attributes.get(LEFT):  # another may yet be the best
        folder.keep_weights(best)


_MOST_SEEDS: Final = 100


class _Spare:
    """Further seeds of all finalists, one seed after another, without end."""

    def __init__(self, entries: Callable[[int], list[Entry]], seeds: int) -> None:
        self._entries = entries
        self._seed = seeds
        self._round: list[Entry] = []

    def take(self, fits: Callable[[Entry], bool]) -> Entry | None:
        """Return the first of a round's trainings that fits; None where none does."""
        while not self._round:
            self._seed += 1
            if self._seed > _MOST_SEEDS:
                return None
            self._round = self._entries(self._seed)
        for entry in self._round:
            if fits(entry):
                self._round.remove(entry)
                return entry
        return None


class _Stage:
    """The trainings that are left, as they come to their ends."""

    def __init__(
        self,
        store: StudyStore,
        engine: Engine,
        journal: Journal,
        limits: Limits,
        waiting: list[Entry],
        spare: _Spare | None = None,
        all_begun: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._engine = engine
        self._journal = journal
        self._limits = limits
        self._waiting = waiting
        self._left = {entry.key for entry in waiting}  # of what was asked for
        self._spare = spare
        self._all_begun: Callable[[], None] | None = all_begun
        self._running: dict[str, Entry] = {}
        self._epochs: dict[str, int] = {}
        self._cut: set[str] = set()
        # What a network's training took in the search, it will take again; and then in the finals.
        self._trial_s = {
            trial.notes["name"]: trial.notes["outcome"]["total_s"]
            for trial in store.trials
            if trial.notes.get("outcome", {}).get("status") == "complete"
        }
        self._final_s: dict[str, list[float]] = defaultdict(list)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Run until nothing is left that fits.

        Raises:
            Interrupted: `stopped` said so; trainings that have ended are kept.
        """
        self._limits.no_result = not self._has_result
        while not stopped() and self._begin():
            for event in self._engine.events(POLL_S):
                if isinstance(event, EpochReport):
                    self._report(event)
                else:
                    self._take(event)
            if self._limits.over:
                for key in list(self._running):
                    self._cut.add(key)
                    self._take(Outcome(key=key, status="pruned"))
        if stopped() and (self._running or self._waiting):
            if self._running:
                self._journal.notice(STOPPING)
            halt(self._engine, list(self._running), self._report, self._take_halted)
            for entry in self._running.values():
                self._journal.end(entry, None)
            raise interrupted(self._store)

    def _begin(self) -> bool:
        """Start what the workers have room for and what fits; False when there is nothing left."""
        while len(self._running) < self._engine.workers:
            entry = self._next()
            if entry is None:
                break
            self._running[entry.key] = entry
            self._limits.started(entry.key, self._load(entry).flops, entry.epochs)
            self._engine.submit(self._journal.start(entry))
        if not self._running:
            self._tell_left()
        if self._running and not self._waiting and self._all_begun is not None:
            # What comes after the finals gets ready beside the last of them.
            self._all_begun()
            self._all_begun = None
        return bool(self._running)

    def _next(self) -> Entry | None:
        """Take the next training, if there is one and it fits."""
        if self._waiting:
            return self._waiting.pop(0) if self._fits(self._waiting[0]) else None
        if self._spare is None or self._cut:
            return None
        return self._spare.take(self._fits)

    def _fits(self, entry: Entry) -> bool:
        return self._limits.admits_final(self._load(entry))

    def _load(self, entry: Entry) -> Load:
        name, flops = entry.facts["name"], 3 * entry.facts["flops"] * entry.images
        if known := self._final_s.get(name):
            seconds = fmean(known)
        elif name in self._trial_s:
            seconds = self._trial_s[name]
        else:  # a published network; its FLOPs are its own
            least = self._limits.trial.flops or flops
            seconds = self._limits.trial_s * max(1.0, flops / least)
        return Load(seconds, flops)

    def _tell_left(self) -> None:
        """Say how many of the trainings that were asked for are not done, or not to their ends."""
        count = len(self._left)
        why = f"the finals end with {counted(count, 'training')} left: no other fits into {self._limits.text}"
        self._store.set_attribute(LEFT, why if count else "")
        if count:
            self._journal.notice(why)

    def _report(self, event: EpochReport) -> None:
        # Where a worker died and another one went on, epochs are reported once more.
        if event.key not in self._running or event.epoch <= self._epochs.get(event.key, 0):
            return
        self._epochs[event.key] = event.epoch
        self._journal.epoch(event)
        self._limits.reported(event)
        if event.key not in self._cut and self._limits.cuts_final(event):
            self._cut.add(event.key)
            self._engine.stop(event.key)

    def _take(self, outcome: Outcome) -> None:
        entry = self._running.pop(outcome.key, None)
        if entry is None:
            return
        self._limits.ended(outcome, trial=False)
        if outcome.status == "complete":
            self._final_s[entry.facts["name"]].append(outcome.total_s)
        if outcome.status == "pruned" and outcome.key in self._cut:
            reason = f"cut short by {self._limits.text}"
            given_up = replace(outcome, status="failed", reason=reason)
            # What was asked for stays to be done, from its checkpoint on, where the study is given more time.
            self._journal.end(entry, None if entry.key in self._left else given_up)
            return
        self._left.discard(entry.key)
        kept = checked_final(outcome)
        self._store.set_attribute(FINAL + outcome.key, asdict(kept))
        self._journal.end(entry, kept)
        self._limits.no_result = not self._has_result

    @property
    def _has_result(self) -> bool:
        """Whether a training has come to its end: without one all others were in vain."""
        kept = final_outcomes(self._store).values()
        return any(outcome["status"] == "complete" for outcome in kept)

    def _take_halted(self, outcome: Outcome) -> None:
        if outcome.status == "complete":
            self._take(outcome)


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


def _tell_further(store: StudyStore, journal: Journal, seeds: int) -> None:
    """Say how many trainings the time that was left over went into."""
    count = sum(
        outcome["status"] == "complete" and int(key.rpartition("-seed")[2]) > seeds
        for key, outcome in final_outcomes(store).items()
    )
    if count:
        why = f"what was left went into {counted(count, 'further training')} of the finalists"
        earlier = store.attributes.get("ended", "")
        if why not in earlier:
            store.set_attribute("ended", "; ".join(filter(None, (earlier, why))))
            journal.notice(why)


def _entry(plan: Finals, row: Row, store: StudyStore, number: int) -> Entry:
    facts: dict[str, Any] = dict(published(store).get(row.name, {}))
    if not facts:
        facts = dict(next(t.notes for t in store.trials if t.notes["name"] == row.name))
    images, epochs = plan.length(row.flops)
    return Entry(
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


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
