"""Searches replayed on a table of trained networks: what each costs, and how far from the best it is then."""

import random
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import rivals
import tables
from tables import Table

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey, trial_name
from archsearch.archive.orders import Length, Order, Training, Trial
from archsearch.strategy.fidelities.full import FullLength
from archsearch.strategy.fidelities.rungs import Rungs
from archsearch.strategy.fidelity import Fidelity, Outlook
from archsearch.strategy.sampler import Known, Predictor, Sampler
from archsearch.training.job import Outcome

TAUGHT = 12
"""Networks of each other table that a prior is learnt from where nothing is said: as a short study has."""


class Seen(NamedTuple):
    """One training of a search.

    Attributes:
        number: of the network in the table.
        full: whether it is of the full length.
        cost: training FLOPs, or time, in trainings of full length.
    """

    number: int
    full: bool
    cost: float


def replay(
    method: str,
    table: Table,
    *,
    seed: int,
    trials: int,
    teachers: Sequence[Table] = (),
    taught: int = TAUGHT,
    by_time: bool = False,
) -> list[float]:
    """Return the regret after the training FLOPs of 1, 2, ... `trials` trainings of full length, in points.

    A prior is learnt from so many networks of each of the `teachers`. With `by_time` it is the regret after
    the time that so many trainings of the table take on average, whatever those of this search take.
    """
    rng = random.Random(seed)
    shown = [rng.randrange(len(values)) for values in table.values]
    end = trials * (float(np.mean(table.seconds)) if by_time else 1.0)
    regret, spent = [], []
    with tempfile.TemporaryDirectory() as folder:
        prior = rivals.taught(teachers, networks=taught, seed=seed) if teachers else None
        one = Replay(table, shown, seed=seed, by_time=by_time)
        if rivals.STARTS.get(method, len(shown)) < len(shown):
            one.sampler = rivals.make(
                method, table, seed=seed, trials=trials, folder=folder, prior=prior
            )
            one.chance = rivals.STARTS[method]
        if method in rivals.RUNGS:
            one.fidelity = Rungs(one.chance)
        # What is drawn by chance is drawn in one order, the same for all methods.
        for seen in one.trainings(rng.sample(range(len(shown)), len(shown))):
            regret.append(100 * float(table.means.max() - table.means[one.best]))
            spent.append(seen.cost + (spent[-1] if spent else 0.0))
            if spent[-1] >= end - 1e-9:
                break
    # Until the first training has ended, its regret counts.
    levels = (end * level / trials for level in range(1, trials + 1))
    return [regret[max(0, bisect_right(spent, level + 1e-9) - 1)] for level in levels]


class Replay:
    """A search on a table.

    Args:
        table: of the networks.
        shown: which of its trainings a search sees of each network.
        seed: of the search.
        by_time: whether a training costs its time.

    Attributes:
        sampler: what proposes networks; None: chance.
        chance: networks that are drawn first.
        fidelity: what promotes.
        best: number of the network that is the best by what has been seen.
        trials: so far.
    """

    def __init__(self, table: Table, shown: Sequence[int], *, seed: int, by_time: bool) -> None:
        self.sampler: Sampler | None = None
        self.chance = len(shown)
        self.fidelity: Fidelity = FullLength(0)
        self.best = 0
        self._table, self._shown, self._seed, self._by_time = table, shown, seed, by_time
        self._grid = tables.Grid(table.knobs)
        self._numbers: list[int] = []  # the network of each trial
        self.trials: list[Trial] = []

    def trainings(self, order: Sequence[int]) -> Iterator[Seen]:
        """Yield trainings; `order` is that in which networks are drawn by chance."""
        left = dict.fromkeys(order)
        places = {place: number for number, place in enumerate(self._table.places)}
        predicted = self.sampler.predicted if isinstance(self.sampler, Predictor) else None
        outlook = Outlook(length=lambda flops: self._table.full, predicted=predicted)
        decision = 0
        while True:
            known = Known(decision=decision, trials=tuple(self.trials), seed=self._seed)
            promotion = self.fidelity.promote(known, outlook)
            if promotion is not None:
                yield self.trained(promotion.trial, decision, rung=promotion.rung)
            elif left:
                proposed = (
                    self.sampler.propose(known)
                    if self.sampler and len(self.trials) >= self.chance
                    else ()
                )
                found = (places.get(self._grid.place(knobs)) for knobs in proposed)
                number = next((n for n in found if n in left), next(iter(left)))
                del left[number]
                self._add(number)
                yield self.trained(len(self.trials) - 1, decision, rung=0)
            else:
                return
            decision += 1

    def _add(self, number: int) -> None:
        name = trial_name(len(self.trials))
        self.trials.append(
            Trial(
                number=len(self.trials),
                knobs=self._grid.knobs(self._table.places[number]),
                design=Design(name=name, label=name, origin="search", graph=name, flops=1),
                state="complete",
            )
        )
        self._numbers.append(number)

    def trained(self, place: int, decision: int, *, rung: int) -> Seen:
        """Train a trial's network on a rung."""
        trial, number, table = self.trials[place], self._numbers[place], self._table
        length = self.fidelity.rungs(table.full)[rung]
        full = length.epochs == table.full.epochs
        share = length.epochs / table.full.epochs
        seconds = share * table.seconds[number] if table.seconds else 0.0
        key = JobKey("search", trial.design.name, rung=rung)
        order = Order(
            key=key, design=trial.design, knobs=trial.knobs, length=length, seed=0, decision=decision
        )  # fmt: skip
        outcome = Outcome(
            key=str(key), status="complete", epochs=length.epochs, images=length.images,
            val_accuracy=self._accuracy(number, length), total_s=seconds,
        )  # fmt: skip
        training = Training(order=order, outcome=outcome)
        self.trials[place] = replace(trial, trainings=(*trial.trainings, training))
        self.best = self._numbers[max(range(len(self.trials)), key=self._place)]
        return Seen(number, full, seconds if self._by_time else share)

    def _accuracy(self, number: int, length: Length) -> float:
        if length.epochs == self._table.full.epochs:
            return self._table.values[number][self._shown[number]]
        values = self._table.short[length.epochs][number]
        return values[min(self._shown[number], len(values) - 1)]

    def _place(self, place: int) -> tuple[int, float]:
        """Return what the best is the largest of: the longest training, its accuracy."""
        last = self.trials[place].last
        assert last.outcome is not None
        return last.order.length.epochs, last.outcome.val_accuracy or 0.0
