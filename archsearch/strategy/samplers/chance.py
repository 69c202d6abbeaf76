"""The sampler that knows nothing: every knob drawn uniformly."""

from collections.abc import Iterator
from random import Random
from typing import Final

from archsearch.space.knobs import Knobs, draw
from archsearch.strategy.sampler import Choices, Known

_DRAWS: Final = 32


class RandomSampler:
    """Draws each knob's value uniformly and independently of all that is known."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices

    def propose(self, known: Known) -> Iterator[Knobs]:
        """Yield draws."""
        for attempt in range(_DRAWS):
            yield draw(self._choices.knobs, Random(known.seed_of("chance", attempt)))
