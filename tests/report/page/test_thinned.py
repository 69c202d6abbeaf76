"""A study of thousands of networks: which of them its page shows, and that it says so."""

import json
import re
from datetime import datetime

import pytest

from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.report.analysis import points
from archsearch.report.page.assemble import assemble
from archsearch.report.page.complexity import pareto
from archsearch.report.page.html import html
from archsearch.report.page.material import Material
from archsearch.report.page.thinned import MOST, evenly, most_of, thinned, thinned_text
from tests.report.page.made import material, result, row, score

MANY = 10_000
MOST_BYTES = 1_500_000


def network(number: int, rank: int) -> Row:
    """Return one of many: ever fewer parameters the better it is, a tenth of them cut short."""
    return row(
        f"trial-{number:04d}", rank=rank, label=f"resnext 2-3-4-1 G8 w{number}",
        val_accuracy=0.9 - number * 7919 % MANY / 20_000,
        status="pruned" if number % 10 == 3 else "complete",
        reason="hopeless" if number % 10 == 3 else "",
        knobs={"depth1": 2, "depth2": 3, "depth3": 4, "depth4": 1, "cardinality": 8},
        flops=19_000_000 + number, params=100_000 + number * 104729 % 99_991,
        graph=f"{number:064x}",
    )  # fmt: skip


@pytest.fixture(scope="module")
def large() -> StudyResult:
    rows = [network(number, number) for number in range(10, MANY)]
    rows[700] = row("trial-late", rank=710, final_val=score(0.4), test=score(0.4), label="late one")
    return result(rows=(*result().rows, *rows))


@pytest.fixture(scope="module")
def many(large: StudyResult) -> Material:
    return material(result=large, numbers={one.name: n for n, one in enumerate(large.rows)})


def test_what_counts_is_always_shown(large: StudyResult) -> None:
    shown = thinned(large)
    names = [one.name for one in shown.rows]
    assert len(names) == MOST
    assert set(names[:50]) == {one.name for one in large.rows[:50]}
    assert "trial-late" in names
    assert {one.name for one in large.rows if one.role == "baseline"} <= set(names)
    for cost in ("flops", "params"):
        assert pareto(points(shown), cost) == pareto(points(large), cost)
    # The rest stands for all: as many of every part of the leaderboard.
    place = {one.name: n for n, one in enumerate(large.rows)}
    last = [place[name] for name in names if place[name] >= MANY // 2]
    assert 80 <= len(last) <= 120
    assert max(last) == len(large.rows) - 1
    assert thinned(shown) is shown
    assert "Shown one by one are 400 of 9,996 networks" in thinned_text(shown.rows, large.rows)
    assert thinned_text(shown.rows, shown.rows) == ""


def test_many_studies_share_a_page() -> None:
    assert most_of(1) == MOST
    assert most_of(4) == MOST // 4
    assert 0 < most_of(1000) < MOST // 4


def test_evenly_keeps_both_ends() -> None:
    assert evenly(range(5)) == [0, 1, 2, 3, 4]
    assert evenly(range(101), 5) == [0, 25, 50, 75, 100]
    assert (evenly(range(9), 1), evenly(range(9), 0)) == ([0], [])


def test_the_page_of_ten_thousand_stays_small_and_says_what_it_shows(many: Material) -> None:
    page = html(assemble([many]), written=datetime(2026, 1, 2))
    assert len(page.encode()) < MOST_BYTES
    assert "400 of 9,996 networks" in page
    found = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert len(data["networks"]["s1"]) == MOST
    assert max(len(one["rows"]) for one in data["datasets"]) <= MOST
    assert page.count("<tr") < 2_500
    # What is said of all is of all.
    assert "of 9,996 networks." in page
    assert "pruned" in page
    line = data["charts"]["s1-progress"]["spec"]["layer"][0]["data"]["values"]
    assert line[-1]["accuracy"] == max(
        round(100 * one.val_accuracy, 3)
        for one in many.result.rows
        if one.val_accuracy is not None and one.status == "complete"
    )
