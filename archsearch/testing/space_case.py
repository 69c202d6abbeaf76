"""What every design space keeps to, as tests: subclass `SpaceCase` to hold a space of your own to it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from math import prod
from random import Random
from typing import Any, ClassVar

import pytest

from archsearch.errors import BudgetError
from archsearch.ir.channels import known
from archsearch.ir.codec import content_hash, from_json, to_json
from archsearch.ir.graph import Graph
from archsearch.readings.cost import cost, training_only
from archsearch.rules.registry import load_rules
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import IntKnob, Knob, Knobs, RisingKnob, check, draw
from archsearch.space.solve import Candidate, solve
from archsearch.space.space import Space
from archsearch.space.widths import keep_real


class SpaceCase:
    """The contract of `Space`, as tests that pytest finds in a subclass.

        class TestMine(SpaceCase):
            space = MY_SPACE

    Attributes:
        space: the space.
        input: images to ask it for, (height, width, channels).
        classes: of these images.
        flops: the budget; the least that the space reaches, and a tenth more, where that is more.
        draws: how many members are looked at.
    """

    space: ClassVar[Space]
    input: ClassVar[tuple[int, int, int]] = (32, 32, 3)
    classes: ClassVar[int] = 10
    flops: ClassVar[int] = 20_000_000
    draws: ClassVar[int] = 6

    @property
    def asked(self) -> Request:
        """What the space is asked for: networks of a budget within its reach."""
        nothing = Request(self.input, self.classes, Budget(1, 1))
        least, _ = self.space.reach(nothing)
        return replace(nothing, budget=Budget.cap(max(self.flops, int(1.1 * least)), self.input))

    def members(self) -> tuple[Candidate, ...]:
        """Return its classic, then members drawn by a fixed seed."""
        return _members(self.space, self.asked, self.draws)

    # --- what it says of itself -------------------------------------------------------------------

    def test_it_has_a_name_a_title_and_rules_that_there_are(self) -> None:
        """A name that a command line takes, a title of one line, names of installed rules."""
        space = self.space
        assert space.name
        assert space.name.replace("_", "").replace("-", "").isalnum(), f"{space.name!r} is no name"
        assert space.name == space.name.lower()
        assert space.title
        assert "\n" not in space.title
        unknown = {*space.rules, *space.relaxable} - set(load_rules())
        assert not unknown, f"no such rules: {unknown}"

    def test_tiers_have_the_same_knobs_and_the_last_reaches_furthest(self) -> None:
        """A tier may give up depth for width, say; a budget without end buys the most of everything."""
        tiers = self.space.tiers(self.asked)
        assert tiers, "there is no tier"
        names = [knob.name for knob in tiers[-1]]
        assert len(set(names)) == len(names), f"two knobs of one name: {names}"
        for tier in tiers:
            assert [knob.name for knob in tier] == names
            for knob, widest in zip(tier, tiers[-1], strict=True):
                most, reached = knob.values()[-1], widest.values()[-1]
                if isinstance(knob, IntKnob | RisingKnob):
                    assert float(most) <= float(reached), f"{knob.name} falls to {reached}"
                else:
                    lost = set(knob.values()) - set(widest.values())
                    assert not lost, f"{knob.name}: the last tier lacks {lost}"

    def test_knobs_have_values_that_json_brings_back(self) -> None:
        """Whole numbers, numbers, words or switches; each value once."""
        for knob in self.space.knobs(self.asked):
            values = knob.values()
            assert values, f"{knob.name} has no value"
            assert len(set(values)) == len(values), f"{knob.name} has a value twice"
            assert json.loads(json.dumps(values)) == list(values)

    def test_the_classic_is_a_member(self) -> None:
        """Its knobs have values that are searched."""
        asked = self.asked
        check(self.space.knobs(asked), self.space.classic_knobs(asked), space=self.space.name)

    # --- its members ------------------------------------------------------------------------------

    def test_members_fill_the_budget(self) -> None:
        """Whatever is drawn: no member is out of the budget, none has to be drawn again."""
        budget = self.asked.budget
        for member in self.members():
            assert member.cost.flops in budget, f"{member.knobs}: {member.cost.flops} FLOPs"
            assert member.fill == member.cost.flops / budget.high

    def test_costs_are_those_of_the_network(self) -> None:
        """FLOPs and parameters equal a count of its kernels, one by one."""
        for member in self.members():
            assert member.cost == cost(member.graph)
            assert (member.cost.flops, member.cost.params) == counted(member.graph)

    def test_the_builder_never_branches_on_widths(self) -> None:
        """The FLOPs derived with unknown widths are those of the network built with these."""
        for member in self.members():
            form = self.space.flops_form(member.knobs, self.asked)
            assert round(form.value(member.widths)) == member.cost.flops, member.knobs

    def test_every_width_is_picked_and_grows(self) -> None:
        """No width is made up behind the solver's back, none shrinks as the base grows."""
        asked, rng = self.asked, Random(1)
        knobs = self.space.knobs(asked)
        for chosen in (self.space.classic_knobs(asked), draw(knobs, rng), draw(knobs, rng)):
            narrow, wide = (self._picked(chosen, asked, base) for base in (32.0, 64.0))
            assert narrow.keys() == wide.keys()
            for name, width in narrow.items():
                assert wide[name] >= width > 0, f"{name} shrinks from {width} to {wide[name]}"
            assert any(wide[name] > width for name, width in narrow.items())

    def _picked(self, knobs: Knobs, asked: Request, base: float) -> Mapping[str, float]:
        picked: list[float] = []

        def pick(value: float, **settings: Any) -> float:
            picked.append(keep_real(value, **settings))
            return picked[-1]

        widths = self.space.widths(knobs, asked, base, pick)
        for name, width in widths.items():
            assert width in picked, f"{name} = {width} does not come from `pick`"
        return widths

    def test_solving_is_repeatable(self) -> None:
        """The same knobs give the same network, whenever and wherever."""
        again = _members.__wrapped__(self.space, self.asked, self.draws)
        for member, other in zip(self.members(), again, strict=True):
            assert content_hash(member.graph) == content_hash(other.graph)
            assert (member.widths, member.label) == (other.widths, other.label)

    def test_networks_are_stored_and_read_back(self) -> None:
        """JSON brings the network back, names and all, and with it its hash."""
        for member in self.members():
            graph = member.graph
            back = from_json(to_json(graph))
            assert back == graph
            assert content_hash(back) == content_hash(graph)
            assert len({node.name for node in graph}) == len(graph), "two layers of one name"

    def test_networks_fit_what_was_asked_for(self) -> None:
        """From these images to a score for each class, no map shrunk to nothing on the way."""
        for member in self.members():
            assert member.graph.input == self.input
            assert member.graph.classes == self.classes
            assert all(known(n) >= 1 for node in member.graph for n in node.shape)

    def test_labels_and_notes_can_be_shown(self) -> None:
        """A label of one line, notes that JSON takes."""
        for member in self.members():
            assert "\n" not in member.label
            json.dumps(dict(member.notes))

    # --- requests ---------------------------------------------------------------------------------

    def test_a_budget_out_of_reach_is_refused_with_the_nearest(self) -> None:
        """One FLOP is no budget of any network; the error says what is."""
        with pytest.raises(BudgetError, match="--flops"):
            self.space.knobs(replace(self.asked, budget=Budget(1, 1)))

    def test_a_freed_rule_takes_no_knob_away(self) -> None:
        """Whatever rule is freed, the knobs there are stay, and members fill the budget."""
        held = _names(self.space.knobs(self.asked))
        for rule in sorted(self.space.relaxable):
            freed = replace(self.asked, relax=frozenset({rule}))
            knobs = self.space.knobs(freed)
            assert held <= _names(knobs), f"freeing {rule} takes a knob away"
            member = solve(self.space, draw(knobs, Random(2)), freed)
            assert member.cost.flops in freed.budget


@lru_cache(maxsize=4)
def _members(space: Space, asked: Request, draws: int) -> tuple[Candidate, ...]:
    rng, knobs = Random(0), space.knobs(asked)
    chosen = [space.classic_knobs(asked), *(draw(knobs, rng) for _ in range(draws))]
    return tuple(solve(space, each, asked) for each in chosen)


def counted(graph: Graph) -> tuple[int, int]:
    """Count a network's multiply-adds and parameters kernel by kernel; auxiliary classifiers left out.

    Another count than `cost`'s: of what each kernel's shape says, at each position of its output.
    """
    flops = params = 0
    unused = training_only(graph)
    for index, node in enumerate(graph.nodes[1:], start=1):
        if index in unused:
            continue
        given = graph.input_shapes(node)
        weights = [w for w in node.op.weights(given) if w.trained]
        params += sum(prod(weight.shape) for weight in weights)
        if node.op.product(given, node.shape) is not None:
            kernels = sum(prod(w.shape) for w in weights if len(w.shape) > 1)
            flops += kernels * known(prod(node.shape[:-1]))
    return flops, params


def _names(knobs: Sequence[Knob]) -> set[str]:
    return {knob.name for knob in knobs}
