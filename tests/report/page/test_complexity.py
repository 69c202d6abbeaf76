import pytest

from archsearch.report.analysis import Point
from archsearch.report.page.complexity import accuracy_and_cost, pareto
from tests.report.page.made import result, row


def point(name: str, flops: int, accuracy: float, params: int = 1) -> Point:
    return Point(
        name=name, label=name, origin="search", flops=flops, params=params, accuracy=accuracy, sd=None,
        seeds=0, winner=False,
    )  # fmt: skip


def test_on_the_front_is_what_nothing_cheaper_beats():
    found = [
        point("a", 10, 0.5, params=9), point("b", 20, 0.7, params=5), point("c", 15, 0.4, params=1),
        point("d", 20, 0.6, params=1), point("e", 30, 0.7, params=3),
    ]  # fmt: skip
    dominated = {
        one.name
        for one in found
        for other in found
        if other is not one and other.flops <= one.flops and other.accuracy >= one.accuracy
    }
    assert {one.name for one in pareto(found, "flops")} == {"a", "b"} == set("abcde") - dominated
    assert [one.name for one in pareto(found, "params")] == ["d", "e"]


def test_far_budgets_are_scaled_by_powers_and_near_ones_are_not():
    far, near = result(), result(rows=tuple(r for r in result().rows if r.origin != "published"))
    types = [
        accuracy_and_cost(one).blocks[1].spec["layer"][0]["encoding"]["x"]["scale"].get("type")
        for one in (far, near)
    ]
    assert types == ["log", None]


def test_its_table_has_what_is_drawn():
    section = accuracy_and_cost(result())
    chart = section.blocks[1]
    assert len(chart.spec["data"]["values"]) == len(chart.numbers.rows) == 5
    best = chart.numbers.rows[0]
    assert best[4].value == pytest.approx(95.0)
    assert [cell.text for cell in best][2:] == ["121M", "100k", "95.00", "", "yes"]
    assert accuracy_and_cost(result(rows=(row("trial-0000", val_accuracy=None),))) is None
