"""The part of what is known that a model is made of: all of a usual study, a bounded part of a large one.

A Gaussian process takes the cube of its points. Of thousands of trials the best say where to look, the newest
what came of looking there; the many that are neither say little more of the best.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

from archsearch.archive.orders import Trial
from archsearch.strategy.sampler import Known

MODELLED: Final = 300
"""Trials with results that a model is made of at most: half of them the best, the others the newest."""


class Excerpt:
    """Takes excerpts; what is looked up of a trial once is kept, as it follows from the trial alone."""

    def __init__(self) -> None:
        self._seen: tuple[Trial, ...] = ()
        self._worths: list[float | None] = []
        self._graphs: list[str] = []
        self._took_s: list[float] = []
        self._tried: set[str] = set()

    def of(self, known: Known) -> Known:
        """Return what is known of few enough trials, those that run among them; all, where they are few."""
        self._look(known)
        told = [number for number, worth in enumerate(self._worths) if worth is not None]
        if len(told) <= MODELLED:
            return known
        chosen = set(chain(*(self._chosen(group) for group in self._groups(known, told))))
        kept = (number for number, worth in enumerate(self._worths) if worth is None)
        numbers = sorted(chosen.union(kept))
        return replace(known, trials=tuple(known.trials[number] for number in numbers))

    def tried(self, known: Known) -> set[str]:
        """Return the content hashes of all trials' networks, at the full budget."""
        self._look(known)
        return self._tried

    @property
    def took_s(self) -> float:
        """Seconds that trainings took, of all trials it was last asked about: not the excerpt alone."""
        return sum(self._took_s)

    def _groups(self, known: Known, told: Sequence[int]) -> list[tuple[list[int], int]]:
        """Return the trials of each budget, and how many of them are to be chosen."""
        groups: dict[int | None, list[int]] = defaultdict(list)
        for number in told:
            groups[known.trials[number].design.budget].append(number)
        return [(numbers, MODELLED // len(groups)) for numbers in groups.values()]

    def _chosen(self, group: tuple[list[int], int]) -> list[int]:
        numbers, most = group
        worths = self._worths
        best = sorted(numbers, key=lambda number: -(worths[number] or 0.0))[: most // 2]
        among = set(best)
        others = [number for number in numbers[-most:] if number not in among]
        return [*best, *others[len(best) - most :]]

    def _look(self, known: Known) -> None:
        """Bring what was looked up to what is known now."""
        stale = len(known.trials) < len(self._seen)
        for kept in (self._worths, self._graphs, self._took_s):
            del kept[len(known.trials) :]
        for number in known.changed(self._seen):
            trial = known.trials[number]
            stale |= self._graphs[number : number + 1] not in ([], [trial.design.at_budget])
            self._worths[number : number + 1] = [_worth(trial)]
            self._graphs[number : number + 1] = [trial.design.at_budget]
            self._took_s[number : number + 1] = [_took_s(trial)]
            self._tried.add(trial.design.at_budget)
        if stale:  # another study, or less of it
            self._tried = set(self._graphs)
        self._seen = known.trials


def _worth(trial: Trial) -> float | None:
    """Return what puts trials in order: longer trainings first, then accuracy; None: nothing is known."""
    ended = trial.best_known
    if ended is None or ended.outcome is None:
        return None
    if ended.outcome.status == "failed":
        return -1.0
    return ended.order.key.rung + (ended.outcome.val_accuracy or 0.0)


def _took_s(trial: Trial) -> float:
    return sum(t.outcome.total_s for t in trial.trainings if t.outcome is not None)
