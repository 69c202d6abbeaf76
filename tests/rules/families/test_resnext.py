"""The quadratic both ways, against the lecture's and the paper's numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch.errors import UserError
from archsearch.rules.families.resnext import cardinality, flops_change, path_width


@pytest.mark.parametrize(
    ("G", "exact", "paper", "change"),
    [
        (2, 39.95, 40, 0.0018),
        (4, 23.932160, 24, 0.0037),
        (8, 13.70, 14, 0.0262),
        (32, 3.972591, 4, 0.0074),
    ],
)
def test_roots_for_64_channels(G, exact, paper, change):
    assert path_width(64, G) == pytest.approx(exact, abs=0.005)
    assert round(path_width(64, G)) == paper
    assert flops_change(64, G, paper) == pytest.approx(change, abs=5e-5)


@given(st.floats(0.5, 4096), st.floats(1, 256))
def test_solves_the_equation_both_ways(C, G):
    c = path_width(C, G)
    assert 9 * G * c * c + 8 * G * C * c == pytest.approx(17 * C * C)
    assert cardinality(C, c) == pytest.approx(G)
    assert flops_change(C, G, c) == pytest.approx(0, abs=1e-9)


def test_one_path_is_the_bottleneck_itself():
    assert path_width(64, 1) == pytest.approx(64)


@pytest.mark.parametrize("call", [lambda: path_width(0, 4), lambda: cardinality(64, -1)])
def test_only_positive_numbers(call):
    with pytest.raises(UserError, match="must be positive"):
        call()
