"""The fidelity scheme `none`: every training has the full length and comes to its end."""

from collections.abc import Mapping

from archsearch.archive.orders import Length, Order
from archsearch.strategy.fidelity import Outlook, Promotion
from archsearch.strategy.sampler import Known


class FullLength:
    """Trains every network once, for as long as was asked for."""

    def __init__(self, startup: int) -> None:
        self._startup = startup

    def rungs(self, full: Length) -> tuple[Length, ...]:
        """Return the full length alone."""
        return (full,)

    def judge(self, curve: Mapping[int, float], order: Order, known: Known) -> str:
        """Return no reason: it goes on."""
        return ""

    def promote(self, known: Known, outlook: Outlook) -> Promotion | None:
        """Return nobody: there is one rung."""
        return None

    def promotions(self, trials: int, full: Length) -> int:
        """Return none: all begin with the full length."""
        return 0
