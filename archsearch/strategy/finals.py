"""The finals as a phase: the best candidates and the baselines, retrained from scratch with several seeds.

Published baselines, and the network of a full training, get the seeds that are asked for. Of the search's own
networks each further training goes where it tells most (archsearch.strategy.allocation). These decisions are
numbered as the search's are: decision n knows what came of decisions up to n − window, so that neither the
order in which workers end nor a process that died changes anything.

Only here is the test split touched, once per training; it decides nothing.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Final

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey
from archsearch.archive.orders import Length, Order
from archsearch.seeds import derive_seed
from archsearch.space.knobs import Knobs
from archsearch.strategy.allocation import WORTH, Allocation, Contest, Told
from archsearch.strategy.bounds import Bounds, Load
from archsearch.strategy.phase import Abandon, Begin, Phase, Rest, Say, Step, Stop, Verdict
from archsearch.training.job import EpochReport, Outcome
from archsearch.units import counted

_MOST_FURTHER: Final = 100
_NO_CONTEST: Final = Contest(contestants=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A network that may be retrained.

    Attributes:
        trial_s: seconds its training took in the search; None: it was not in the search.
    """

    design: Design
    knobs: Knobs
    trial_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalsPlan:
    """How networks are retrained.

    Attributes:
        entrants: those that are trained with every seed.
        seeds: trainings of each of them.
        contest: those of the search, of which some are retrained.
        contestants: the same by name, in the order of the contest.
        fold: the split that a training is validated on, from its seed's number.
        window: decisions, its own included, that one does not know the results of.
        seed: of the study.
        length: of a training, from a network's FLOPs.
        thrifty: whether only trainings are done that are worth it: a bound has ended the search.
        further: whether there may be more of those than were asked for, as far as a bound has room.
        validated: whether there are images to validate with.
    """

    entrants: tuple[Entrant, ...] = ()
    seeds: int
    contest: Contest = _NO_CONTEST
    contestants: Mapping[str, Entrant] = field(default_factory=dict)
    fold: Callable[[int | None], int] = lambda number: 0
    window: int = 1
    seed: int
    length: Callable[[int], Length]
    thrifty: bool = False
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

    @property
    def asked(self) -> int:
        """Trainings that are asked for in all."""
        return self.seeds * len(self.entrants) + self.contest.trainings


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
        fixed = [
            plan.order(entrant, number)
            for entrant in plan.entrants
            for number in range(1, plan.seeds + 1)
        ]
        if bounds.bounded:
            fixed.sort(key=lambda order: order.key.seed or 0)
        self._fixed = fixed
        self._waiting = deque(order for order in fixed if order.key not in self._done)
        self._decided: list[Order] = []
        self._first: deque[Order] = deque()  # decided on: there is no result without them
        self._next_best: deque[Order] = deque()  # decided on, by what they are worth
        self._closed = not plan.contest.contestants
        self._running: dict[JobKey, Order] = {}
        self._cut = False
        # What a network's training took in the search, it will take again; and then in the finals.
        every = (*plan.entrants, *plan.contestants.values())
        self._trial_s = {entrant.design.name: entrant.trial_s for entrant in every}
        self._final_s: dict[str, list[float]] = defaultdict(list)
        self._told_left = False
        self._note_result()
        self._decide()

    # --- what is to be said of it ---------------------------------------------------------------------

    @property
    def left(self) -> str:
        """Why trainings that were asked for are not done, or not to their ends; empty: all are."""
        count = sum(order.key not in self._done for order in self._asked)
        if not self._closed:
            count += max(0, self.plan.contest.trainings - len(self._decided))
        if not count:
            return ""
        return (
            f"the finals end with {counted(count, 'training')} left: no other fits into "
            f"{self._bounds.text}"
        )

    @property
    def further(self) -> str:
        """What the time that was left over went into; empty: nothing was."""
        further = self._decided[self.plan.contest.trainings :]
        count = sum(self._is_complete(order.key) for order in further)
        if not count:
            return ""
        return f"what was left went into {counted(count, 'further training')} of the finalists"

    @property
    def retrained(self) -> tuple[Design, ...]:
        """The networks that are retrained, as far as is decided."""
        designs = {order.design.name: order.design for order in (*self._decided, *self._fixed)}
        return tuple(designs.values())

    @property
    def done(self) -> int:
        """Trainings of those asked for that have ended."""
        return sum(order.key in self._done for order in self._asked)

    # --- what is to be done ---------------------------------------------------------------------------

    def next(self, now_s: float, *, room: int) -> Step:
        """Return what to do now."""
        self._bounds.at(now_s)
        if self._bounds.over and self._running:
            self._cut = True
            asked = {order.key for order in self._asked}
            return Abandon(
                f"cut short by {self._bounds.text}", open=frozenset(self._running) & asked
            )
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
        asked = any(str(order.key) == report.key for order in self._asked)
        return Stop(f"cut short by {self._bounds.text}", open=asked)

    def ended(self, order: Order, outcome: Outcome, now_s: float) -> None:
        """Take how a training ended."""
        self._take(order, now_s, outcome)
        if outcome.status == "complete":
            self._final_s[order.design.name].append(outcome.total_s)
        self._done[order.key] = outcome
        self._note_result()
        self._decide()

    def left_open(self, order: Order, now_s: float) -> None:
        """Take note that a training was stopped and stays to be done."""
        self._take(order, now_s, Outcome(key=str(order.key), status="pruned"))

    def gets_ready(self, workers: int) -> bool:
        """Whether the last training that was asked for has begun."""
        every = self._closed or len(self._decided) >= self.plan.contest.trainings
        return bool(self._running) and every and not any(self._queues)

    def _take(self, order: Order, now_s: float, outcome: Outcome) -> None:
        self._bounds.at(now_s)
        self._running.pop(order.key)
        spent = order.design.training_flops(outcome.images)
        self._bounds.ended(outcome, spent_flops=spent, trial=False)

    def _next(self) -> Order | None:
        """Take the next training, if there is one and it fits."""
        self._decide()
        for queue in self._queues:
            if queue and self._fits(queue[0]):
                return queue.popleft()
        return None

    @property
    def _queues(self) -> tuple[deque[Order], ...]:
        return self._first, self._waiting, self._next_best

    @property
    def _asked(self) -> list[Order]:
        """The trainings that were asked for, as far as is decided."""
        return [*self._fixed, *self._decided[: self.plan.contest.trainings]]

    # --- deciding -------------------------------------------------------------------------------------

    def _decide(self) -> None:
        """Decide which networks of the search are next, until one is that has not ended."""
        while not (self._first or self._next_best or self._closed) and self._may_decide():
            number, window = len(self._decided), self.plan.window
            choice = Allocation(self.plan.contest, self._told(number - window + 1)).next()
            if choice is not None and self._is_too_little(choice.worth):
                if not self._has_ended(number):
                    return  # those that run may yet make another one worth it
                choice = Allocation(self.plan.contest, self._told(number)).next()
            if choice is None or self._is_too_little(choice.worth):
                self._closed = True
                return
            seed = 1 + sum(order.key.name == choice.name for order in self._decided)
            order = self.plan.order(self.plan.contestants[choice.name], seed)
            self._decided.append(order)
            if order.key not in self._done:
                (self._first if choice.worth is None else self._next_best).append(order)

    def _may_decide(self) -> bool:
        """Whether another one is asked for, and those it may know of have ended."""
        number = len(self._decided)
        more = _MOST_FURTHER if self.plan.further and not self._cut else 0
        if number >= self.plan.contest.trainings + more:
            return False
        return self._has_ended(number - self.plan.window + 1)

    def _has_ended(self, count: int) -> bool:
        """Whether the first decisions have all ended."""
        return all(order.key in self._done for order in self._decided[: max(0, count)])

    def _is_too_little(self, worth: float | None) -> bool:
        return self.plan.thrifty and worth is not None and worth < WORTH

    def _told(self, known: int) -> dict[str, Told]:
        """Return what came of the first decisions, and what runs of those after them."""
        told: dict[str, Told] = defaultdict(Told)
        for number, order in enumerate(self._decided):
            name, outcome = order.key.name, self._done.get(order.key)
            before = told[name]
            if number >= known or outcome is None:
                told[name] = replace(before, running=before.running + 1)
            elif outcome.learnt and outcome.val_accuracy is not None:
                folds = (*before.folds, self.plan.fold(order.key.seed))
                values = (*before.values, outcome.val_accuracy)
                told[name] = replace(before, values=values, folds=folds)
            elif outcome.stalled:
                told[name] = replace(before, stalled=before.stalled + 1)
            else:
                told[name] = replace(before, failed=before.failed + 1)
        return told

    # --- what fits ------------------------------------------------------------------------------------

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

    def _is_complete(self, key: JobKey) -> bool:
        return key in self._done and self._done[key].status == "complete"

    def _note_result(self) -> None:
        """Tell the bounds whether a training has come to its end: without one all others were in vain."""
        self._bounds.no_result = not any(map(self._is_complete, self._done))
