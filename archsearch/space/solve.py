"""Solving for width: a candidate is the network of chosen knobs that fills the budget."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from archsearch.errors import ArchsearchError, BudgetError
from archsearch.ir.graph import Graph
from archsearch.readings.cost import Cost, cost
from archsearch.space.budget import Budget, Request
from archsearch.space.fill import best_fit
from archsearch.space.fits import Fit, Plan
from archsearch.space.knobs import Knobs, check, draw
from archsearch.space.space import Space
from archsearch.space.widths import common_multiple


@dataclass(frozen=True, slots=True)
class Candidate:
    """A member of a space that meets a budget.

    Attributes:
        space: name of the space.
        knobs: the choices it was made from.
        graph: the network.
        cost: its exact cost.
        fill: FLOPs as a share of the budget's upper end.
        base_width: the real base width, in channels, that all widths are roundings for.
        multiple: all widths are multiples of this: 8, 4, 2 or 1.
        widths: every width by name, in channels.
        label: the knobs in a few words.
        title: the same where networks of several spaces stand side by side.
        notes: what the space records besides (exact roots, effect of rounding).
        holds: the rules it was built to hold.
        obeyed: the rules that were freed and that its knobs keep all the same.
    """

    space: str
    knobs: Knobs
    graph: Graph
    cost: Cost
    fill: float
    base_width: float
    multiple: int
    widths: Mapping[str, int]
    label: str
    title: str
    notes: Mapping[str, object]
    holds: tuple[str, ...]
    obeyed: tuple[str, ...]


def solve(
    space: Space, knobs: Knobs, request: Request, *, within: Budget | None = None
) -> Candidate:
    """Return the candidate of `knobs` whose widths fill the budget.

    Deterministic; a millisecond or two. The FLOPs are those of the finished Graph, counted exactly.

    Args:
        space: whose candidate.
        knobs: from those that the request's budget can pay.
        request: what for.
        within: to be filled in place of the request's budget, which still says what knobs there are.

    Raises:
        UserError: a knob is missing, unknown or out of range.
        BudgetError: the budget is out of the space's reach, or a range too tight for whole channels.
    """
    check(space.knobs(request), knobs, space=space.name)
    budget = within or request.budget
    plan = Plan(
        lambda base, pick: space.widths(knobs, request, base, pick),
        space.flops_form(knobs, request),
        space.least(knobs, request),
        space.most_base,
        space.leeway(knobs, request),
    )
    fit = best_fit(plan, budget)
    if fit is None:
        raise BudgetError(
            f"{space.name} has no network of {budget} with {space.label(knobs, request)}; widen the range"
        )
    return _candidate(space, knobs, request, fit, budget)


def _candidate(space: Space, knobs: Knobs, request: Request, fit: Fit, budget: Budget) -> Candidate:
    widths = {name: int(width) for name, width in fit.widths.items()}
    graph = space.trace(knobs, widths, request)
    exact = cost(graph)
    if exact.flops not in budget:
        raise ArchsearchError(
            f"{space.name}: solved for {fit.flops:.0f} FLOPs, the network has {exact.flops}; "
            "a builder must not branch on widths"
        )
    label = space.full_label(knobs, request)
    return Candidate(
        space=space.name,
        knobs=dict(knobs),
        graph=graph,
        cost=exact,
        fill=exact.flops / budget.high,
        base_width=fit.base,
        multiple=common_multiple(tuple(widths.values())),
        widths=widths,
        label=label,
        title=space.title_of(label),
        notes=space.notes(knobs, widths, request),
        holds=space.held_rules(knobs, request),
        obeyed=space.obeyed(knobs, request),
    )


def sample(space: Space, request: Request, count: int, *, seed: int = 0) -> Iterator[Candidate]:
    """Yield `count` candidates, each knob drawn uniformly: exactly as many draws as candidates."""
    rng = Random(seed)
    knobs = space.knobs(request)
    for _ in range(count):
        yield solve(space, draw(knobs, rng), request)
