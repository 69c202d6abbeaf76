"""The finals as a phase: the best few and the baselines, retrained from scratch with several seeds.

Only here is the test split touched, once per training; it decides nothing. A network's place and
the winner follow from validation accuracy.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey
from archsearch.archive.leaderboard import Row
from archsearch.archive.orders import Length, Order
from archsearch.seeds import derive_seed
from archsearch.space.knobs import Knobs
from archsearch.strategy.bounds import Bounds, Load
from archsearch.strategy.phase import Abandon, Begin, Phase, Rest, Say, Step, Stop, Verdict
from archsearch.training.job import EpochReport, Outcome
from archsearch.units import counted

_MOST_SEEDS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A network that is retrained.

    Attributes:
        trial_s: seconds its training took in the search; None: it was not in the search.
    """

    design: Design
    knobs: Knobs
    trial_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalsPlan:
    """How finalists are retrained.

    Attributes:
        entrants: the networks.
        seeds: trainings of each that are asked for.
        seed: of the study.
        length: of a training, from a network's FLOPs.
        further: whether what is left of a bound goes into further seeds of all of them.
        validated: whether there are images to validate with.
    """

    entrants: tuple[Entrant, ...]
    seeds: int
    seed: int
    length: Callable[[int], Length]
    further: bool = False
    validated: bool = True

    def order(self, entrant: Entrant, number: int) -> Order:
        """Return a network's training with the seed of that number, from 1."""
        return Order(
            key=JobKey("final", entrant.design.name, seed=number),
            design=entrant.design,
            knobs=entrant.knobs,
            length=self.length(entrant.design.flops),
            # The same seeds for every network: they see the same images in the same order.
            seed=derive_seed(self.seed, "final", number),
            validated=self.validated,
        )


def choose(rows: Sequence[Row], count: int) -> list[Row]:
    """Return who is retrained: the best candidates by validation, and every baseline."""
    complete = [row for row in rows if row.status == "complete" and row.val_accuracy is not None]
    candidates = [row for row in complete if row.role == "candidate"]
    # Accuracies after trainings of different length are not to be compared.
    candidates.sort(key=lambda row: (row.stalled, -row.rung, -(row.val_accuracy or 0), row.name))
    matched = [row for row in complete if row.origin == "matched"]
    others = sorted((row for row in rows if row.origin == "published"), key=lambda row: row.name)
    return [*candidates[:count], *matched, *others]


class Finals(Phase):
    """Decides on the retrainings that are left (see `Phase`).

    Under a bound every network's first training comes before any second one.

    Args:
        plan: what is asked for.
        bounds: on time and FLOPs.
        done: retrainings of an earlier process.
    """

    def __init__(self, plan: FinalsPlan, *, bounds: Bounds, done: Mapping[JobKey, Outcome]) -> None:
        self.plan = plan
        self._bounds = bounds
        self._done = dict(done)
        orders = [
            plan.order(entrant, number)
            for entrant in plan.entrants
            for number in range(1, plan.seeds + 1)
        ]
        if bounds.bounded:
            orders.sort(key=lambda order: order.key.seed or 0)
        self._waiting = deque(order for order in orders if order.key not in self._done)
        self._asked = {order.key for order in self._waiting}  # for, and not done yet
        self._spare: list[Order] = []
        self._spare_seed = plan.seeds
        self._running: dict[JobKey, Order] = {}
        self._cut = False
        # What a network's training took in the search, it will take again; and then in the finals.
        self._trial_s = {entrant.design.name: entrant.trial_s for entrant in plan.entrants}
        self._final_s: dict[str, list[float]] = defaultdict(list)
        self._told_left = False
        self._note_result()

    @property
    def left(self) -> str:
        """Why trainings that were asked for are not done, or not to their ends; empty: all are."""
        if not self._asked:
            return ""
        count = counted(len(self._asked), "training")
        return f"the finals end with {count} left: no other fits into {self._bounds.text}"

    @property
    def further(self) -> str:
        """What the time that was left over went into; empty: nothing was."""
        count = sum(
            outcome.status == "complete" and (key.seed or 0) > self.plan.seeds
            for key, outcome in self._done.items()
        )
        if not count:
            return ""
        return f"what was left went into {counted(count, 'further training')} of the finalists"

    def next(self, now_s: float, *, room: int) -> Step:
        """Return what to do now."""
        self._bounds.at(now_s)
        if self._bounds.over and self._running:
            self._cut = True
            asked = frozenset(key for key in self._running if key in self._asked)
            return Abandon(f"cut short by {self._bounds.text}", open=asked)
        order = self._next() if room > 0 else None
        if order is not None:
            self._running[order.key] = order
            self._bounds.started(str(order.key), order.flops, order.length.epochs)
            return Begin(order=order)
        if self._running:
            return Rest.WAIT
        if self.left and not self._told_left:
            self._told_left = True
            return Say(self.left)
        return Rest.DONE

    def heard(self, report: EpochReport, now_s: float) -> Verdict:
        """Take a report; say whether its training's rest does not fit."""
        self._bounds.at(now_s)
        self._bounds.reported(report)
        if not self._bounds.cuts_final(report):
            return None
        self._cut = True
        # What was asked for stays to be done, where the study is given more time.
        asked = JobKey.parse(report.key) in self._asked
        return Stop(f"cut short by {self._bounds.text}", open=asked)

    def ended(self, order: Order, outcome: Outcome, now_s: float) -> None:
        """Take how a training ended."""
        self._take(order, now_s, outcome)
        if outcome.status == "complete":
            self._final_s[order.design.name].append(outcome.total_s)
        self._asked.discard(order.key)
        self._done[order.key] = outcome
        self._note_result()

    def left_open(self, order: Order, now_s: float) -> None:
        """Take note that a training was stopped and stays to be done."""
        self._take(order, now_s, Outcome(key=str(order.key), status="pruned"))

    def gets_ready(self, workers: int) -> bool:
        """Whether the last training that was asked for has begun."""
        return bool(self._running) and not self._waiting

    def _take(self, order: Order, now_s: float, outcome: Outcome) -> None:
        self._bounds.at(now_s)
        self._running.pop(order.key)
        spent = order.design.training_flops(outcome.images)
        self._bounds.ended(outcome, spent_flops=spent, trial=False)

    def _next(self) -> Order | None:
        """Take the next training, if there is one and it fits."""
        if self._waiting:
            return self._waiting.popleft() if self._fits(self._waiting[0]) else None
        if not self.plan.further or self._cut:
            return None
        return self._next_spare()

    def _next_spare(self) -> Order | None:
        """Take the first training of a further seed that fits; None where none does."""
        while not self._spare:
            self._spare_seed += 1
            if self._spare_seed > _MOST_SEEDS:
                return None
            self._spare = self._further(self._spare_seed)
        for order in self._spare:
            if self._fits(order):
                self._spare.remove(order)
                return order
        return None

    def _further(self, number: int) -> list[Order]:
        """Return the trainings of a seed, beyond those asked for, that are left to do."""
        failed = {key.name for key, outcome in self._done.items() if outcome.status == "failed"}
        able = [entrant for entrant in self.plan.entrants if entrant.design.name not in failed]
        found = [self.plan.order(entrant, number) for entrant in able]
        return [order for order in found if order.key not in self._done]

    def _fits(self, order: Order) -> bool:
        return self._bounds.admits_final(Load(self._seconds(order), order.flops))

    def _seconds(self, order: Order) -> float:
        name = order.design.name
        if known := self._final_s.get(name):
            return fmean(known)
        if (trial_s := self._trial_s[name]) is not None:
            return trial_s
        # A published network; its FLOPs are its own.
        least = self._bounds.trial.flops or order.flops
        return self._bounds.trial_s * max(1.0, order.flops / least)

    def _note_result(self) -> None:
        """Tell the bounds whether a training has come to its end: without one all others were in vain."""
        complete = any(outcome.status == "complete" for outcome in self._done.values())
        self._bounds.no_result = not complete
