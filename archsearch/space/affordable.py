"""Which knobs a budget can pay: the tier that is searched, and the values of freed rules within reach.

No combination of the knobs may need stages narrower than the space allows, so that none is ever redrawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

from archsearch.errors import BudgetError
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import Freedom, IntKnob, Knob, Knobs, KnobValue, RisingKnob
from archsearch.space.widths import Rounding
from archsearch.units import format_count, format_size, parse_flops

if TYPE_CHECKING:
    from archsearch.space.space import Space


def reach(space: "Space", request: Request) -> tuple[int, int]:
    """Return the smallest and the largest budget, in FLOPs, that every candidate can meet, rules held."""
    request = replace(request, relax=frozenset())
    narrowest = space.tiers(request)[0]
    return _heaviest(space, narrowest, request)[0], _lightest(space, narrowest, request)[0]


@lru_cache(maxsize=256)
def knobs(space: "Space", request: Request) -> tuple[Knob, ...]:
    """Return the widest tier of which the budget can pay all, with what freed rules add to it.

    Raises:
        BudgetError: the budget is out of the space's reach.
    """
    if request.relax:
        held = knobs(space, replace(request, relax=frozenset()))
        freedoms = space.freedoms(request)
        freed = [f for rule in sorted(request.relax) for f in freedoms[rule]]
        return _payable(space, held, freed, request)
    budget = request.budget
    low, high = space.reach(request)
    if not low <= budget.high <= high:
        raise out_of_reach(space.name, request, low, high)
    tiers = space.tiers(request)
    return [t for t in tiers if _heaviest(space, t, request)[0] <= budget.high][-1]


def next_tier(space: "Space", request: Request) -> tuple[int, tuple[Knob, ...]] | None:
    """Return the next wider set of knobs, and the FLOPs from which on a budget can pay it; None: no more."""
    held = replace(request, relax=frozenset())
    found = knobs(space, held)
    tiers = space.tiers(held)
    priced = ((_heaviest(space, t, held)[0], t) for t in tiers[tiers.index(found) + 1 :])
    return next(((flops, t) for flops, t in priced if flops > request.budget.high), None)


def out_of_reach(name: str, request: Request, low: int, high: int) -> BudgetError:
    """Return the error that says what a space reaches, and the nearest budget within."""
    return BudgetError(
        f"{name} reaches {format_count(low)} to {format_count(high)} FLOPs on "
        f"{format_size(request.input)} images with {request.classes} classes, not "
        f"{format_count(request.budget.high)}; try --flops {_nearest(request, low, high)}"
    )


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


# --- what freed rules add ------------------------------------------------------------------------


def _payable(
    space: "Space", held: tuple[Knob, ...], freed: Sequence[Freedom], request: Request
) -> tuple[Knob, ...]:
    """Return the held knobs with the freed ones, less the freed values that the budget cannot pay.

    Of the costliest combination, or of the one that is cheap at any width, the value goes that does most of
    it, until the budget is within what all combinations cost.
    """
    by_name = {knob.name: knob for knob in held}
    keeps = {f.knob.name: f.held_values(by_name) for f in freed}
    out: set[tuple[str, KnobValue]] = set()
    while True:
        found = _merged(held, freed, out)
        most, dear = _heaviest(space, found, request)
        least, cheap = _lightest(space, found, request)
        if most > request.budget.high:
            out.add(_culprit(space, dear, keeps, request, sign=1))
        elif least < request.budget.high:
            out.add(_culprit(space, cheap, keeps, request, sign=-1))
        else:
            return found


def _merged(
    held: tuple[Knob, ...], freed: Sequence[Freedom], out: set[tuple[str, KnobValue]]
) -> tuple[Knob, ...]:
    found = {knob.name: knob for knob in held}
    for freedom in freed:
        knob = freedom.knob
        values = tuple(v for v in knob.choices if (knob.name, v) not in out)
        found[knob.name] = replace(knob, choices=values)
    return tuple(found.values())


def _culprit(
    space: "Space",
    corner: Knobs,
    keeps: Mapping[str, tuple[KnobValue, ...]],
    request: Request,
    *,
    sign: int,
) -> tuple[str, KnobValue]:
    """Return the freed value of a combination without which it would cost least, or most (`sign` −1)."""

    def without(name: str) -> int:
        costs = [_end_flops(space, {**corner, name: v}, request, sign=sign) for v in keeps[name]]
        return sign * min(costs) if sign > 0 else sign * max(costs)

    names = [name for name, values in keeps.items() if corner[name] not in values]
    name = min(names, key=without)
    return name, corner[name]


# --- the ends of what combinations cost ----------------------------------------------------------


def _heaviest(space: "Space", found: Sequence[Knob], request: Request) -> tuple[int, Knobs]:
    """Return the FLOPs of the costliest combination at its least base width, and that combination."""
    priced = _ends(space, tuple(found), _without_budget(request), high=True)
    return max(priced, key=lambda pair: pair[0])


def _lightest(space: "Space", found: Sequence[Knob], request: Request) -> tuple[int, Knobs]:
    """Return the FLOPs of the cheapest combination at the most base width, and that combination."""
    priced = _ends(space, tuple(found), _without_budget(request), high=False)
    return min(priced, key=lambda pair: pair[0])


def _without_budget(request: Request) -> Request:
    """Return the request that what combinations cost depends on: the budget counts with freed rules only."""
    return request if request.relax else replace(request, budget=Budget(0, 0))


@lru_cache(maxsize=1024)
def _ends(
    space: "Space", found: tuple[Knob, ...], request: Request, *, high: bool
) -> tuple[tuple[int, Knobs], ...]:
    """Return the combinations at one end, each with its FLOPs there."""
    sign = 1 if high else -1
    corners = _corners(found, high=high)
    return tuple((_end_flops(space, corner, request, sign=sign), corner) for corner in corners)


def _end_flops(space: "Space", corner: Knobs, request: Request, *, sign: int) -> int:
    base = space.least(corner, request) if sign > 0 else space.most_base
    widths = space.widths(corner, request, base, Rounding(1))
    return round(space.flops_form(corner, request).value(widths))


def _corners(found: Sequence[Knob], *, high: bool) -> Iterator[Knobs]:
    """Yield the combinations with all counts at one end; FLOPs grow with every count."""
    end = -1 if high else 0
    values = [
        (knob.values()[end],) if isinstance(knob, IntKnob | RisingKnob) else knob.values()
        for knob in found
    ]
    names = [knob.name for knob in found]
    for combination in product(*values):
        yield dict(zip(names, combination, strict=True))
