"""Settings of knobs as places on a grid: drawn, changed here and there, and read as numbers."""

from collections.abc import Sequence
from random import Random
from typing import Final, TypeAlias

import numpy as np

from archsearch.space.knobs import ChoiceKnob, Knob, Knobs, KnobValue
from archsearch.surrogate.algebra import Floats

Place: TypeAlias = tuple[int, ...]
"""The number of the value that each knob has, in the order of the knobs."""

_NEAR: Final = 0.5
"""The share of changes of a knob with an order that go to a neighbour; the others go anywhere."""


class Grid:
    """All settings of some knobs."""

    def __init__(self, knobs: Sequence[Knob]) -> None:
        self._names = tuple(knob.name for knob in knobs)
        self._values = tuple(knob.values() for knob in knobs)
        self._places = tuple(
            {(type(value), value): place for place, value in enumerate(values)}
            for values in self._values
        )
        self.ordered: Final = tuple(_is_ordered(knob) for knob in knobs)
        self.open: Final = tuple(i for i, values in enumerate(self._values) if len(values) > 1)

    def place(self, knobs: Knobs) -> Place | None:
        """Return the place of a setting; None where a knob has none of its values."""
        try:
            return tuple(
                places[type(knobs[name]), knobs[name]]
                for name, places in zip(self._names, self._places, strict=True)
            )
        except KeyError:
            return None

    def knobs(self, place: Place) -> dict[str, KnobValue]:
        """Return the setting at a place."""
        return {
            name: values[at]
            for name, values, at in zip(self._names, self._values, place, strict=True)
        }

    def drawn(self, rng: Random) -> Place:
        """Return a place, each knob's value drawn uniformly."""
        return tuple(rng.randrange(len(values)) for values in self._values)

    def changed(self, place: Place, rng: Random, *, knobs: int = 1) -> Place:
        """Return a place that differs in so many knobs, as far as there are as many with a choice."""
        found = list(place)
        for knob in rng.sample(self.open, min(knobs, len(self.open))):
            found[knob] = self._other(knob, place[knob], rng)
        return tuple(found)

    def _other(self, knob: int, at: int, rng: Random) -> int:
        count = len(self._values[knob])
        if self.ordered[knob] and rng.random() < _NEAR:
            return rng.choice([near for near in (at - 1, at + 1) if 0 <= near < count])
        other = rng.randrange(count - 1)
        return other + (other >= at)

    def one_by_one(self, places: Sequence[Place]) -> dict[tuple[str, KnobValue], list[Place]]:
        """Return the places with one knob set to each of its values, by the knob's name and the value."""
        return {
            (self._names[knob], value): [(*p[:knob], number, *p[knob + 1 :]) for p in places]
            for knob in self.open
            for number, value in enumerate(self._values[knob])
        }

    def rows(self, places: Sequence[Place]) -> Floats:
        """Return places as numbers, (places, knobs): from 0 to 1 in order, or the category's number."""
        found = np.array(places, dtype=float).reshape(len(places), len(self._names))
        for knob, values in enumerate(self._values):
            if self.ordered[knob]:
                found[:, knob] /= max(1, len(values) - 1)
        return found


def _is_ordered(knob: Knob) -> bool:
    """Say whether a knob's values are numbers in rising order."""
    if not isinstance(knob, ChoiceKnob):
        return True
    numbers = [v for v in knob.choices if isinstance(v, int | float) and not isinstance(v, bool)]
    return len(numbers) == len(knob.choices) and numbers == sorted(numbers)
