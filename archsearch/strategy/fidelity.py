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


@dataclass(frozen=True, slots=True)
class Promotion:
    """A trial that trains anew, on a higher rung."""

    trial: int
    rung: int


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

    def promote(self, known: Known) -> Promotion | None:
        """Return the trial that trains on a higher rung next; None: a new one is tried."""
        ...


FidelityFactory: TypeAlias = Callable[[int], Fidelity]
"""Makes a scheme for a search that tries so many networks by chance before a model proposes."""


def find_fidelity(name: str) -> FidelityFactory:
    """Return what makes the scheme of that name.

    Raises:
        UserError: there is none; says the nearest.
        ArchsearchError: what is installed as it is no scheme, does not load, or two packages have one.
    """
    kind: Any = Callable
    factory: FidelityFactory = find(GROUP, name, what="fidelity", kind=kind)
    return factory
