"""Filling where nearest roundings do not: widths rounded up or down, each as far as is near enough.

For networks of few channels or groups, of which one is a large step.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from archsearch.rules.tolerance import is_rounding
from archsearch.space.budget import Budget
from archsearch.space.fits import Fit, Plan, flops_of
from archsearch.space.widths import Rounding, keep_real

_OFF: Final = (0.0, *(sign * step / 200 for step in range(1, 21) for sign in (1, -1)))
"""Base widths for which roundings are mixed: by what share off the real one, the nearest first."""

_PARTS: Final = (0.0, 0.5, 1.0)
"""Parts of the leeway that are tried, one after the other: the less is taken, the better."""

_MIXES: Final = 200
"""Networks tried for one base width, so that a range too tight for whole channels is soon refused."""


def rounded_up(plan: Plan, base: float, cap: float) -> Fit:
    """Return the network of least widths with as many of them rounded up as fit, the narrowest last.

    Wide stages take what narrow ones leave of the budget.

    Args:
        plan: the widths.
        base: the base width that they are roundings for, in channels.
        cap: FLOPs up to which widths are rounded up. (The least widths alone may cost more.)
    """
    exact = plan.widths(base, keep_real)
    least, most = _ends(plan, base)
    best = Fit(plan.form.value(least), base, least)
    for name in sorted(exact, key=lambda name: -exact[name]):
        for width in range(most[name], least[name], -1):
            widths = {**best.widths, name: width}
            flops = plan.form.value(widths)
            if best.flops < flops <= cap:
                best = Fit(flops, base, widths)
                break
    return best


def mixed(plan: Plan, real: float, budget: Budget) -> Fit | None:
    """Return a network within the budget, whichever near enough widths it takes; None: none is found.

    Of the leeway as little is taken as will do, and then the base width nearest to the real one.

    Args:
        plan: the widths.
        real: the base width, in channels, whose real network costs the budget's upper end.
        budget: the FLOPs, its lower end included.
    """
    bases = [base for off in _OFF if plan.least <= (base := real * (1 + off)) <= plan.most]
    for part in _PARTS if plan.leeway else _PARTS[:1]:
        for base in bases:
            least, most = _ends(plan, base, part)
            tried = islice(_mixes(plan, Fit(0, base, least), most, budget), _MIXES)
            fits = (fit for fit in tried if budget.low <= fit.flops <= budget.high)
            if fullest := max(fits, key=flops_of, default=None):
                return fullest
    return None


def _mixes(plan: Plan, start: Fit, most: Mapping[str, int], budget: Budget) -> Iterator[Fit]:
    """Yield networks between `start`, the least, and `most`; of what is out of the budget not all.

    FLOPs grow with every width: where one is too high or too low whatever the others are, they are not tried.
    """

    def more(widths: Mapping[str, float], names: Sequence[str]) -> Iterator[Fit]:
        for name, *others in [names] if names else ():
            widest = {other: most[other] for other in others}
            for width in range(most[name], int(start.widths[name]) - 1, -1):
                taken = {**widths, name: width}
                yield (fit := Fit(plan.form.value(taken), start.base, taken))
                if fit.flops > budget.high:
                    continue
                if plan.form.value({**taken, **widest}) < budget.low:
                    return
                yield from more(taken, others)

    # Those with the largest steps first: the others then fill what is left.
    least = start.widths
    steps = {name: plan.form.value({**least, name: width}) for name, width in most.items()}
    return more(least, sorted(steps, key=lambda name: -steps[name]))


def _ends(plan: Plan, base: float, part: float = 0.0) -> tuple[dict[str, int], dict[str, int]]:
    """Return the least and the largest widths that are near enough, `part` of the leeway taken."""
    exact, nearest = plan.widths(base, keep_real), plan.widths(base, Rounding(1))
    leeway = {name: part * plan.leeway.get(name, 0.0) for name in exact}
    least, most = (
        {name: end(value, int(nearest[name]), leeway[name]) for name, value in exact.items()}
        for end in (_least_near, _most_near)
    )
    return least, most


def _least_near(exact: float, nearest: int, leeway: float) -> int:
    """Return the least width that is near enough."""
    while nearest > 1 and is_rounding(nearest - 1, exact, leeway):
        nearest -= 1
    return nearest


def _most_near(exact: float, nearest: int, leeway: float) -> int:
    """Return the largest width that is near enough."""
    while is_rounding(nearest + 1, exact, leeway):
        nearest += 1
    return nearest
