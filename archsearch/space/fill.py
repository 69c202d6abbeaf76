"""Filling a budget: the largest base width whose network, each width rounded, is within it."""

from collections.abc import Callable

from archsearch.errors import BudgetError
from archsearch.ir.channels import Quadratic
from archsearch.space.budget import Budget
from archsearch.space.fits import Fit, Plan, flops_of
from archsearch.space.mixed import mixed, rounded_up
from archsearch.space.widths import MULTIPLES, Rounding, keep_real
from archsearch.units import format_count

GOOD_FILL = 0.98
"""A larger width multiple is preferred as long as it fills this much of the budget."""

FULL = 0.999
"""No wider network is looked for from here on."""

_STEP = 1.003
"""The factor by which a base width is tried beyond where the budget should be, until it is between two."""

_NEAR = 1.01
"""Base widths this close, as a factor, have no two roundings of one width between them."""

_TRIES = 3
"""Base widths tried where the budget should be, before the middle is taken, which finds high steps sooner."""

_CLOSE = 1e-3
"""How close, as a share, the base width is found …"""

_CLOSEST = 1e-7
"""… and how close where a step is to be taken in part: all widths in it change at one and the same point."""

_WIDER = (1.0, 1.02, 1.04)
"""Base widths tried for widths rounded up, in units of the one whose nearest roundings fit."""


def best_fit(plan: Plan, budget: Budget) -> Fit | None:
    """Return the widths of the largest multiple that fills well, else the fullest that fits."""
    real = _base_width(lambda base: plan.fit(base, keep_real).flops, budget.high, plan)
    best: Fit | None = None
    good = max(GOOD_FILL * budget.high, budget.low)
    # Where the base has less than two of a multiple, the smaller ones do as well.
    for most in (m for m in MULTIPLES if 2 * m <= real or m == 1):
        fit = _fullest(plan, real, most, budget.high)
        if fit is not None and fit.flops >= good:
            return fit
        if fit is not None and (best is None or fit.flops > best.flops):
            best = fit
    if best is not None and best.flops < budget.low:
        tried = (rounded_up(plan, best.base * wider, budget.high) for wider in _WIDER)
        best = max((fit for fit in (best, *tried) if fit.flops <= budget.high), key=flops_of)
    return best if best is not None and best.flops >= budget.low else mixed(plan, real, budget)


def _base_width(flops: Callable[[float], float], target: float, plan: Plan) -> float:
    """Return the base width that costs `target`: false position (Illinois) on the root of the FLOPs.

    FLOPs are close to a square in the base width, so their root is close to a line.
    """
    goal = target**0.5
    # From one channel on, whatever the least: freeing a rule must not change how a network is found.
    low, high = 1.0, plan.most
    f_low, f_high = flops(low) ** 0.5 - goal, flops(high) ** 0.5 - goal
    if f_low >= 0:
        return plan.least
    if f_high <= 0:
        raise BudgetError(
            f"{format_count(target)} FLOPs need more than {high:g} channels at the base; "
            "give a smaller budget"
        )
    base, side = low, 0
    for _ in range(60):
        base = (low * f_high - high * f_low) / (f_high - f_low)
        f_base = flops(base) ** 0.5 - goal
        if abs(f_base) < 1e-3 * goal or high - low < 1e-3 * base:
            break
        if f_base < 0:
            low, f_low = base, f_base
            f_high *= 0.5 if side < 0 else 1
            side = -1
        else:
            high, f_high = base, f_base
            f_low *= 0.5 if side > 0 else 1
            side = 1
    return max(base, plan.least)


def _fullest(plan: Plan, start: float, most: int, cap: float) -> Fit | None:
    """Return the network of the largest base width that fits; None if the least does not.

    Rounded, the FLOPs rise with the base width in steps. Where a step is too high, several widths go up
    at that point, each to a count as near as the one below: of them those go up that fit.

    Args:
        plan: the widths.
        start: the base width to start from.
        most: the largest multiple that widths are rounded to.
        cap: the FLOPs that are not to be exceeded.
    """
    pick = Rounding(most)
    close = _CLOSE if most > 1 else _CLOSEST
    low = high = None
    base, tries = start, 0
    while low is None or high is None or high.base - low.base >= close * low.base:
        fit = plan.fit(base, pick)
        if fit.flops > cap:
            if base <= plan.least:
                return None
            high = fit
        else:
            low = fit
            if fit.flops >= FULL * cap or base >= plan.most:
                return fit
        if low is not None and high is not None:
            if most > 1 and _is_one_step(low, high):
                return low
            base = _between(low, high, cap, tries)
            tries += 1
        else:
            beyond = _STEP if high is None else 1 / _STEP
            base = base * (cap / fit.flops) ** 0.5 * beyond
            base = min(max(base, plan.least), plan.most)
    return low if most > 1 else _part_of_step(plan.form, low, high, cap)


def _is_one_step(low: Fit, high: Fit) -> bool:
    """Say whether one width, under one name or several, makes the difference: nothing lies between."""
    steps = {(w, high.widths[name]) for name, w in low.widths.items() if w != high.widths[name]}
    return len(steps) == 1 and high.base < _NEAR * low.base


def _between(low: Fit, high: Fit, cap: float, tries: int) -> float:
    """Return the base width to try next: where the budget should be, after some tries the middle."""
    share = 0.5
    if tries < _TRIES:
        ends = low.flops**0.5, high.flops**0.5
        share = min(max((cap**0.5 - ends[0]) / (ends[1] - ends[0]), 0.1), 0.9)
    return low.base + share * (high.base - low.base)


def _part_of_step(form: Quadratic, low: Fit, high: Fit, cap: float) -> Fit:
    """Return `low` with those of the widths that go up in this step that fit, the costliest first."""

    def with_more(fit: Fit, name: str) -> Fit:
        widths = {**fit.widths, name: high.widths[name]}
        return Fit(form.value(widths), high.base, widths)

    names = [name for name, width in low.widths.items() if width != high.widths[name]]
    best = low
    for name in sorted(names, key=lambda name: -with_more(low, name).flops):
        more = with_more(best, name)
        if best.flops < more.flops <= cap:
            best = more
    return best
