"""What is to be trained, how it ended and what it took: the values that flow between deciding and running."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Self, TypeAlias

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey
from archsearch.space.knobs import Knobs
from archsearch.training.job import Outcome

State: TypeAlias = Literal["waiting", "running", "complete", "pruned", "failed"]
UNFINISHED: Final = ("waiting", "running")


@dataclass(frozen=True, slots=True)
class Length:
    """How long a training is: images seen in all, and the epochs these are."""

    images: int
    epochs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A network to train once, with a finished schedule of its own.

    Attributes:
        length: images seen in training, and epochs, the last perhaps partial.
        seed: of everything random in it.
        decision: the number of the decision that ordered it, in a fixed order; None: none did (finals).
        validated: whether there are images to validate with; they may be among those it trains on.
    """

    key: JobKey
    design: Design
    knobs: Knobs = field(default_factory=dict)
    length: Length
    seed: int
    decision: int | None = None
    validated: bool = True

    @property
    def flops(self) -> int:
        """Training FLOPs, if it comes to its end."""
        return self.design.training_flops(self.length.images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A training as it is remembered.

    Attributes:
        reports: validation accuracy by 1-based epoch.
        outcome: None: it has not ended yet.
    """

    order: Order
    reports: Mapping[int, float] = field(default_factory=dict)
    outcome: Outcome | None = None

    @property
    def spent_flops(self) -> int:
        """Training FLOPs that went into it."""
        images = 0 if self.outcome is None else self.outcome.images
        return self.order.design.training_flops(images)


def of_last_try(reports: Mapping[int, float], outcome: Outcome | None) -> Mapping[int, float]:
    """Return what a training came to by epoch, without what a first try that stalled has left behind."""
    if outcome is None or outcome.rate_share == 1.0:
        return reports
    return {epoch: accuracy for epoch, accuracy in reports.items() if epoch <= outcome.epochs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A network of the search with its trainings, the shortest first.

    Attributes:
        skipped: proposals passed over before it, as their network had been trained already.
        state: how the storage has it; trials that ended change no more there.
    """

    number: int
    knobs: Knobs
    design: Design
    skipped: int = 0
    state: State = "running"
    trainings: tuple[Training, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether its state is final."""
        return self.state not in UNFINISHED

    @property
    def tried(self) -> bool:
        """Whether its first training has ended; a longer one may follow."""
        return self.trainings[0].outcome is not None

    @property
    def last(self) -> Training:
        """The longest training begun."""
        return self.trainings[-1]

    @property
    def best_known(self) -> Training | None:
        """The longest training that has ended; None where none has."""
        ended = [training for training in self.trainings if training.outcome is not None]
        return ended[-1] if ended else None


class Spent(NamedTuple):
    """A training that has ended, of which network, and the training FLOPs that went into it."""

    key: JobKey
    design: Design
    flops: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Training FLOPs that went into a study, by what they were for.

    Trainings count once they have ended, however they did: by the images they saw, those before an
    interruption once.

    Attributes:
        search: of candidates' trials by rung, the lowest first.
        finals: of candidates' retrainings.
        baselines: of all trainings of baselines, those in the search too.
        measuring: of what measures the pace. No bound counts it: it depends on the machine, and what is
            tried within a bound on FLOPs must not.
    """

    search: tuple[int, ...] = ()
    finals: int = 0
    baselines: int = 0
    measuring: int = 0

    @classmethod
    def of(cls, trainings: Iterable[Spent], *, measuring: int) -> Self:
        """Return the sums over trainings."""
        rungs: Counter[int] = Counter()
        finals = baselines = 0
        for key, design, flops in trainings:
            if design.role == "baseline":
                baselines += flops
            elif key.purpose == "final":
                finals += flops
            else:
                rungs[key.rung] += flops
        search = tuple(rungs[rung] for rung in range(max(rungs, default=-1) + 1))
        return cls(search=search, finals=finals, baselines=baselines, measuring=measuring)

    @property
    def bounded(self) -> int:
        """What a bound on FLOPs counts."""
        return sum(self.search) + self.finals + self.baselines

    @property
    def total(self) -> int:
        """All of it."""
        return self.bounded + self.measuring
