"""Several budgets in one search: whose turn it is, and what is known within one of them.

A slice is what networks of one budget make up. Each is searched for its own best network, in turn. What
compares accuracies (who is promoted, what is cut short, most samplers) sees a slice alone: a network of more
FLOPs is no better design for being more accurate. A sampler with one model for all says so (`OverSlices`).
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeAlias, runtime_checkable

from archsearch.archive.orders import Length, Trial
from archsearch.space.knobs import Knobs
from archsearch.strategy.fidelity import Fidelity, Outlook, Promotion
from archsearch.strategy.novelty import Proposal, Proposer
from archsearch.strategy.sampler import Choices, Known, Predictor, Sampler, SamplerFactory

Samplers: TypeAlias = Mapping[int | None, Sampler]
"""What proposes networks, by the budget; None: of the only one."""


@runtime_checkable
class OverSlices(Protocol):
    """What a sampler may have besides: it learns of all slices for each of them."""

    def of_slice(self, own: Choices) -> Sampler:
        """Return what proposes networks of one slice, and is told of the trials of all."""
        ...


def samplers_of(factory: SamplerFactory, choices: Choices) -> Sampler | Samplers:
    """Return what proposes networks, of several slices in each; most samplers are told of their own alone."""
    made = factory(choices)
    if not choices.slices:
        return made
    if isinstance(made, OverSlices):
        return {own.budget: made.of_slice(own) for own in choices.slices}
    return {own.budget: _Within(factory(own), own.budget) for own in choices.slices}


class SliceView:
    """What is known of one slice, its trials numbered anew.

    What was made for one decision serves the next ones of a search: only trials that have changed are looked
    at.
    """

    def __init__(self, budget: int | None) -> None:
        self._budget = budget
        self._seen: tuple[Trial, ...] = ()
        self._numbers: list[int] = []
        self._trials: list[Trial] = []

    def of(self, known: Known) -> tuple[Known, Sequence[int]]:
        """Return what is known of the slice, and its trials' numbers in the study."""
        if known.trials is not self._seen:
            self._look(known)
        if len(self._numbers) == len(known.trials):
            return known, range(len(known.trials))
        return replace(known, trials=tuple(self._trials)), tuple(self._numbers)

    def _look(self, known: Known) -> None:
        """Bring the slice's trials up to what is known now."""
        kept = bisect_left(self._numbers, len(known.trials))
        del self._numbers[kept:], self._trials[kept:]  # more was known before
        for number in known.changed(self._seen):
            trial, place = known.trials[number], bisect_left(self._numbers, number)
            if trial.design.budget == self._budget:
                self._numbers[place : place + 1] = [number]
                self._trials[place : place + 1] = [replace(trial, number=place)]
        self._seen = known.trials


class _Within:
    """A sampler that is told of its own slice alone."""

    def __init__(self, sampler: Sampler, budget: int | None) -> None:
        self._sampler, self._view = sampler, SliceView(budget)

    def propose(self, known: Known) -> Iterator[Knobs]:
        """Yield what the sampler does."""
        return self._sampler.propose(self._view.of(known)[0])

    def predicted(self, known: Known) -> Mapping[int, float]:
        """Return what the sampler's model expects of the slice's trials, if it has one."""
        if not isinstance(self._sampler, Predictor):
            return {}
        seen, numbers = self._view.of(known)
        return {numbers[place]: value for place, value in self._sampler.predicted(seen).items()}


class Slices:
    """The slices of a search, or the only one; keeps what has been tried in each.

    Args:
        choices: of all.
        sampler: of each, by the budget; or of the only one.
        trials: so far.
    """

    def __init__(
        self, choices: Choices, sampler: Sampler | Samplers, trials: Sequence[Trial]
    ) -> None:
        self._samplers: Samplers = sampler if isinstance(sampler, Mapping) else {None: sampler}
        every = {own.budget: own for own in choices.slices or (choices,)}
        self._proposers = {
            budget: Proposer(own, self._samplers[budget]) for budget, own in every.items()
        }
        self._counts = Counter(dict.fromkeys(self._proposers, 0))
        self._views = {budget: SliceView(budget) for budget in self._proposers}
        for trial in trials:
            self.add(trial)

    def add(self, trial: Trial) -> None:
        """Take note of a trial."""
        budget = trial.design.budget
        self._counts[budget] += 1
        self._proposers[budget].add(trial)

    def within(self, known: Known, budget: int | None) -> tuple[Known, Sequence[int]]:
        """Return what is known of a slice, and its trials' numbers; the only one's trials are not read."""
        if len(self._views) == 1:
            return known, range(self._counts.total())
        return self._views[budget].of(known)

    def classic(self, knobs: Knobs) -> Proposal:
        """Return the matched baseline, which is a trial where there is one slice."""
        (proposer,) = self._proposers.values()
        return proposer.classic(knobs)

    def propose(self, known: Known) -> Proposal | None:
        """Return a new network of the slice that has the fewest trials; None: no slice has another."""
        for budget in sorted(self._proposers, key=lambda budget: self._counts[budget]):
            proposal = self._proposers[budget].propose(known)
            if proposal is not None:
                return proposal
        return None

    def promotions(
        self,
        fidelity: Fidelity,
        known: Known,
        length: Callable[[int], Length],
        *,
        closing: bool = False,
    ) -> Iterator[Promotion]:
        """Yield who trains on a higher rung next, one of each slice at most (see `Outlook`)."""
        for budget, sampler in self._samplers.items():
            seen, numbers = self.within(known, budget)
            predicted = _predicting(sampler, known, numbers)
            outlook = Outlook(length=length, predicted=predicted, closing=closing)
            found = fidelity.promote(seen, outlook)
            if found is not None:
                yield Promotion(numbers[found.trial], found.rung)


def _predicting(
    sampler: Sampler, known: Known, numbers: Sequence[int]
) -> Callable[[Known], Mapping[int, float]] | None:
    """Return what asks a sampler's model for what it expects of a slice's trials; None: it has none."""
    if not isinstance(sampler, Predictor):
        return None

    def predicted(seen: Known) -> Mapping[int, float]:
        values = sampler.predicted(known)
        return {place: values[number] for place, number in enumerate(numbers) if number in values}

    return predicted
