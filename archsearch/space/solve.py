"""Solving for width: the base width that fills a budget, and the rounding that loses least of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from archsearch.errors import ArchsearchError, BudgetError
from archsearch.ir.channels import Quadratic
from archsearch.ir.graph import Graph
from archsearch.readings.cost import Cost, cost
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import Knobs, check, draw
from archsearch.space.space import Space
from archsearch.space.widths import MULTIPLES, Rounding, keep_real
from archsearch.units import format_count

GOOD_FILL = 0.98
"""A larger width multiple is preferred as long as it fills this much of the budget."""

_STRETCHES = (1.0, 1.03, 1.06, 1.1, 1.15, 1.2, 1.3, 1.4)
"""Base widths tried, in units of the exact one, where rounding all widths down leaves too much."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A member of a space that meets a budget.

    Attributes:
        space: name of the space.
        knobs: the choices it was made from.
        graph: the network.
        cost: its exact cost.
        fill: FLOPs as a share of the budget's upper end.
        base_width: the real base width that costs exactly the budget before rounding, in channels.
        multiple: all widths are multiples of this: 8, 4, 2 or 1.
        widths: every width by name, in channels.
        label: the knobs in a few words.
        notes: what the space records besides (exact roots, effect of rounding).
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
    notes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Fit:
    flops: float
    multiple: int
    widths: Mapping[str, int]


WidthPlan = Callable[[float, Rounding], dict[str, float]]
"""A space's widths for a base width and a rounding, its knobs chosen."""


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
    form = space.flops_form(knobs, request)

    def real_flops(base: float) -> float:
        return form.value(space.widths(knobs, request, base, keep_real))

    def plan(base: float, rounding: Rounding) -> dict[str, float]:
        return space.widths(knobs, request, base, rounding)

    base = _base_width(real_flops, budget.high, space.least_base, space.most_base)
    fit = _best_fit(form, plan, base, budget)
    if fit is None:
        raise BudgetError(
            f"{space.name} has no network of {budget} with {space.label(knobs, request)}; widen the range"
        )
    graph = space.trace(knobs, fit.widths, request)
    exact = cost(graph)
    if exact.flops not in budget:
        raise ArchsearchError(
            f"{space.name}: solved for {fit.flops:.0f} FLOPs, the network has {exact.flops}; "
            "a builder must not branch on widths"
        )
    return Candidate(
        space=space.name,
        knobs=dict(knobs),
        graph=graph,
        cost=exact,
        fill=exact.flops / budget.high,
        base_width=base,
        multiple=fit.multiple,
        widths=fit.widths,
        label=space.full_label(knobs, request),
        notes=space.notes(knobs, fit.widths, request),
    )


def sample(space: Space, request: Request, count: int, *, seed: int = 0) -> Iterator[Candidate]:
    """Yield `count` candidates, each knob drawn uniformly: exactly as many draws as candidates."""
    rng = Random(seed)
    knobs = space.knobs(request)
    for _ in range(count):
        yield solve(space, draw(knobs, rng), request)


def _base_width(flops: Callable[[float], float], target: float, least: float, most: float) -> float:
    """Return the base width that costs `target`: false position (Illinois) on the root of the FLOPs.

    FLOPs are close to a square in the base width, so their root is close to a line.
    """
    goal = target**0.5
    low, high = least, most
    f_low, f_high = flops(low) ** 0.5 - goal, flops(high) ** 0.5 - goal
    if f_low >= 0:
        return low
    if f_high <= 0:
        raise BudgetError(
            f"{format_count(target)} FLOPs need more than {most:g} channels at the base; "
            "give a smaller budget"
        )
    base, side = low, 0
    for _ in range(60):
        base = (low * f_high - high * f_low) / (f_high - f_low)
        f_base = flops(base) ** 0.5 - goal
        if abs(f_base) < 1e-9 * goal or high - low < 1e-9 * base:
            break
        if f_base < 0:
            low, f_low = base, f_base
            f_high *= 0.5 if side < 0 else 1
            side = -1
        else:
            high, f_high = base, f_base
            f_low *= 0.5 if side > 0 else 1
            side = 1
    return base


def _best_fit(form: Quadratic, plan: WidthPlan, base: float, budget: Budget) -> _Fit | None:
    """Return the widths of the largest multiple that fills well, else the fullest that fits."""
    best: _Fit | None = None
    for stretch in _STRETCHES:
        for multiple in (m for m in MULTIPLES if 2 * m <= base or m == 1):
            fit = _round_widths(form, plan, base * stretch, multiple, budget.high)
            if fit is None or fit.flops < budget.low:
                continue
            if fit.flops >= GOOD_FILL * budget.high:
                return fit
            if best is None or fit.flops > best.flops:
                best = fit
    return best


def _round_widths(
    form: Quadratic, plan: WidthPlan, base: float, multiple: int, cap: float
) -> _Fit | None:
    """Round every width down, then up again where the budget allows, the costliest first.

    Those to which up is nearer come before the rest, so that the rules between widths hold as well as they
    can; where that leaves too much of the budget, cost alone decides.
    """

    def evaluate(up: frozenset[int]) -> tuple[float, dict[str, float], list[float]]:
        rounding = Rounding(multiple, up)
        widths = plan(base, rounding)
        return form.value(widths), widths, rounding.remainders

    flops, widths, remainders = evaluate(frozenset())
    if flops > cap:  # the least widths of this multiple are too much already
        return None
    gains = [evaluate(frozenset((i,)))[0] - flops for i in range(len(remainders))]
    best = (flops, widths)
    for near in (0.5, 0.0):
        order = sorted(
            (
                (remainder >= near, gain, i)
                for i, (remainder, gain) in enumerate(zip(remainders, gains, strict=True))
                if gain > 0
            ),
            reverse=True,
        )
        up: frozenset[int] = frozenset()
        filled = flops
        for _, gain, index in order:
            if filled + gain > cap * 1.02:  # widths that follow from this one may still make it fit
                continue
            tried, tried_widths, _ = evaluate(up | {index})
            if filled < tried <= cap:
                up, filled = up | {index}, tried
                if filled > best[0]:
                    best = (filled, tried_widths)
        if best[0] >= GOOD_FILL * cap:
            break
    return _Fit(best[0], multiple, {name: int(width) for name, width in best[1].items()})
