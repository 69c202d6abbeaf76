"""Local search: from the best so far one knob on, and on from the first that is better.

White, Nolen & Savani 2021, arXiv:2005.02960, section 3, with the first improvement in place of the best one.
"""

from collections.abc import Iterator
from random import Random
from typing import Final

from archsearch.space.knobs import KnobValue
from archsearch.strategy.sampler import Choices, Known
from archsearch.strategy.samplers.evidence import results
from archsearch.strategy.samplers.grid import Grid

STARTUP: Final = 4
"""Trials by chance, from the best of which it starts."""
_ATTEMPTS: Final = 32
"""Neighbours of the best that are looked for, before neighbours of neighbours."""


class LocalSampler:
    """Proposes settings that differ from the best one in one knob.

    Args:
        choices: what is chosen from.
        grid: of the knobs; another one than all their settings where not all may be tried.
    """

    def __init__(self, choices: Choices, *, grid: Grid | None = None) -> None:
        self._grid = grid or Grid(choices.knobs)

    def propose(self, known: Known) -> Iterator[dict[str, KnobValue]]:
        """Yield neighbours of the best, those at a distance of one knob first."""
        found = results(known.trials)
        place = None
        if len(found) >= STARTUP:
            best = max(found, key=lambda result: result.accuracy)
            place = self._grid.place(known.trials[best.trial].knobs)
        for attempt in range(2 * _ATTEMPTS):
            rng = Random(known.seed_of("neighbour", attempt))
            if place is None:
                drawn = self._grid.drawn(rng)
            else:
                drawn = self._grid.changed(place, rng, knobs=1 + attempt // _ATTEMPTS)
            yield self._grid.knobs(drawn)
