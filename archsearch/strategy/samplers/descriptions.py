"""What is known of a setting before it is tried: its network's features, and what the rules say of it."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import log2
from typing import Final

from archsearch.errors import UserError
from archsearch.ir.codec import content_hash
from archsearch.ir.graph import Graph
from archsearch.readings.features import features
from archsearch.readings.workload import Workload, workload
from archsearch.rules.audit import audit
from archsearch.rules.registry import load_rules
from archsearch.rules.rule import Rule
from archsearch.space.knobs import Knobs
from archsearch.space.solve import Candidate
from archsearch.strategy.samplers.grid import Grid, Place

REMEMBERED: Final = 8192
"""Settings whose descriptions are kept, the latest."""


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a setting's network before it trains.

    Attributes:
        graph: its content hash.
        features: by name, the same names for all networks.
        load: what a training's time follows from.
    """

    graph: str
    features: Mapping[str, float]
    load: Workload


class Describer:
    """Describes settings; what it has made once it keeps, as it follows from the setting alone.

    Args:
        grid: of the settings.
        solve: from knobs to their network.
        flops: whether FLOPs are a feature: networks of several budgets differ in them.
    """

    def __init__(
        self, grid: Grid, solve: Callable[[Knobs], Candidate], *, flops: bool = False
    ) -> None:
        self._grid, self._solve, self._flops = grid, solve, flops
        self._rules = tuple(load_rules().values())
        self.describe: Final = lru_cache(maxsize=REMEMBERED)(self._made)

    def _made(self, place: Place) -> Description | None:
        """Return a setting's description; None where it has no network."""
        try:
            candidate = self._solve(self._grid.knobs(place))
        except UserError:
            return None
        graph = candidate.graph
        found = described(graph, self._rules)
        if self._flops:
            found["log_flops"] = log2(candidate.cost.flops)
        return Description(content_hash(graph), found, workload(graph))


def described(graph: Graph, rules: tuple[Rule, ...]) -> dict[str, float]:
    """Return a network's features, and how often it departs from each rule."""
    found = Counter(finding.rule for finding in audit(graph, rules))
    departures = {f"departs from {rule.name}": float(found[rule.name]) for rule in rules}
    return {**features(graph), **departures}
