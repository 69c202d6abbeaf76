"""Check a network against the rules, and list the rules: data for tables and `--json`."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from archsearch.ir.graph import Graph
from archsearch.rules.patterns import View
from archsearch.rules.registry import find_rule, load_rules
from archsearch.rules.rule import Finding, Rule


class Audit(NamedTuple):
    """What was found in a network, under the name it was given by."""

    name: str
    findings: tuple[Finding, ...]


def audit(graph: Graph, rules: Iterable[Rule] | None = None) -> tuple[Finding, ...]:
    """Return all findings, in the order of the network's layers.

    Args:
        graph: the network.
        rules: the rules to check; all of them by default.
    """
    view = View(graph)
    chosen = load_rules().values() if rules is None else rules
    findings = [finding for rule in chosen for finding in rule.check_view(view)]
    place = {node.name: index for index, node in enumerate(graph.nodes)}
    return tuple(sorted(findings, key=lambda finding: place[finding.layer]))


def audits(
    networks: Iterable[tuple[str, Graph, Iterable[str] | None]], rules: Iterable[str] = ()
) -> tuple[Audit, ...]:
    """Return what is found in each of several networks.

    Args:
        networks: each with what it is called and the rules that it is to hold; None: all there are.
        rules: the names of the rules to check in place of those.

    Raises:
        UserError: there is no rule of that name.
    """
    asked = [find_rule(rule) for rule in rules]
    return tuple(
        Audit(name, audit(graph, asked or (None if holds is None else map(find_rule, holds))))
        for name, graph, holds in networks
    )


def rule_rows() -> tuple[dict[str, Any], ...]:
    """Return a row for each rule, as `archsearch rules` prints it."""
    return tuple(
        {
            "name": rule.name,
            "statement": rule.statement,
            "source": str(rule.source),
            "formula": rule.formula,
            "tolerance": rule.tolerance,
        }
        for rule in load_rules().values()
    )
