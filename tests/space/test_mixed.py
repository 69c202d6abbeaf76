"""The last resort of filling: near enough widths mixed, until one mixture is within the budget."""

import pytest

from archsearch.ir.channels import Quadratic
from archsearch.space.budget import Budget
from archsearch.space.fits import Plan
from archsearch.space.mixed import mixed


class Counted(Quadratic):
    """A form that counts how often it is evaluated."""

    def __init__(self, terms):
        super().__init__(terms)
        self.times = 0

    def value(self, widths):
        self.times += 1
        return super().value(widths)


def plan_of(factors, terms, **leeway):
    """A network whose widths are multiples of the base width."""

    def widths(base, pick):
        return {name: pick(base * factor) for name, factor in factors.items()}

    return Plan(widths, Counted(terms), 1, 1000, leeway)


TWO = {"a": 1.0, "b": 4.0}
COSTS = {("a", "a"): 100.0, ("", "b"): 1.0}


def test_widths_take_what_others_leave():
    # Nearest to 4.52 and 18.08 are 5 and 18; only with 19, near enough, are there 2,519 FLOPs.
    found = mixed(plan_of(TWO, COSTS), 4.52, Budget(2519, 2519))
    assert (found.widths, found.flops) == ({"a": 5, "b": 19}, 2519)


def test_leeway_is_taken_where_nothing_else_fills_the_budget():
    short = Budget(
        1600, 1630
    )  # 4² · 100 and b; 4 is no rounding of 5.2, nor of what is up to 10 % off it
    plan = plan_of(TWO, COSTS)
    assert mixed(plan, 5.2, short) is None
    found = mixed(plan_of(TWO, COSTS, a=1.0), 5.2, short)
    assert found.widths["a"] == 4
    assert short.low <= found.flops <= short.high


def test_no_more_leeway_is_taken_than_will_do():
    wide = plan_of(TWO, COSTS, a=3.0)
    strict = plan_of(TWO, COSTS)
    assert mixed(wide, 4.52, Budget(2400, 2600)) == mixed(strict, 4.52, Budget(2400, 2600))
    assert mixed(wide, 4.52, Budget(800, 930)).widths["a"] == 3


@pytest.mark.parametrize("leeway", [{}, {"w0": 1.0}])
def test_a_range_too_tight_for_whole_channels_is_soon_refused(leeway):
    # All widths cost even numbers of FLOPs, with a choice of many near enough ones: 10^16 networks.
    names = [f"w{i}" for i in range(16)]
    form = {("", name): 2.0 for name in names}
    plan = plan_of(dict.fromkeys(names, 10.0), form, **leeway)
    assert mixed(plan, 8.0, Budget(2561, 2561)) is None
    assert plan.form.times < 60_000
