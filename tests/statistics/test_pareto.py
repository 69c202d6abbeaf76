"""The front and its knee, on curves whose knees are known."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from archsearch.statistics.pareto import Point, front, knee

POINTS = st.lists(st.tuples(st.integers(1, 10**9), st.floats(0, 1)), min_size=1, max_size=12).map(
    lambda found: {f"n{i}": Point(*pair) for i, pair in enumerate(found)}
)


@given(POINTS)
def test_the_front_has_those_that_nothing_dominates(points):
    found = front(points)
    for point in points.values():
        better = [
            other
            for other in points.values()
            if other.flops <= point.flops and other.accuracy >= point.accuracy and other != point
        ]
        twins = [n for n, other in points.items() if other == point and n in found]
        assert bool(twins) == (not better)
    for one, other in pairwise(found):
        assert points[one].flops < points[other].flops
        assert points[one].accuracy < points[other].accuracy


def curve(accuracy, count=41):
    """Networks of a front, their FLOPs growing by one factor from 1M to 1G."""
    return {
        str(i): Point(round(10 ** (6 + 3 * i / (count - 1))), accuracy(i / (count - 1)))
        for i in range(count)
    }


def test_the_knee_is_where_the_slope_is_that_of_the_chord():
    # y = 1 − (1 − x)^2 has its largest y − x at x = 1/2; y = x/(c + x)·(1 + c) at x = √(c² + c) − c.
    assert knee(curve(lambda x: 0.5 + 0.4 * (1 - (1 - x) ** 2))) == "20"
    c = 0.1
    at = math.sqrt(c * c + c) - c
    assert abs(int(knee(curve(lambda x: x / (c + x) * (1 + c)))) / 40 - at) <= 0.5 / 40


def test_a_straight_front_and_one_that_bends_the_other_way_have_no_knee():
    assert knee(curve(lambda x: 0.5 + 0.3 * x)) is None
    assert knee(curve(lambda x: 0.5 + 0.3 * x**3)) is None
    assert knee(dict(list(curve(math.sqrt).items())[:2])) is None
    assert knee({}) is None
