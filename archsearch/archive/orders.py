"""What is to be trained, and how it ended: the values that flow between deciding and running."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

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
    def last(self) -> Training:
        """The longest training begun."""
        return self.trainings[-1]

    @property
    def best_known(self) -> Training | None:
        """The longest training that has ended; None where none has."""
        ended = [training for training in self.trainings if training.outcome is not None]
        return ended[-1] if ended else None
