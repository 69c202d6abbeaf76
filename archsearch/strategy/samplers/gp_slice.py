"""The Gaussian process for one of several budgets: one model learns of all, FLOPs are a feature.

A setting of knobs that has been tried at another budget is looked at anew, as the network that it is at this
one: what the model expects of that decides whether it, and its like, are candidates.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random

from archsearch.seeds import derive_seed
from archsearch.strategy.sampler import Choices, Known
from archsearch.strategy.samplers.descriptions import Describer
from archsearch.strategy.samplers.evidence import Result
from archsearch.strategy.samplers.gp import PARENTS, STARTUP, GpSampler
from archsearch.strategy.samplers.grid import Grid, Place
from archsearch.strategy.samplers.reading import Entry, Reading


class SliceSampler(GpSampler):
    """Proposes the networks of one slice of which most improvement on its best is expected.

    Args:
        own: what is chosen from in this slice.
        grid: of the knobs, with the values of all slices.
        describers: of settings on this grid, by the budget.
    """

    def __init__(
        self, own: Choices, *, grid: Grid, describers: Mapping[int | None, Describer]
    ) -> None:
        super().__init__(own, grid=grid, describer=describers[own.budget])
        self._describers = dict(describers)
        self._own = Grid(own.knobs)
        self._budget = own.budget
        # One of each slice at least, by chance.
        self._startup = max(STARTUP, len(describers))

    def _tried(self, known: Known) -> dict[int, Entry]:
        """Return the trials' networks at the full budgets, of all slices."""
        found = {}
        for trial in known.trials:
            place = self._grid.place(trial.knobs)
            description = None
            if place is not None:
                description = self._describers[trial.design.budget].describe(place)
            if place is not None and description is not None:
                found[trial.number] = Entry(place, description)
        return found

    def _drawn(self, known: Known) -> Iterator[Place]:
        """Yield draws by chance, others in each slice."""
        return super()._drawn(replace(known, seed=derive_seed(known.seed, "slice", self._budget)))

    def _draw(self, rng: Random) -> Place:
        return self._jointly(self._own.drawn(rng))

    def _change(self, place: Place, rng: Random, *, knobs: int) -> Place:
        own = self._own.place(self._grid.knobs(place))
        return place if own is None else self._jointly(self._own.changed(own, rng, knobs=knobs))

    def _reading(
        self, entries: Sequence[Entry], tried: Mapping[int, Entry], found: Sequence[Result]
    ) -> Reading:
        """Return what reads entries; the prior, which was learnt within budgets, can't compare several."""
        return Reading(self._grid, entries)

    def _jointly(self, own: Place) -> Place:
        """Return the place on the grid of all slices."""
        place = self._grid.place(self._own.knobs(own))
        assert place is not None  # its knobs have the values of every slice
        return place

    def _modelled(
        self,
        known: Known,
        reading: Reading,
        drawn: Sequence[Entry],
        tried: Mapping[int, Entry],
        found: Sequence[Result],
        done: Container[str],
    ) -> list[Entry]:
        """Return candidates in the order of what a model of all results says they promise here."""
        model = self._model(reading, tried, found)
        here = {r.trial: e for r in found if (e := self._entry(tried[r.trial].place)) is not None}
        parents = {}
        if here:
            order = model.best_first(reading.points(list(here.values())))
            numbers = [list(here)[place] for place in order[:PARENTS]]
            parents = {number: here[number].place for number in numbers}
        known_here = [*tried.values(), *drawn]
        places = (*parents.values(), *self._children(known, parents))
        others = self._new(places, known_here, done)
        candidates = [*drawn, *others]
        own = (trial.number for trial in known.trials if trial.design.budget == self._budget)
        mine = [tried[number] for number in own if number in tried]
        return self._promising(known, model, reading, tried, candidates, over=mine or candidates)
