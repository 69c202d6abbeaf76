"""How many networks of a search train for how long, short or in full, and what they take together."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from archsearch.archive.orders import Length
from archsearch.archive.store import StudyStore
from archsearch.planning.problem import Problem
from archsearch.strategy.fidelity import Fidelity
from archsearch.units import training_flops


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What an earlier process has done of a study: networks tried, those promoted, retrainings."""

    trials: int = 0
    promotions: int = 0
    finals: int = 0

    @classmethod
    def of(cls, store: StudyStore) -> Self:
        """Count it."""
        tried = [trial for trial in store.trials if trial.tried]
        longer = [t for trial in tried for t in trial.trainings[1:] if t.outcome is not None]
        return cls(trials=len(tried), promotions=len(longer), finals=len(store.finals))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """The lengths of a search's trainings, and what is left to do on each.

    Attributes:
        full: the full length.
        short: what trials begin with, where that is less; None: they begin with the full length.
        flops: of a network, of one image, on average.
        scheme: says how many of so many trials train in full besides a short training.
        budgets: of the search; each promotes its own.
        done: by an earlier process.
    """

    full: Length
    short: Length | None
    flops: int
    scheme: Fidelity | None
    budgets: int = 1
    done: Done = field(default_factory=Done)

    @classmethod
    def of(cls, problem: Problem, done: Done) -> Self:
        """Return the ladder of what is left of a problem."""
        full, scheme = problem.length(problem.typical_flops), problem.scheme()
        rungs = (full,) if scheme is None else scheme.rungs(full)
        short = rungs[0] if len(rungs) > 1 else None
        return cls(
            full=full,
            short=short,
            flops=problem.typical_flops,
            scheme=scheme,
            budgets=problem.budgets,
            done=done,
        )

    @property
    def full_flops(self) -> int:
        """Training FLOPs of a training at the full length."""
        return training_flops(self.flops, self.full.images)

    @property
    def first_flops(self) -> int:
        """Training FLOPs of what a trial begins with."""
        return training_flops(self.flops, (self.short or self.full).images)

    def promotions(self, trials: int) -> int:
        """Return how many full trainings so many more trials come with."""
        if self.scheme is None:
            return 0
        whole, rest = divmod(self.done.trials + trials, self.budgets)
        of_one, of_more = (self.scheme.promotions(n, self.full) for n in (whole, whole + 1))
        promotions = (self.budgets - rest) * of_one + rest * of_more
        return max(0, promotions - self.done.promotions)

    def spent(self, trials: int) -> int:
        """Return the training FLOPs of so many more trials, with the full trainings they come with."""
        return trials * self.first_flops + self.promotions(trials) * self.full_flops

    def seconds(self, trials: int, *, first_s: float, full_s: float, workers: int) -> float:
        """Return what so many more trials take, as many at a time as there are workers.

        Args:
            trials: how many.
            first_s: what one takes that a trial begins with.
            full_s: what one of the full length takes.
            workers: trainings at a time.
        """
        promotions = self.promotions(trials)
        if not promotions:
            return -(-trials // workers) * first_s
        # Short trainings fill what full ones leave of the workers' time, but for the last one.
        return max((trials * first_s + promotions * full_s) / workers, first_s + full_s)


def most(trials: int, *, cost: Callable[[int], float], bound: float) -> int:
    """Return the most trials, of so many, whose cost is within a bound; costs rise with the trials."""
    return max(0, bisect_right(range(trials + 1), bound, key=cost) - 1)
