"""How far a width may be from its exact value, and what follows for two widths of one rule."""

import doctest
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch.rules import tolerance
from archsearch.rules.registry import find_rule, load_rules
from archsearch.rules.tolerance import exact_range, in_ratio, is_rounding
from archsearch.space.widths import MULTIPLES, Rounding
from tests.rules.test_rules import bottlenecks, check, stages

EXACT = st.floats(0.5, 5000, allow_nan=False)


def test_the_examples():
    results = doctest.testmod(tolerance)
    assert results.attempted
    assert not results.failed


@given(EXACT, st.sampled_from(MULTIPLES))
def test_a_width_is_its_exact_value_within_6_percent_or_half_a_channel(exact, most):
    width = Rounding(most)(exact)
    assert isinstance(width, int)
    assert width >= 1
    assert abs(width - exact) <= max(0.06 * exact, 0.5) * (1 + 1e-9)
    assert is_rounding(width, exact)
    low, high = exact_range(width)
    assert low - 1e-9 <= exact <= high + 1e-9


@given(EXACT, st.sampled_from(MULTIPLES))
def test_the_multiple_is_the_largest_that_is_near_enough(exact, most):
    width = Rounding(most)(exact)
    off = max(0.06 * exact, 0.5)
    for multiple in (m for m in MULTIPLES if m <= most):
        near = multiple * floor(exact / multiple + 0.5)
        if near and abs(near - exact) <= off:
            assert width == near
            return


@given(EXACT, st.floats(1, 1.5), st.sampled_from(MULTIPLES))
def test_a_wider_exact_value_never_gets_fewer_channels(exact, factor, most):
    pick = Rounding(most)
    assert pick(exact) <= pick(exact * factor)


@given(EXACT, st.sampled_from((0.25, 2.0, 4.0)), st.sampled_from(MULTIPLES))
def test_roundings_of_one_number_are_in_its_ratio(exact, ratio, most):
    other = exact * ratio
    if other >= 0.5:
        assert in_ratio(Rounding(most)(exact), Rounding(1)(other), ratio)


@pytest.mark.parametrize(
    ("before", "after", "keeps"),
    [
        (32, 64, True), (32, 80, False), (64, 160, False), (192, 320, False),
        (72, 128, True), (56, 96, False), (3, 7, True), (16, 48, False),
    ],
)  # fmt: skip
def test_channels_double_within_the_stated_tolerance(before, after, keeps):
    # 72 → 128 is 68 → 136, each within 6 %; 56 → 96 is nothing doubled.
    assert in_ratio(before, after, 2) == keeps
    assert (not check("channel-doubling", stages(before, after))) == keeps


@pytest.mark.parametrize(
    ("inner", "outer", "keeps"),
    [(32, 160, False), (36, 160, True), (16, 64, True), (64, 64, False)],
)
def test_a_bottlenecks_ratio_within_the_stated_tolerance(inner, outer, keeps):
    # The other blocks have the classic ratio 4; a ratio that most blocks share is the network's own.
    usual = outer // 4
    found = check("bottleneck-ratio", bottlenecks(usual, usual, inner, outer=outer))
    assert (not found) == keeps


def test_path_widths_are_the_whole_number_next_to_the_root():
    # C = 64: the roots are 13.70 for 8 paths and 3.97 for 32 (the paper's table 2).
    for groups, width, keeps in ((8, 14, True), (8, 16, False), (32, 4, True), (32, 5, False)):
        found = check("resnext-width", bottlenecks(*[groups * width] * 2, groups=groups, outer=256))
        assert (not found) == keeps


def test_every_rule_states_its_tolerance():
    assert all(rule.tolerance for rule in load_rules().values())
    for name in ("channel-doubling", "bottleneck-ratio", "resnext-width"):
        assert "within 6% of its exact value, or half a channel" in find_rule(name).tolerance
