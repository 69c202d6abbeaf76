"""What every design rule keeps to, as tests: subclass `RuleCase` to hold a rule of your own to it."""

import json
from collections.abc import Iterable, Iterator
from random import Random
from typing import ClassVar

from archsearch.ir.codec import from_json, to_json
from archsearch.ir.graph import Graph
from archsearch.readings.cost import cost
from archsearch.rules.rule import Finding, Rule


class RuleCase:
    """The contract of `Rule`, as tests that pytest finds in a subclass.

    class TestMine(RuleCase):
        rule = MY_RULE

        def good(self):
            return [network_that_keeps_it()]

        def bad(self):
            return [network_that_breaks_it()]
    """

    rule: ClassVar[Rule]

    def good(self) -> Iterable[Graph]:
        """Return networks that keep the rule."""
        raise NotImplementedError

    def bad(self) -> Iterable[Graph]:
        """Return networks that break it, each at least once."""
        raise NotImplementedError

    def findings(self) -> Iterator[tuple[Graph, Finding]]:
        """Yield each bad network with each of its findings."""
        for graph in self.bad():
            for finding in self.rule.check(graph):
                yield graph, finding

    # --- what it says of itself -------------------------------------------------------------------

    def test_it_has_a_name_a_statement_and_a_source(self) -> None:
        """A name that a command line takes, one sentence, and who taught it."""
        rule = self.rule
        assert rule.name == rule.name.lower()
        assert rule.name.replace("-", "").isalnum(), f"{rule.name!r} is no name"
        assert rule.statement.endswith("."), "the statement is one sentence"
        assert "\n" not in rule.statement
        assert all(rule.source), f"the source lacks something: {rule.source}"

    def test_an_equation_is_written_out(self) -> None:
        """A rule with an equation has its formula, and no other has one."""
        assert bool(self.rule.formula) == (self.rule.equation is not None)

    # --- what it finds ----------------------------------------------------------------------------

    def test_a_network_that_keeps_it_has_no_finding(self) -> None:
        """None at all."""
        for graph in self.good():
            found = self.rule.check(graph)
            assert not found, f"{graph.name} keeps the rule: {[f.message for f in found]}"

    def test_a_network_that_breaks_it_has_findings(self) -> None:
        """One at least."""
        graphs = list(self.bad())
        assert graphs, "no network breaks the rule"
        for graph in graphs:
            assert self.rule.check(graph), f"{graph.name} breaks the rule, and nothing is found"

    def test_a_finding_says_where_what_and_what_instead(self) -> None:
        """In one line, which begins with the path of a layer that there is."""
        for graph, finding in self.findings():
            assert finding.rule == self.rule.name
            assert finding.layer in {node.name for node in graph}
            assert finding.found
            assert finding.wanted
            assert finding.message.startswith(f"{finding.layer}: {finding.found}: {finding.wanted}")
            assert "\n" not in finding.message
            assert json.loads(json.dumps(finding.to_dict()))["layer"] == finding.layer

    def test_what_following_it_costs_is_the_difference_of_two_networks(self) -> None:
        """No figure is estimated: both networks are there to count."""
        for graph, finding in self.findings():
            before, after = cost(graph), cost(finding.followed)
            assert finding.flops == after.flops - before.flops
            assert finding.params == after.params - before.params
            assert 0 <= finding.flops_before <= before.flops
            assert 0 <= finding.params_before <= before.params
            assert finding.flops_before + finding.flops >= 0
            assert finding.params_before + finding.params >= 0

    def test_the_rewritten_network_is_one_for_the_same_images(self) -> None:
        """It is another network, it can be stored, and it answers the same question."""
        for graph, finding in self.findings():
            followed = finding.followed
            assert followed.nodes != graph.nodes, f"{finding.message}: nothing was written instead"
            assert (followed.input, followed.classes) == (graph.input, graph.classes)
            assert from_json(to_json(followed)) == followed

    def test_following_it_settles_the_finding(self) -> None:
        """The rewritten network has no such finding at that layer."""
        for _, finding in self.findings():
            left = self.rule.check(finding.followed)
            assert finding.found not in {f.found for f in left if f.layer == finding.layer}

    def test_names_are_never_looked_at(self) -> None:
        """The same layers under other names have the same findings."""
        for graph in (*self.good(), *self.bad()):
            names = [str(index) for index in range(len(graph))]
            Random(0).shuffle(names)
            nodes = (node._replace(name=n) for node, n in zip(graph.nodes, names, strict=True))
            renamed = self.rule.check(Graph("renamed", tuple(nodes), graph.auxiliary))
            assert [(f.found, f.flops, f.params) for f in renamed] == [
                (f.found, f.flops, f.params) for f in self.rule.check(graph)
            ]
