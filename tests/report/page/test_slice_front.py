"""The budgets of a study on its page: the front, its knee, the matched classics."""

from dataclasses import replace

import pytest

from archsearch.archive.leaderboard import StudyResult
from archsearch.report.fronts import front_lines
from archsearch.report.page.assemble import assemble
from archsearch.report.page.chart import Chart
from archsearch.report.page.slice_front import slice_front
from tests.report.page import made
from tests.small_study import Small


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    asked = {"flops": "10M,20M,40M", "trials": 9, "finalists": 1, "epochs": 1, "sampler": "random"}
    return Small(tmp_path_factory.mktemp("home")).run(**asked)


def _chart(result: StudyResult) -> Chart:
    section = slice_front(result)
    assert section is not None
    chart = section.blocks[0]
    assert isinstance(chart, Chart)
    return chart


def test_each_budget_has_its_best_beside_its_classic(result: StudyResult) -> None:
    chart = _chart(result)
    values = chart.spec["data"]["values"]
    rows = {row.name: row for row in result.rows}
    lines = front_lines(result)
    assert [row[0].text for row in chart.numbers.rows] == [line.budget for line in lines]
    for line in lines:
        own = {one["kind"]: one for one in values if one["budget"] == line.budget}
        best = own["best of its budget"]
        assert best["name"] == line.best.name
        assert best["accuracy"] == pytest.approx(100 * rows[line.best.name].expected, abs=1e-3)
        assert best["front"] == (line.place in ("front", "knee"))
        assert ("matched baseline" in own) == (line.classic is not line.best)
    knees = [one["name"] for one in values if one["mark"] == "knee"]
    assert knees == [one.best for one in result.slices if one.knee]
    assert ("The knee is at" in chart.summary) == bool(knees)


def test_the_page_has_it_where_there_are_several_budgets(result: StudyResult) -> None:
    [part] = assemble([replace(made.material(), result=result)]).studies
    assert [section.key for section in part.sections][:2] == ["budgets", "cost"]
    assert slice_front(made.result()) is None
