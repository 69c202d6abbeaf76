"""The seam for samplers: what is to be chosen from, what is known, what is proposed.

To add a sampler: a module like `strategy/samplers/tpe.py`, and a line under the entry-point group
`archsearch.samplers`, here or in a package of your own. `archsearch.testing.sampler_case` checks it.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from operator import is_not
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from archsearch.archive.orders import Training, Trial
from archsearch.plugins import find
from archsearch.readings.workload import COEFFICIENTS, Workload
from archsearch.seeds import derive_seed
from archsearch.space.knobs import Knob, Knobs, KnobValue
from archsearch.space.solve import Candidate
from archsearch.surrogate.prior import Prior

GROUP: Final = "archsearch.samplers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a sampler chooses from.

    Attributes:
        knobs: with their ranges at this budget.
        solve: from knobs to the candidate that fills the budget, in a millisecond or two; a UserError
            where there is none.
        classic: the knobs of the matched baseline.
        trials: networks to be tried, the baseline included where it is trained.
        seed: of the study.
        val_images: that accuracies are of; None: it is not known.
        keeping: for each knob of a freed design rule, its values that keep the rule.
        margin: points of accuracy that count as no effect of a rule.
        guessing: accuracy of whoever always names the most common class.
        budget: FLOPs of this slice, one of several; None: there is one budget.
        slices: the choices of each slice, the smallest first, where there are several; `knobs` have the
            values of all then.
        taken: content hashes of networks that are trained besides, which are no candidates.
        prior: what earlier studies teach; None: nothing.
        time_s: that the search has, of all workers together: what a training takes counts against a network;
            None: time does not bound it.
        efforts: what the logarithm of that rises by with each figure of a workload, before the study has
            trained any network.
    """

    knobs: tuple[Knob, ...]
    solve: Callable[[Knobs], Candidate]
    classic: Knobs | None = None
    trials: int = 1
    seed: int = 0
    val_images: int | None = None
    keeping: Mapping[str, tuple[KnobValue, ...]] = field(default_factory=dict)
    margin: float = 0.0
    guessing: float = 0.0
    budget: int | None = None
    slices: "tuple[Choices, ...]" = ()
    taken: frozenset[str] = frozenset()
    prior: Prior | None = None
    time_s: float | None = None
    efforts: Workload = COEFFICIENTS

    @property
    def startup(self) -> int:
        """Trials chosen by chance, of each slice, before a model of what is good proposes."""
        return max(4, min(10, self.trials // max(1, len(self.slices)) // 3))

    @property
    def combinations(self) -> int:
        """Combinations of knob values there are."""
        return math.prod(len(knob.values()) for knob in self.knobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What may be known when a decision is made: what the decisions `window` before it gave.

    Trainings ordered since then are there without reports and outcome: they may have ended already, on
    one machine and not on another, and decisions must not depend on that.

    Attributes:
        decision: the number of the decision that is made now.
        trials: all earlier ones, by number, their networks' costs and findings among their facts.
        seed: of the study.
    """

    decision: int
    trials: tuple[Trial, ...]
    seed: int
    _read: Callable[[], tuple[Trial, ...]] | None = field(
        init=False, default=None, repr=False, compare=False
    )

    @classmethod
    def later(cls, read: Callable[[], tuple[Trial, ...]], *, decision: int, seed: int) -> "Known":
        """Return what reads its trials when it is first asked for them.

        Of thousands that takes longer than to draw a network by chance, which needs none of them.

        Args:
            read: returns the trials, the same ones whenever it is called.
            decision: its number.
            seed: of the study.
        """
        found = object.__new__(cls)
        for name, value in (("decision", decision), ("seed", seed), ("_read", read)):
            object.__setattr__(found, name, value)
        return found

    def __getattr__(self, name: str) -> tuple[Trial, ...]:
        """Read the trials: Python asks here for an attribute that has no value yet."""
        if name != "trials" or self._read is None:
            raise AttributeError(name)
        found = self._read()
        object.__setattr__(self, "trials", found)
        object.__setattr__(self, "_read", None)  # what it reads from goes on, and may be large
        return found

    @classmethod
    def of(
        cls,
        trials: Sequence[Trial],
        *,
        decision: int,
        window: int,
        seed: int,
        recent: Iterable[int],
    ) -> "Known":
        """Return what of `trials` may be known to a decision.

        Args:
            trials: all of them, by number.
            decision: its number.
            window: decisions up to it whose results are not to be known, itself among them.
            seed: of the study.
            recent: the numbers of the trials that those decisions were about.
        """
        found = list(trials)
        for number in recent:
            every = trials[number].trainings
            before = (t for t in every if (t.order.decision or 0) < decision)
            trainings = tuple(_unseen(training, decision - window) for training in before)
            if len(trainings) < len(every) or any(map(is_not, trainings, every)):
                found[number] = replace(trials[number], trainings=trainings)
        return cls(decision=decision, trials=tuple(found), seed=seed)

    def changed(self, before: Sequence[Trial]) -> list[int]:
        """Return the numbers of the trials of which anything else is known than in `before`.

        What is made of a trial for one decision serves the next one, so that a decision costs what is
        new. Both are trials by number; nothing is done for a trial that is the same.
        """
        both = range(min(len(before), len(self.trials)))
        differ = compress(both, map(is_not, before, self.trials))
        return [*differ, *range(len(both), len(self.trials))]

    def seed_of(self, purpose: str, *parts: object) -> int:
        """Return a seed for one purpose of this decision."""
        return derive_seed(self.seed, purpose, self.decision, *parts)


def _unseen(training: Training, last: int) -> Training:
    """Return a training without what came of it, if it was ordered after the decision `last`."""
    ordered = training.order.decision
    if ordered is not None and ordered <= last:
        return training
    if training.outcome is None and not training.reports:
        return training
    return replace(training, reports={}, outcome=None)


class Sampler(Protocol):
    """Proposes knobs. It keeps nothing between decisions: what it says follows from what is known."""

    def propose(self, known: Known) -> Iterator[Knobs]:
        """Yield knobs to try next, the most promising first; each has a value of its range.

        What has been tried already is passed over by whoever asks, who goes on to draws by chance
        where this ends. All that is random follows from `known.seed_of`.
        """
        ...


@runtime_checkable
class Predictor(Protocol):
    """What a sampler may have besides, if it has a model: who is promoted to the full length goes by it."""

    def predicted(self, known: Known) -> Mapping[int, float]:
        """Return what is expected of trials at the full length, by number: of none before there is a model.

        The higher the better, in any unit; of trials of which something is known.
        """
        ...


@runtime_checkable
class Sequential(Protocol):
    """What a sampler may have besides, if its trials answer a question: they end with the answer."""

    def enough(self, known: Known) -> str:
        """Return the answer, in a line that says why no other trial is needed; empty: go on."""
        ...


SamplerFactory: TypeAlias = Callable[[Choices], Sampler]


def heeds_prior(name: str) -> bool:
    """Whether the sampler of that name goes by `Choices.prior`: its class has a true `heeds_prior` then."""
    return bool(getattr(find_sampler(name), "heeds_prior", False))


def find_sampler(name: str) -> SamplerFactory:
    """Return what makes the sampler of that name.

    Raises:
        UserError: there is none; says the nearest.
        ArchsearchError: what is installed as it is no sampler, does not load, or two packages have one.
    """
    kind: Any = Callable
    factory: SamplerFactory = find(GROUP, name, what="sampler", kind=kind)
    return factory
