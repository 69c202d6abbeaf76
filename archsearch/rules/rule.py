"""A design rule: its statement, its source, what in a network breaks it, what following it costs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import floor
from typing import Any, NamedTuple

from archsearch.errors import GraphError
from archsearch.ir.graph import Graph
from archsearch.ir.ops import Op
from archsearch.readings.cost import cost, node_params
from archsearch.rules.patterns import View, counted_flops
from archsearch.rules.rewrite import Edit, rewrite
from archsearch.units import format_count


class Source(NamedTuple):
    """Where a rule was taught."""

    network: str
    paper: str
    section: str

    def __str__(self) -> str:
        return f"{self.network}: {self.paper}, {self.section}"


class Breach(NamedTuple):
    """Where a network departs from a rule, and how to write it instead.

    Attributes:
        at: the node it is about.
        found: what is there.
        wanted: what the rule wants, worded to be followed by "with … fewer parameters".
        edits: layers written differently.
        changed: ops with other settings.
    """

    at: int
    found: str
    wanted: str
    edits: Mapping[int, Edit] = {}
    changed: Mapping[int, Op] = {}


@dataclass(frozen=True, slots=True)
class Finding:
    """One departure from a rule, with what following the rule would change.

    Attributes:
        rule: the rule's name.
        layer: the path of the layer, or of the first of them.
        found: what is there.
        wanted: what the rule wants.
        flops: change of the network's FLOPs, negative where following the rule saves.
        params: change of its parameters.
        flops_before: FLOPs of the layers that would change, as they are.
        params_before: parameters of those.
        followed: the network with the rule followed here, which `flops` and `params` are counted from.
    """

    rule: str
    layer: str
    found: str
    wanted: str
    flops: int
    params: int
    flops_before: int
    params_before: int
    followed: Graph = field(repr=False, compare=False)

    @property
    def effect(self) -> str:
        """Say the change in words: `with 28 % fewer parameters and FLOPs`."""
        params = _change(self.params, self.params_before)
        flops = _change(self.flops, self.flops_before)
        if not self.params and not self.flops:
            return "for the same parameters and FLOPs"
        if params == flops:
            return f"with {params} parameters and FLOPs"
        return (
            f"with {params} parameters{_amount(self.params)} and {flops} FLOPs{_amount(self.flops)}"
        )

    @property
    def message(self) -> str:
        """The line a linter prints."""
        return f"{self.layer}: {self.found}: {self.wanted} {self.effect}"

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {
            "rule": self.rule,
            "layer": self.layer,
            "found": self.found,
            "wanted": self.wanted,
            "effect": self.effect,
            "flops": self.flops,
            "params": self.params,
            "flops_before": self.flops_before,
            "params_before": self.params_before,
        }


@dataclass(frozen=True, slots=True)
class Rule:
    """A design rule.

    Attributes:
        name: as the lecture and the papers call it.
        statement: the rule in one sentence.
        source: who taught it.
        look: finds breaches in a network.
        equation: the rule's equation as a function, where it has one.
        formula: the equation as people write it.
        tolerance: how far a network may be from it and still keep it; its check allows no more.
    """

    name: str
    statement: str
    source: Source
    look: Callable[[View], Iterable[Breach]]
    equation: Callable[..., Any] | None = None
    formula: str = ""
    tolerance: str = "none"

    def check(self, graph: Graph) -> tuple[Finding, ...]:
        """Return what departs from this rule; nothing where a network does not use what it is about."""
        return self.check_view(View(graph))

    def check_view(self, view: View) -> tuple[Finding, ...]:
        """Check a network whose structure was read already."""
        findings = []
        for breach in self.look(view):
            try:
                followed = rewrite(view.graph, breach.edits, breach.changed)
            except GraphError:
                continue  # other layers depend on this one's shape: the rule cannot be followed here
            findings.append(_finding(self.name, view.graph, breach, followed))
        return tuple(findings)


def _finding(rule: str, graph: Graph, breach: Breach, followed: Graph) -> Finding:
    before, after = cost(graph), cost(followed)
    kept = {(n.name, n.op, followed.input_shapes(n)) for n in followed}
    flops = params = 0
    for node in graph.nodes[1:]:
        shapes = graph.input_shapes(node)
        if (node.name, node.op, shapes) not in kept:
            flops += counted_flops(node.op, shapes, node.shape)
            params += node_params(node.op, shapes)
    return Finding(
        rule,
        graph.nodes[breach.at].name,
        breach.found,
        breach.wanted,
        after.flops - before.flops,
        after.params - before.params,
        flops,
        params,
        followed,
    )


def _change(change: int, before: int) -> str:
    if not change:
        return "as many"
    less = "fewer" if change < 0 else "more"
    if not before:
        return f"{format_count(abs(change))} {less}"
    share = abs(change) / before
    if share >= 10:
        return f"{share:.0f} × {less}"
    return f"{_percent(share)} {less}"


def _percent(share: float) -> str:
    if 0.995 <= share < 1:
        return f"{floor(1000 * share) / 10} %"  # never 100 where something is left
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.2g} %"


def _amount(change: int) -> str:
    return f" ({'−' if change < 0 else '+'}{format_count(abs(change))})" if change else ""
