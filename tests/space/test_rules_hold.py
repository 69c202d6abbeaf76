"""A candidate holds every rule its space lists, whatever the budget and the images, and fills the budget."""

import statistics
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archsearch.errors import BudgetError
from archsearch.ir.codec import from_json, to_json
from archsearch.readings.cost import cost
from archsearch.rules.tolerance import is_rounding
from archsearch.space.budget import FILL, SMALL_FILL, Budget, Request, full_fill_from
from archsearch.space.knobs import draw
from archsearch.space.registry import find_space, load_spaces
from archsearch.space.solve import sample, solve
from archsearch.space.standing import find_breaches, standing
from archsearch.space.widths import keep_real

SPACES = sorted(load_spaces())
SIDES = (28, 32, 64, 96, 160, 224)
NAMED = [name for name in SPACES if name != "lecture"]


def request(side, flops, channels=3, relax=()):
    size = (side, side, channels)
    return Request(size, 10, Budget.cap(flops, size), frozenset(relax))


def check(space, candidate, asked):
    """What every candidate must be, told from its network and its base width alone."""
    least = (
        FILL if asked.budget.high >= full_fill_from(asked.input[0] * asked.input[1]) else SMALL_FILL
    )
    assert least <= candidate.fill <= 1
    assert candidate.cost == cost(candidate.graph)
    assert set(candidate.holds) | asked.relax >= set(space.rules)
    assert not standing(candidate).findings, [f.message for f in standing(candidate).findings]
    stored = from_json(to_json(candidate.graph))
    assert not find_breaches(stored, candidate.holds)
    exact = space.widths(candidate.knobs, asked, candidate.base_width, keep_real)
    leeway = space.leeway(candidate.knobs, asked)
    for name, width in candidate.widths.items():
        near = is_rounding(width, exact[name], leeway.get(name, 0.0))
        assert near, (name, width, exact[name])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    st.sampled_from(SPACES),
    st.floats(0, 1),
    st.sampled_from(SIDES),
    st.sampled_from((1, 3)),
    st.integers(0, 10**6),
)
def test_no_draw_breaks_a_rule_its_space_lists(name, share, side, channels, seed):
    space = find_space(name)
    flops = round(5e6 * (8e9 / 5e6) ** share)  # 5 M to 8 G
    asked = request(side, flops, channels)
    try:
        knobs = space.knobs(asked)
    except BudgetError:
        low, high = space.reach(asked)
        assert not low <= flops <= high
        return
    check(space, solve(space, draw(knobs, Random(seed)), asked), asked)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("side", SIDES)
def test_at_the_least_budget_there_is_too(name, side):
    space = find_space(name)
    low, _ = space.reach(request(side, 1))
    for factor in (1.001, 1.7, 4):
        asked = request(side, int(low * factor))
        for candidate in sample(space, asked, 2, seed=side):
            check(space, candidate, asked)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    st.sampled_from([(n, rule) for n in NAMED for rule in sorted(find_space(n).relaxable)]),
    st.floats(0, 1),
    st.sampled_from(SIDES),
    st.integers(0, 10**6),
)
def test_a_freed_rule_leaves_the_others_held(named, share, side, seed):
    check_freed(*named, side, round(2e7 * 400**share), Random(seed))


def check_freed(name, rule, side, flops, rng):
    space, asked = find_space(name), request(side, flops, relax=[rule])
    try:
        knobs = space.knobs(asked)
    except BudgetError:
        return
    candidate = solve(space, draw(knobs, rng), asked)
    check(space, candidate, asked)
    if rule in candidate.obeyed:
        assert not find_breaches(candidate.graph, [rule])


LINE = {"depth": 13, "w_m": 2.0, "climb": 2.6, "group_width": 8, "variant": "X"}
FALLING = {"depth": 8, "w_m": 2.0, "climb": 3.3, "group_width": 4, "variant": "Y"}
FRACTAL = {"columns": 1, **{f"blocks{i}": 1 for i in range(1, 5)}, "drop_path": 0.15}
SHALLOW = {f"depth{i}": 1 for i in range(1, 6)}


@pytest.mark.parametrize(
    ("name", "side", "flops", "relax", "knobs"),
    [
        ("regnet", 64, 200_000_000, (), LINE),
        ("regnet", 160, 20_000_000, ("quantised-line",), {**FALLING, "profile": "falling"}),
        (
            "regnet",
            160,
            500_000_000,
            ("quantised-line",),
            {**FALLING, "depth": 15, "group_width": 16, "profile": "falling"},
        ),
        (
            "regnet",
            64,
            3_165_077_309,
            ("quantised-line",),
            {
                **LINE,
                "depth": 24,
                "w_m": 2.25,
                "climb": 3.3,
                "group_width": 24,
                "profile": "falling",
            },
        ),
        ("fractal", 224, 12_817_633, (), FRACTAL),
        (
            "fractal",
            96,
            2_229_890,
            ("channel-doubling",),
            {**FRACTAL, "multiplier2": 1.0, "multiplier3": 1.5, "multiplier4": 1.0},
        ),
        (
            "mobilenet",
            224,
            7_071_218,
            ("depthwise-separable",),
            {**SHALLOW, "kernel": 5, "stem": 1.0, "convolution": "early full"},
        ),
    ],
)
def test_a_draw_whose_widths_have_large_steps_fills_its_budget(name, side, flops, relax, knobs):
    """None of these is filled by nearest roundings."""
    space, asked = find_space(name), request(side, flops, relax=relax)
    check(space, solve(space, knobs, asked), asked)


@pytest.mark.slow  # a draw of every rule, side and budget, as the one before tries some
@pytest.mark.parametrize("name", NAMED)
def test_every_freed_rule_leaves_the_others_held(name):
    rng = Random(0)
    for rule in sorted(find_space(name).relaxable):
        for side in SIDES:
            for flops in (20_000_000, 125_000_000, 400_000_000, 2_000_000_000, 8_000_000_000):
                check_freed(name, rule, side, flops, rng)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_a_thousand_draws_of_each_space(name, record_property):
    """Its figures (`-rP`) stand in benchmarks/RESULTS.md."""
    space, fills = find_space(name), []
    places = [
        (side, flops, channels)
        for side in SIDES
        for flops in (5_000_000, 20_000_000, 125_000_000, 400_000_000, 2_000_000_000, 8_000_000_000)
        for channels in (1, 3)
    ]
    rng = Random(0)
    within = []
    for side, flops, channels in places:
        try:
            within.append((space.knobs(request(side, flops, channels)), side, flops, channels))
        except BudgetError:
            continue
    for index in range(1000):
        knobs, side, flops, channels = within[index % len(within)]
        asked = request(side, flops, channels)
        candidate = solve(space, draw(knobs, rng), asked)
        check(space, candidate, asked)
        if flops >= full_fill_from(side * side):
            fills.append(candidate.fill)
    print(f"| {name} | 1,000 | 0 | {min(fills):.1%} | {statistics.median(fills):.1%} |")
