"""How networks stand to the design rules of a space: what a candidate holds, keeps or breaks."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from archsearch.ir.graph import Graph
from archsearch.rules.audit import audit
from archsearch.rules.registry import load_rules
from archsearch.rules.rule import Finding, Rule
from archsearch.space.solve import Candidate


@dataclass(frozen=True, slots=True)
class Standing:
    """A network and the rules of a space.

    Attributes:
        holds: the rules it is to hold.
        obeyed: the rules that were freed and that it keeps all the same.
        findings: where it breaks one it is to hold; none in a candidate.
    """

    holds: tuple[str, ...]
    obeyed: tuple[str, ...]
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "holds": list(self.holds),
            "obeyed": list(self.obeyed),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def standing(candidate: Candidate) -> Standing:
    """Return how a candidate stands to its own space's rules; takes about as long as solving for it."""
    found = find_breaches(candidate.graph, candidate.holds)
    return Standing(candidate.holds, candidate.obeyed, found)


def find_breaches(graph: Graph, rules: Iterable[str]) -> tuple[Finding, ...]:
    """Return where a network breaks one of the rules with these names."""
    known = _rules(tuple(sys.path))
    return audit(graph, [known[name] for name in rules])


@lru_cache(maxsize=1)
def _rules(places: tuple[str, ...]) -> Mapping[str, Rule]:
    """Return the rules installed in these places: to look for them takes longer than a network's check."""
    return load_rules()
