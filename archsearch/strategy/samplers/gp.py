"""The search's own sampler: a Gaussian process over knobs and features of the solved network.

The first few networks are drawn by chance, or half of them as a prior has it. Then a model of what is known
(`surrogate/model.py`) says which of some hundred candidates promises most: draws by chance, and networks that
differ in a knob or two from the classic and from the best so far. Candidates stay the same from one decision
to the next but for a few new ones, so that a decision solves for few.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Final, NamedTuple

import numpy as np

from archsearch.seeds import derive_seed
from archsearch.space.knobs import KnobValue
from archsearch.strategy.sampler import Choices, Known
from archsearch.strategy.samplers.descriptions import Describer
from archsearch.strategy.samplers.durations import (
    WORTH_COUNTING,
    log_durations,
    share_left,
)
from archsearch.strategy.samplers.evidence import Result, results, running
from archsearch.strategy.samplers.excerpt import MODELLED, Excerpt
from archsearch.strategy.samplers.grid import Grid, Place
from archsearch.strategy.samplers.reading import Entry, Reading
from archsearch.surrogate.algebra import one_thread
from archsearch.surrogate.fitting import Hyperpriors
from archsearch.surrogate.model import Model, Observations, model_of
from archsearch.surrogate.prior import Prior, weighed
from archsearch.surrogate.targets import Scale

STARTUP: Final = 4
"""Trials before the model proposes, the classic among them."""
LEAST_KNOWN: Final = 3
"""Results that a model is made of at least."""
DRAWN: Final = 64
"""Candidates by chance of the first decision; later ones have more of them."""
DRAWN_ANEW: Final = 4
"""Candidates by chance that each decision adds; of a study of more than `MODELLED` one."""
DRAWN_AT_MOST: Final = 192
"""Candidates by chance of one decision, the newest."""
PARENTS: Final = 5
"""Trials that candidates are derived from: those of which the model expects most."""
CHILDREN: Final = 8
"""Candidates derived from each of them, and from the classic."""
PEERS: Final = 12
"""Trials that a partial dependence is averaged over."""
PROPOSALS: Final = 16
"""Proposals of one decision at most."""
HYPERPRIORS: Final = (
    Hyperpriors(lengths=(), amplitudes=()),
    Hyperpriors(lengths=(1.0,), amplitudes=(1.0,), noise_spread=1.5),
    Hyperpriors(lengths=(1.0, 1.0), amplitudes=(0.3, 0.7), noise_spread=1.5),
)
"""What is expected of knobs and of features; by how many of the two there are."""


class Expected(NamedTuple):
    """What is expected of a knob's value: a mean accuracy, and the model's own standard deviation of it."""

    value: KnobValue
    accuracy: float
    sd: float


class GpSampler:
    """Proposes the networks of which most improvement is expected.

    Args:
        choices: what is chosen from.
        grid: of the knobs; another one than all their settings where not all may be tried.
        describer: of their settings; another one where networks are known without being solved for.
        prior: what is expected of networks beforehand; None: what the choices have of it.
    """

    heeds_prior: Final = True

    def __init__(
        self,
        choices: Choices,
        *,
        grid: Grid | None = None,
        describer: Describer | None = None,
        prior: Prior | None = None,
    ) -> None:
        self._grid = grid or Grid(choices.knobs)
        self._describer = describer or Describer(self._grid, choices.solve)
        self._classic = None if choices.classic is None else self._grid.place(choices.classic)
        self._val_images = choices.val_images
        self._prior = prior or choices.prior
        self._time_s = choices.time_s
        self._efforts = choices.efforts
        self._startup = STARTUP
        self._excerpt = Excerpt()
        self._describers = {
            slice.budget: Describer(self._grid, slice.solve, flops=True) for slice in choices.slices
        }

    def of_slice(self, own: Choices) -> "GpSampler":
        """Return what proposes networks of one of several budgets (see `OverSlices`)."""
        from archsearch.strategy.samplers.gp_slice import SliceSampler

        return SliceSampler(own, grid=self._grid, describers=self._describers)

    def propose(self, known: Known) -> Iterator[dict[str, KnobValue]]:
        """Yield networks that have not been tried, the one that promises most first."""
        done = self._excerpt.tried(known)
        known = self._excerpt.of(known)
        tried = self._tried(known)
        drawn = self._new(self._drawn(known), tried.values(), done)
        if not drawn:
            return
        found = [result for result in self._results(known) if result.trial in tried]
        ordered: Sequence[Entry]
        if known.decision < self._startup or len(found) < LEAST_KNOWN:
            ordered = self._started(known, drawn)
        else:
            reading = self._reading([*tried.values(), *drawn], tried, found)
            with one_thread():
                ordered = self._modelled(known, reading, drawn, tried, found, done)
        for entry in ordered[:PROPOSALS]:
            yield self._grid.knobs(entry.place)

    def predicted(self, known: Known) -> dict[int, float]:
        """Return what the model expects of trials at the full length, in deviations (see `Predictor`).

        Of a large study those of its excerpt.
        """
        known = self._excerpt.of(known)
        tried = self._tried(known)
        found = [result for result in self._results(known) if result.trial in tried]
        if len(found) < LEAST_KNOWN:
            return {}
        reading = self._reading(list(tried.values()), tried, found)
        numbers = sorted({result.trial for result in found})
        with one_thread():
            model = self._model(reading, tried, found)
            expected = model.expected(reading.points([tried[number] for number in numbers]))
        return dict(zip(numbers, expected.tolist(), strict=True))

    def dependence(self, known: Known) -> dict[str, list[Expected]]:
        """Return what the model expects of each value of each knob that has a choice, by the knob's name.

        It is the partial dependence (Friedman 2001, equation 53): the mean over trials, with this one knob
        of theirs set to the value and the network solved for anew. Averaged over are the `PEERS` trials of
        which most is expected. Of none before there is a model.
        """
        known = self._excerpt.of(known)
        tried = self._tried(known)
        found = [result for result in self._results(known) if result.trial in tried]
        if len(found) < LEAST_KNOWN:
            return {}
        scale = Scale(np.array([result.accuracy for result in found]))
        best = sorted(found, key=lambda result: (-result.accuracy, result.trial))[:PEERS]
        peers = [tried[result.trial].place for result in best]
        settings = self._grid.one_by_one(peers)
        made = {place: self._entry(place) for places in settings.values() for place in places}
        reading = self._reading([*tried.values(), *filter(None, made.values())], tried, found)
        expected: dict[str, list[Expected]] = {}
        with one_thread():
            model = self._model(reading, tried, found)
            for (name, value), places in settings.items():
                entries = [entry for place in places if (entry := made[place]) is not None]
                if entries:
                    means, variances = model.predicted(reading.points(entries))
                    accuracy = float(scale.restored(means).mean())
                    sd = scale.unit * float(np.sqrt(variances.mean()))
                    expected.setdefault(name, []).append(Expected(value, accuracy, sd))
        return expected

    def _results(self, known: Known) -> list[Result]:
        return results(known.trials, val_images=self._val_images)

    # --- what there is to choose from ---------------------------------------------------------------

    def _tried(self, known: Known) -> dict[int, Entry]:
        """Return the trials' networks at the full budget, by number; those without one are left out."""
        places = ((trial.number, self._grid.place(trial.knobs)) for trial in known.trials)
        return {
            number: entry
            for number, place in places
            if place is not None and (entry := self._entry(place)) is not None
        }

    def _entry(self, place: Place) -> Entry | None:
        description = self._describer.describe(place)
        return None if description is None else Entry(place, description)

    def _drawn(self, known: Known) -> Iterator[Place]:
        """Yield draws by chance: those of the decision before it, but for a few."""
        end = DRAWN + DRAWN_ANEW * min(known.decision, MODELLED)
        end += max(0, known.decision - MODELLED)
        for number in range(max(0, end - DRAWN_AT_MOST), end):
            yield self._draw(Random(derive_seed(known.seed, "drawn", number)))

    def _draw(self, rng: Random) -> Place:
        return self._grid.drawn(rng)

    def _change(self, place: Place, rng: Random, *, knobs: int) -> Place:
        return self._grid.changed(place, rng, knobs=knobs)

    def _children(self, known: Known, parents: Mapping[int, Place]) -> Iterator[Place]:
        """Yield what differs from the classic and from some trials' settings in a knob or two.

        A trial has the same children whenever it is asked for them.
        """
        classic = {} if self._classic is None else {"classic": self._classic}
        for name, place in (*classic.items(), *((str(n), p) for n, p in parents.items())):
            for number in range(CHILDREN):
                rng = Random(derive_seed(known.seed, "child", name, number))
                yield self._change(place, rng, knobs=1 + number % 2)

    def _new(
        self, places: Iterable[Place], known: Iterable[Entry], done: Container[str] = ()
    ) -> list[Entry]:
        """Return the networks at some places, each once, that are not among those known, or done by hash."""
        graphs = {entry.description.graph for entry in known}
        found = []
        for place in dict.fromkeys(places):
            entry = self._entry(place)
            if entry is None or entry.description.graph in done:
                continue
            if entry.description.graph not in graphs:
                graphs.add(entry.description.graph)
                found.append(entry)
        return found

    # --- what is best -------------------------------------------------------------------------------

    def _started(self, known: Known, drawn: Sequence[Entry]) -> Sequence[Entry]:
        """Return draws in the order in which a search begins with them."""
        if self._prior is None or not self._led(known.decision):
            # Each decision has draws of its own at the end, so that none has to be passed over.
            return drawn[::-1]
        expected = self._prior.expected([entry.description.features for entry in drawn])
        return [drawn[number] for number in np.argsort(-expected, kind="stable")]

    def _led(self, decision: int) -> bool:
        """Whether a prior decides: the second half of the start, and every other one while results wait."""
        if decision < self._startup:
            return decision >= self._startup // 2
        return decision % 2 == 1

    def _reading(
        self, entries: Sequence[Entry], tried: Mapping[int, Entry], found: Sequence[Result]
    ) -> Reading:
        """Return what reads entries; a prior counts as far as the results bear it out."""
        if self._prior is None:
            return Reading(self._grid, entries)
        values = np.array([result.accuracy for result in found])
        features = [tried[result.trial].description.features for result in found]
        standardized = Scale(values).standardized(values)
        return Reading(self._grid, entries, weighed(self._prior, features, standardized))

    def _model(
        self, reading: Reading, tried: Mapping[int, Entry], found: Sequence[Result]
    ) -> Model:
        values = np.array([result.accuracy for result in found])
        scale = Scale(values)
        points = reading.points([tried[r.trial] for r in found], [r.length for r in found])
        noise = np.array([result.variance for result in found]) / scale.unit**2
        evidence = Observations(points, scale.standardized(values), noise)
        return model_of(evidence, reading.columns, HYPERPRIORS[reading.columns.group_count])

    def _modelled(
        self,
        known: Known,
        reading: Reading,
        drawn: Sequence[Entry],
        tried: Mapping[int, Entry],
        found: Sequence[Result],
        done: Container[str],
    ) -> list[Entry]:
        """Return candidates in the order of what a model of all results says they promise."""
        model = self._model(reading, tried, found)
        points = reading.points([tried[result.trial] for result in found])
        best = [found[number].trial for number in model.best_first(points)]
        parents = {n: tried[n].place for n in list(dict.fromkeys(best))[:PARENTS]}
        children = self._new(self._children(known, parents), [*tried.values(), *drawn], done)
        return self._promising(known, model, reading, tried, [*drawn, *children])

    def _promising(
        self,
        known: Known,
        model: Model,
        reading: Reading,
        tried: Mapping[int, Entry],
        candidates: list[Entry],
        *,
        over: Sequence[Entry] | None = None,
    ) -> list[Entry]:
        """Return candidates in the order of the improvement that is expected of them, by what they take.

        Args:
            known: whose trials that run are taken to end as the model expects.
            model: of the results.
            reading: of all these networks.
            tried: networks of the trials.
            candidates: in any order.
            over: networks whose best is to be improved on; None: those of all results.
        """
        waiting = [tried[number] for number in running(known.trials) if number in tried]
        model = model.believing(reading.points(waiting))
        best = None if over is None else reading.points(over)
        costs = None
        if self._time_s is not None:
            loads = {number: entry.description.load for number, entry in tried.items()}
            wanted = [entry.description.load for entry in candidates]
            foretold = log_durations(known.trials, loads, wanted, self._efforts)
            if foretold.std() > WORTH_COUNTING:
                costs = share_left(self._excerpt.took_s, self._time_s) * foretold
        points = reading.points(candidates)
        order = model.most_promising_first(points, over=best, log_costs=costs)
        return [candidates[number] for number in order]
