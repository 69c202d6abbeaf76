"""What a design space is: knobs, widths that follow from one base width, and a builder.

A space says how its widths follow from *one* real number, the base width; the solver finds the base width
that fills the budget. So no candidate is ever drawn and thrown away for its size.

To add a space, copy `search_spaces/vgg.py` and name it under the entry-point group `archsearch.spaces`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import ClassVar

from archsearch.errors import BudgetError, UserError
from archsearch.ir.channels import Quadratic, Width
from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.budget import Budget, Request
from archsearch.space.form import derive_form
from archsearch.space.knobs import IntKnob, Knob, Knobs, RisingKnob
from archsearch.space.widths import Pick, Rounding, keep_real
from archsearch.units import format_count, format_size, parse_flops


class Space(ABC):
    """A family of networks. Subclasses are stateless; one object each is registered.

    Attributes:
        name: what `--space` takes.
        title: one line for the table of spaces.
        rules: names of the design rules it is built by; widths rounded for a small budget may miss a number.
        relaxable: those of them that can be freed (`Request.relax`); each becomes a knob.
        least_base, most_base: the base widths, in channels, between which the budget is solved.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    rules: ClassVar[tuple[str, ...]]
    relaxable: ClassVar[frozenset[str]] = frozenset()
    least_base: ClassVar[float] = 4
    most_base: ClassVar[float] = 1024

    @abstractmethod
    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return ever wider sets of knobs: the same names, ranges growing with what they cost.

        The budget decides which one is searched (see `knobs`), so that none of its combinations needs
        stages narrower than `least_base`.
        """

    @abstractmethod
    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return the family's classic network in terms of `knobs`: the matched baseline."""

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

    def notes(self, knobs: Knobs, widths: Mapping[str, int], request: Request) -> dict[str, object]:
        """Return what is worth recording with a candidate: exact roots, what rounding did."""
        return {}

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return the knobs as a few words that tell this candidate from another at a glance."""
        return " ".join(f"{name}={value}" for name, value in knobs.items())

    # --- what follows for every space ----------------------------------------------------------

    def full_label(self, knobs: Knobs, request: Request) -> str:
        """Return the label, and after it what the freed rules' knobs say: `… multiplier 2-1.5-2`."""
        if not request.relax:
            return self.label(knobs, request)
        held = {knob.name for knob in self.tiers(replace(request, relax=frozenset()))[-1]}
        freed: dict[str, list[str]] = {}
        for name, value in knobs.items():
            if name not in held:
                text = f"{value:g}" if isinstance(value, float) else str(value)
                freed.setdefault(name.rstrip("0123456789"), []).append(text)
        parts = [f"{name} {'-'.join(values)}" for name, values in freed.items()]
        return " ".join([self.label(knobs, request), *parts])

    def knobs(self, request: Request) -> tuple[Knob, ...]:
        """Return the knobs to search: the widest tier of which the budget can pay every combination.

        Raises:
            UserError: the request frees a rule that this space does not hold, or cannot free.
            BudgetError: the budget is out of the space's reach; says the range and the nearest one.
        """
        self.check_relaxed(request)
        return _affordable_knobs(self, request)

    def check_relaxed(self, request: Request) -> None:
        """Check that all rules the request frees are this space's to free.

        Raises:
            UserError: one is not.
        """
        for rule in sorted(request.relax - self.relaxable):
            does = "cannot free its rule" if rule in self.rules else "holds no rule"
            free = ", ".join(sorted(self.relaxable)) or "none"
            raise UserError(f"{self.name} {does} {rule!r}; of its rules these can be freed: {free}")

    def classic_knobs(self, request: Request) -> Knobs:
        """Return the knobs of the matched baseline."""
        return self.classic({knob.name: knob for knob in self.knobs(request)}, request)

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
        narrowest = self.tiers(request)[0]
        return (
            _heaviest(self, narrowest, request),
            min(
                self._flops_at(knobs, request, self.most_base)
                for knobs in _corners(narrowest, high=False)
            ),
        )

    def _flops_at(self, knobs: Knobs, request: Request, base: float) -> int:
        widths = self.widths(knobs, request, base, Rounding(1, frozenset()))
        return round(self.flops_form(knobs, request).value(widths))


@lru_cache(maxsize=256)
def _affordable_knobs(space: Space, request: Request) -> tuple[Knob, ...]:
    budget = request.budget
    low, high = space.reach(request)
    if not low <= budget.high <= high:
        raise BudgetError(
            f"{space.name} reaches {format_count(low)} to {format_count(high)} FLOPs on "
            f"{format_size(request.input)} images with {request.classes} classes, not "
            f"{format_count(budget.high)}; try --flops {_nearest(request, low, high)}"
        )
    affordable = [t for t in space.tiers(request) if _heaviest(space, t, request) <= budget.high]
    return affordable[-1]


def _nearest(request: Request, low: int, high: int) -> str:
    """Return the nearest budget within reach, as `--flops` takes it: of a range the part in reach."""
    budget = request.budget
    # Four digits are off by 0.05 % at most: the nearest budget, as written, is within reach.
    if budget.high < low:
        return format_count(low * 1.0006, digits=4)
    most = format_count(high * 0.9994, digits=4)
    is_range = budget != Budget.cap(budget.high, request.input)
    if not is_range or budget.low > parse_flops(most):
        return most
    exact = (format_count(budget.low, digits=digits) for digits in range(1, 10))
    least = next((text for text in exact if parse_flops(text) == budget.low), str(budget.low))
    return f"{least}:{most}"


def _heaviest(space: Space, knobs: tuple[Knob, ...], request: Request) -> int:
    """Return the FLOPs of the costliest combination at the least base width."""
    return max(
        space._flops_at(corner, request, space.least_base) for corner in _corners(knobs, high=True)
    )


def _corners(knobs: Sequence[Knob], *, high: bool) -> Iterator[Knobs]:
    """Yield the combinations with all counts at one end; FLOPs grow with every count."""
    end = -1 if high else 0
    values = [
        (knob.values()[end],) if isinstance(knob, IntKnob | RisingKnob) else knob.values()
        for knob in knobs
    ]
    names = [knob.name for knob in knobs]
    for combination in product(*values):
        yield dict(zip(names, combination, strict=True))
