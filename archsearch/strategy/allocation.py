"""Which network the next training of the finals goes to: the one it is expected to tell most of.

A function of what has been told: the finals ask it, and so does whoever simulates them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from archsearch.statistics.posterior import Evidence, posterior

WORTH: Final = 0.0002
"""Accuracy that a training must be expected to win, where a bound ended the search: 0.02 points, about what
one more trial wins after a dozen (benchmarks/RESULTS.md)."""
_STALLS: Final = 2
"""Seeds with which a network learns nothing, after which it gets no further one."""
_AT_LEAST: Final = 2
"""Trainings in all that the matched baseline and a candidate need, for a claim about both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """The networks of a search that may be retrained.

    Attributes:
        contestants: with their values of the search, the best first.
        matched: name of the matched baseline among them; empty: there is none.
        trainings: of the finals in all.
        images: that validate; 0: not known.
        parts: contests that it is made of, which have a winner each; empty: it has one.
    """

    contestants: tuple[Evidence, ...]
    matched: str = ""
    trainings: int = 0
    images: int = 0
    parts: "tuple[Contest, ...]" = ()

    @classmethod
    def of(cls, parts: "Sequence[Contest]") -> "Contest":
        """Return some contests as one: their trainings are shared, each going where it tells most."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            contestants=tuple(one for part in parts for one in part.contestants),
            trainings=sum(part.trainings for part in parts),
            parts=tuple(parts),
        )


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a network's trainings of the finals: accuracies, how many failed, stalled, or run.

    Attributes:
        folds: the split that each of the values was validated on; empty: the search's.
    """

    values: tuple[float, ...] = ()
    folds: tuple[int, ...] = ()
    failed: int = 0
    stalled: int = 0
    running: int = 0

    @property
    def given_up(self) -> bool:
        """Whether it gets no further one: a fault comes again, one seed may be bad luck."""
        return self.failed > 0 or self.stalled >= _STALLS

    @property
    def begun(self) -> int:
        """Trainings that ended well or run."""
        return len(self.values) + self.running


@dataclass(frozen=True, slots=True)
class Choice:
    """The network that is trained next.

    Attributes:
        worth: accuracy that this is expected to win; None: there is no result without it.
    """

    name: str
    worth: float | None = None


_NOTHING: Final = Told()


@dataclass(frozen=True, slots=True)
class Allocation:
    """A contest as it stands.

    Attributes:
        told: what came of the finals so far, by network.
    """

    contest: Contest
    told: Mapping[str, Told] = field(default_factory=dict)

    def next(self) -> Choice | None:
        """Return what is trained next; None: every network is given up.

        First the best candidate and the matched baseline, without which there is neither a winner nor a
        claim; then whichever has the largest knowledge gradient, of those that are not given up. Of several
        contests each comes to a winner before any has a further training.
        """
        if self.contest.parts:
            found = [Allocation(part, self.told).next() for part in self.contest.parts]
            choices = [choice for choice in found if choice is not None]
            return max(choices, key=_urgency, default=None)
        able = [one for one in self.contest.contestants if not self._of(one).given_up]
        if not able:
            return None
        belief = posterior([self._with_finals(one) for one in able], images=self.contest.images)
        expected = belief.expected
        candidates = [one for one in able if one.name != self.contest.matched]
        if candidates and not any(self._of(one).begun for one in candidates):
            return Choice(max(candidates, key=lambda one: expected[one.name]).name)
        for one in able:
            if one.name == self.contest.matched and self._lacks(one):
                return Choice(one.name)
        pending = {one.name: self._of(one).running for one in able}
        gradient = belief.knowledge_gradient(pending)
        # Of the two best, which are worth the same, the best.
        best = max(gradient, key=lambda name: (round(gradient[name], 12), expected[name]))
        return Choice(best, gradient[best])

    def _of(self, one: Evidence) -> Told:
        return self.told.get(one.name, _NOTHING)

    def _lacks(self, one: Evidence) -> bool:
        begun = self._of(one).begun
        return not begun or len(one.values) + begun < _AT_LEAST

    def _with_finals(self, one: Evidence) -> Evidence:
        told = self._of(one)
        return one.after(told.values, told.folds)


def _urgency(choice: Choice) -> float:
    return math.inf if choice.worth is None else choice.worth
