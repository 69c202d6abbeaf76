"""What a design space is: knobs, widths that follow from one base width, and a builder.

A space says how its widths follow from *one* real number, the base width; the solver finds the base width
that fills the budget. So no candidate is ever drawn and thrown away for its size.

To add a space, copy `search_spaces/vgg.py` and name it under the entry-point group `archsearch.spaces`.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar, Final

from archsearch.errors import UserError
from archsearch.ir.channels import Quadratic, Width
from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space import affordable
from archsearch.space.budget import Budget, Request
from archsearch.space.form import derive_form
from archsearch.space.knobs import Freedom, Knob, Knobs, KnobValue
from archsearch.space.widths import Pick, keep_real

_ANY: Final = Request((224, 224, 3), 1000, Budget(1, 1))
"""A request to ask for what no request changes."""


_NARROWER: Final = 0.5
"""By what a freed network may be narrower than `least_base`."""


class Space(ABC):
    """A family of networks. Subclasses are stateless; one object each is registered.

    Attributes:
        name: what `--space` takes.
        title: one line for the table of spaces.
        rules: names of the design rules that all its networks hold, widths up to rounding.
        unfreed: for each of them that cannot be freed (`Request.relax`), why not.
        words: what the words of its labels mean: `G8` to "8 parallel paths".
        least_base, most_base: the base widths, in channels, between which the budget is solved.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    rules: ClassVar[tuple[str, ...]]
    unfreed: ClassVar[Mapping[str, str]] = MappingProxyType({})
    words: ClassVar[Mapping[str, str]] = MappingProxyType({})
    least_base: ClassVar[float] = 4
    most_base: ClassVar[float] = 1024

    @abstractmethod
    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return ever wider sets of knobs: the same names, ranges growing with what they cost.

        The budget decides which one is searched (see `knobs`), so that none of its combinations needs
        stages narrower than `least`. All rules are held here, whatever the request frees.
        """

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return what each rule opens that can be freed; `widths` and `build` know the values."""
        return {}

    @abstractmethod
    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return the family's classic network in terms of `knobs`, a tier: the matched baseline."""

    @abstractmethod
    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return every width of the network by name, each from `pick` and growing with `base`."""

    @abstractmethod
    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write the network; return its class scores.

        Widths may be unknown (see `space/form.py`): multiply and add them, never branch on them.
        """

    def needs(self, knobs: Knobs, request: Request) -> float:
        """Return the base width, in channels, that these knobs need, whatever `least_base` allows."""
        return 0

    def leeway(self, knobs: Knobs, request: Request) -> Mapping[str, float]:
        """Return by how much more than other widths some may be off their exact value, by name.

        As far as their rules allow it; taken only where no budget is filled without.
        """
        return {}

    def notes(self, knobs: Knobs, widths: Mapping[str, int], request: Request) -> dict[str, object]:
        """Return what is worth recording with a candidate: exact roots, what rounding did."""
        return {}

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return the knobs as a few words that tell this candidate from another at a glance."""
        return " ".join(f"{name}={value}" for name, value in knobs.items())

    def title_of(self, label: str) -> str:
        """Return a label as it stands beside those of other spaces."""
        return f"{self.name} {label}"

    # --- what follows for every space ----------------------------------------------------------

    @property
    def relaxable(self) -> frozenset[str]:
        """The rules that can be freed."""
        return frozenset(self.freedoms(_ANY))

    def held_rules(self, knobs: Knobs, request: Request) -> tuple[str, ...]:
        """Return the rules that a candidate of these knobs is to hold: all but the freed ones."""
        return self.rules_but(request.relax)

    def rules_but(self, freed: Collection[str]) -> tuple[str, ...]:
        """Return the rules it holds, without the freed ones."""
        return tuple(rule for rule in self.rules if rule not in freed)

    def least(self, knobs: Knobs, request: Request) -> float:
        """Return the base width, in channels, below which these knobs are not built.

        Freed from a rule, a network may be narrower by _NARROWER: what a rule saves need not be paid with
        depth, and what it costs can be compared at a budget that only just pays for the rule.
        """
        freed = len(self.obeyed(knobs, request)) < len(request.relax)
        return max(self.least_base * (_NARROWER if freed else 1), self.needs(knobs, request))

    def obeyed(self, knobs: Knobs, request: Request) -> tuple[str, ...]:
        """Return the freed rules that these knobs keep all the same."""
        if not request.relax:
            return ()
        held = {knob.name: knob for knob in self.knobs(replace(request, relax=frozenset()))}
        freedoms = self.freedoms(request)
        return tuple(
            rule
            for rule in sorted(request.relax)
            if all(knobs[f.knob.name] in f.held_values(held) for f in freedoms[rule])
        )

    def keeping(self, request: Request) -> Mapping[str, tuple[KnobValue, ...]]:
        """Return, for each knob of a freed rule, its values that keep the rule."""
        if not request.relax:
            return {}
        held = {knob.name: knob for knob in self.knobs(replace(request, relax=frozenset()))}
        freedoms = self.freedoms(request)
        freed = (f for rule in sorted(request.relax) for f in freedoms[rule])
        return {f.knob.name: f.held_values(held) for f in freed}

    def full_label(self, knobs: Knobs, request: Request) -> str:
        """Return the label, and after it what the freed rules' knobs say: `… multiplier 2-1.5-2`."""
        if not request.relax:
            return self.label(knobs, request)
        held = {knob.name for knob in self.tiers(request)[-1]}
        freed: dict[str, list[str]] = {}
        for name, value in knobs.items():
            if name not in held:
                text = f"{value:g}" if isinstance(value, float) else str(value)
                freed.setdefault(name.rstrip("0123456789"), []).append(text)
        parts = [f"{name} {'-'.join(values)}" for name, values in freed.items()]
        return " ".join([self.label(knobs, request), *parts])

    def knobs(self, request: Request) -> tuple[Knob, ...]:
        """Return the knobs to search: the widest tier of which the budget can pay every combination.

        A freed rule adds its knobs and values to it, as far as the budget can pay them (`left_out`).

        Raises:
            UserError: the request frees a rule that this space does not hold, or cannot free.
            BudgetError: the budget is out of the space's reach; says the range and the nearest one.
        """
        self.check_relaxed(request)
        return affordable.knobs(self, request)

    def left_out(self, request: Request) -> Mapping[str, tuple[KnobValue, ...]]:
        """Return, for each knob of a freed rule, its values that the budget cannot pay; as `knobs`."""
        found = {knob.name: knob.values() for knob in self.knobs(request)}
        wanted = (f.knob for r in sorted(request.relax) for f in self.freedoms(request)[r])
        missing = {k.name: tuple(v for v in k.choices if v not in found[k.name]) for k in wanted}
        return {name: values for name, values in missing.items() if values}

    def remarks(self, request: Request) -> tuple[str, ...]:
        """Return what a person should hear of the space at this budget, one line each."""
        return ()

    def next_tier(self, request: Request) -> tuple[int, tuple[Knob, ...]] | None:
        """Return the FLOPs from which on there are wider knobs, and those; None: there are none."""
        return affordable.next_tier(self, request)

    def check_relaxed(self, request: Request) -> None:
        """Check that all rules the request frees are this space's to free.

        Raises:
            UserError: one is not.
        """
        relaxable = self.relaxable
        for rule in sorted(request.relax - relaxable):
            does = "cannot free its rule" if rule in self.rules else "holds no rule"
            why = f": {self.unfreed[rule]}" if rule in self.unfreed else ""
            free = ", ".join(sorted(relaxable)) or "none"
            raise UserError(
                f"{self.name} {does} {rule!r}{why}; of its rules these can be freed: {free}"
            )

    def classic_knobs(self, request: Request) -> Knobs:
        """Return the knobs of the matched baseline: the same network whatever rules are freed."""
        self.check_relaxed(request)
        held = affordable.knobs(self, replace(request, relax=frozenset()))
        freedoms = self.freedoms(request)
        freed = {
            f.knob.name: f.held
            for rule in sorted(request.relax)
            for f in freedoms[rule]
            if f.held is not None
        }
        return {**self.classic({knob.name: knob for knob in held}, request), **freed}

    def flops_form(self, knobs: Knobs, request: Request) -> Quadratic:
        """Return the FLOPs as a quadratic in the widths."""
        names = self.widths(knobs, request, self.least_base, keep_real)
        return derive_form(
            lambda net, widths: self.build(net, knobs, widths, request), request.input, names
        )

    def trace(self, knobs: Knobs, widths: Mapping[str, int], request: Request) -> Graph:
        """Return the network of these knobs and widths."""
        net = Tracer(self.name, request.input)
        return net.finish(self.build(net, knobs, widths, request))

    def reach(self, request: Request) -> tuple[int, int]:
        """Return the smallest and the largest budget, in FLOPs, that every candidate can meet."""
        return affordable.reach(self, request)
