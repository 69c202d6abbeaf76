"""A sampler that climbs: it proposes the best network so far with one knob changed."""

from collections.abc import Iterator
from random import Random

from archsearch.archive.orders import Trial
from archsearch.space.knobs import Knobs, draw
from archsearch.strategy.sampler import Choices, Known


class Neighbours:
    def __init__(self, choices: Choices) -> None:
        self._choices = choices

    def propose(self, known: Known) -> Iterator[Knobs]:
        rng = Random(known.seed_of("neighbours"))
        ended = {trial.number: score for trial in known.trials if (score := accuracy(trial))}
        if not ended:
            yield draw(self._choices.knobs, rng)
            return
        best = known.trials[max(ended, key=lambda number: (ended[number], -number))]
        neighbours = [
            {**best.knobs, knob.name: value}
            for knob in self._choices.knobs
            for value in knob.values()
            if value != best.knobs[knob.name]
        ]
        rng.shuffle(neighbours)
        yield from neighbours


def accuracy(trial: Trial) -> float | None:
    ended = trial.best_known
    return None if ended is None or ended.outcome is None else ended.outcome.val_accuracy
