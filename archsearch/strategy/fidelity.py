"""The seam for fidelity schemes: how long trainings are, which are cut short, which go on to a longer one.

To add a scheme: a module like `strategy/fidelities/median.py`, and a line under the entry-point group
`archsearch.fidelities`, here or in a package of your own. `archsearch.testing.fidelity_case` checks it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from archsearch.archive.orders import Length, Order
from archsearch.plugins import find
from archsearch.strategy.sampler import Known

GROUP: Final = "archsearch.fidelities"
AUTO: Final = "auto"
"""In place of a scheme's name: what suits the length of the trainings."""
NO_RUNGS: Final = 8
"""Epochs of a training up to which shorter ones before it save too little for what they tell."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """A trial that trains anew, on a higher rung."""

    trial: int
    rung: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a promotion goes by besides what is known.

    Attributes:
        length: the full length of a training, from a network's FLOPs.
        predicted: what the sampler's model expects of trials (see `Predictor`); None: it has none.
        closing: whether nothing new is tried any more, so that waiting tells nothing more.
    """

    length: Callable[[int], Length]
    predicted: Callable[[Known], Mapping[int, float]] | None = None
    closing: bool = False


class Fidelity(Protocol):
    """Decides on lengths. It keeps nothing between decisions: what it says follows from what is known."""

    def rungs(self, full: Length) -> tuple[Length, ...]:
        """Return the lengths a network may be trained for, rising, the last one the full length.

        Each is a training with a finished schedule of its own. A trial begins on the lowest.
        """
        ...

    def judge(self, curve: Mapping[int, float], order: Order, known: Known) -> str:
        """Return why a training is to be cut short; empty: it goes on.

        Args:
            curve: its validation accuracy by 1-based epoch, so far.
            order: the training.
            known: what was known when it was ordered.
        """
        ...

    def promote(self, known: Known, outlook: Outlook) -> Promotion | None:
        """Return the trial that trains on a higher rung next; None: a new one is tried."""
        ...

    def promotions(self, trials: int, full: Length) -> int:
        """Return about how many of so many trials train at the full length, too: for the plan of a run.

        None of those that begin with it counts.
        """
        ...


FidelityFactory: TypeAlias = Callable[[int], Fidelity]
"""Makes a scheme for a search that tries so many networks by chance before a model proposes."""


def chosen(name: str, epochs: int) -> str:
    """Return the name of a scheme for trainings of so many epochs, whose name may be `AUTO`."""
    if name != AUTO:
        return name
    return "median" if epochs <= NO_RUNGS else "rungs"


def find_fidelity(name: str) -> FidelityFactory:
    """Return what makes the scheme of that name.

    Raises:
        UserError: there is none; says the nearest.
        ArchsearchError: what is installed as it is no scheme, does not load, or two packages have one.
    """
    kind: Any = Callable
    factory: FidelityFactory = find(GROUP, name, what="fidelity", kind=kind)
    return factory
