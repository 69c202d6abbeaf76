"""Regularised evolution: the child of a good one of the youngest (Real et al. 2019, arXiv:1802.01548)."""

from collections.abc import Iterator
from random import Random
from typing import Final

from archsearch.space.knobs import KnobValue
from archsearch.strategy.sampler import Choices, Known
from archsearch.strategy.samplers.evidence import results
from archsearch.strategy.samplers.grid import Grid

POPULATION: Final = 10
"""The youngest, of which parents are chosen; older ones have died. Real et al. have 100 of 20,000 trials."""
SAMPLE: Final = 3
"""Of these so many are drawn, and the best of them is the parent."""
_ATTEMPTS: Final = 32


class EvolutionSampler:
    """Proposes children that differ from their parent in one knob.

    Args:
        choices: what is chosen from.
        grid: of the knobs; another one than all their settings where not all may be tried.
    """

    def __init__(self, choices: Choices, *, grid: Grid | None = None) -> None:
        self._grid = grid or Grid(choices.knobs)

    def propose(self, known: Known) -> Iterator[dict[str, KnobValue]]:
        """Yield children, each of a parent of its own; until there is a population, draws by chance."""
        youngest = results(known.trials)[-POPULATION:]
        for attempt in range(_ATTEMPTS):
            rng = Random(known.seed_of("child", attempt))
            place = None
            if len(youngest) >= POPULATION:
                parent = max(rng.sample(youngest, SAMPLE), key=lambda result: result.accuracy)
                place = self._grid.place(known.trials[parent.trial].knobs)
            drawn = self._grid.drawn(rng) if place is None else self._grid.changed(place, rng)
            yield self._grid.knobs(drawn)
