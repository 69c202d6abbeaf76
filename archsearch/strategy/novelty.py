"""From a sampler's knobs to a network that has not been trained in this study."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Final, TypeAlias

from archsearch.archive.orders import Trial
from archsearch.errors import UserError
from archsearch.ir.codec import content_hash
from archsearch.space.knobs import Knobs, KnobValue, draw
from archsearch.space.solve import Candidate
from archsearch.strategy.sampler import Choices, Known, Sampler

FIRST_DRAW: Final = 8
RANDOM_ATTEMPTS: Final = 32
"""Draws by chance that follow, where the sampler has nothing new."""
LISTED_COMBINATIONS: Final = 20_000
"""Combinations at most of a space that is gone through, all of it, before the search gives up."""

_Setting: TypeAlias = tuple[tuple[str, str, KnobValue], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Knobs for a trial, and the network that fills the budget with them.

    Attributes:
        candidate: None where no network could be made of them: `fault` says why.
        graph: content hash of the network at the full budget; empty where there is none.
        skipped: proposals passed over as their network had been trained already.
        classic: whether it is the matched baseline.
        budget: FLOPs of its slice; None: there is one budget.
    """

    knobs: Knobs
    candidate: Candidate | None
    graph: str = ""
    skipped: int = 0
    fault: str = ""
    classic: bool = False
    budget: int | None = None


class Proposer:
    """Proposes networks that are new to a study; keeps what has been tried."""

    def __init__(self, choices: Choices, sampler: Sampler, trials: Sequence[Trial] = ()) -> None:
        self._choices = choices
        self._sampler = sampler
        self._settings: set[_Setting] = set()
        self._graphs: set[str] = set(choices.taken)
        for trial in trials:
            self.add(trial)

    def add(self, trial: Trial) -> None:
        """Take note of a trial."""
        self._settings.add(_setting(trial.knobs))
        self._graphs.add(trial.design.at_budget)

    def classic(self, knobs: Knobs) -> Proposal:
        """Return the matched baseline."""
        return self._made(knobs, classic=True)

    def propose(self, known: Known) -> Proposal | None:
        """Return a network that has not been trained in this study; None if there is no other."""
        passed: set[_Setting] = set()
        for seen, knobs in enumerate(self._choices_for(known)):
            # Different knobs may give the same network, the same knobs always do.
            setting = _setting(knobs)
            if setting not in self._settings and setting not in passed:
                passed.add(setting)
                made = self._made(knobs, skipped=seen)
                if made.candidate is None or made.graph not in self._graphs:
                    return made
        return None

    def _choices_for(self, known: Known) -> Iterator[Knobs]:
        """Yield knobs: the sampler's proposals, then draws by chance, then all there are."""
        yield from self._sampler.propose(known)
        for attempt in range(FIRST_DRAW, FIRST_DRAW + RANDOM_ATTEMPTS):
            yield draw(self._choices.knobs, Random(known.seed_of("knobs", attempt)))
        if self._choices.combinations <= LISTED_COMBINATIONS:
            names = [knob.name for knob in self._choices.knobs]
            every = list(product(*(knob.values() for knob in self._choices.knobs)))
            Random(known.seed_of("left")).shuffle(every)
            yield from (dict(zip(names, values, strict=True)) for values in every)

    def _made(self, knobs: Knobs, *, skipped: int = 0, classic: bool = False) -> Proposal:
        candidate, graph, fault = None, "", ""
        try:
            candidate = self._choices.solve(knobs)
            graph = content_hash(candidate.graph)
        except UserError as error:
            fault = str(error)
        return Proposal(
            knobs=dict(knobs),
            candidate=candidate,
            graph=graph,
            skipped=skipped,
            fault=fault,
            classic=classic,
            budget=self._choices.budget,
        )


def _setting(knobs: Knobs) -> _Setting:
    # True == 1 in Python; a knob's values are told apart by type, too.
    return tuple(sorted((name, type(value).__name__, value) for name, value in knobs.items()))
