"""Several budgets in one study: a front of exact slices, each with its classic; shown, exported, resumed."""

import json
import random

import pytest

from archsearch.archive.databases import MARK, default_url, opened
from archsearch.archive.leaderboard import of_slice
from archsearch.archive.study_folder import StudyFolder
from archsearch.cli import main
from archsearch.errors import UserError
from archsearch.ir.codec import content_hash
from archsearch.report.fronts import front_lines
from archsearch.report.plan import plan_lines
from archsearch.report.write import write_report
from archsearch.space.budget import Budget, Request
from archsearch.space.registry import find_space
from archsearch.space.solve import solve
from archsearch.statistics.pareto import Point, front
from archsearch.study import driver
from archsearch.study import winner as exporting
from archsearch.study.catalogue import load_result
from archsearch.study.events import FinalistsStarted, JobEnded, Planned
from archsearch.study.winner import export_study
from archsearch.testing.fake_engine import FakeEngine
from tests.bench import Killed, table
from tests.small_study import TRAIN, Small, settings_of

pytestmark = pytest.mark.usefixtures("studies_in_memory")

NAME = "vgg-10M_40M-digits"
ASKED = {
    "flops": "10M:40M",
    "slices": 3,
    "trials": 9,
    "finalists": 1,
    "epochs": 1,
    "sampler": "random",
}
BUDGETS = (10_000_000, 20_000_000, 40_000_000)


def budget_of(flops, result):
    return Budget.cap(flops, tuple(result.dataset.input))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return Small(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def result(small):
    return small.run(**ASKED)


def test_every_network_fills_its_slice_and_slices_have_their_turn(result):
    searched = [row for row in result.rows if row.origin == "search"]
    for row in searched:
        assert row.flops in budget_of(row.budget, result)
    assert [sum(row.budget == flops for row in searched) for flops in BUDGETS] == [3, 3, 3]
    assert [one.budget for one in result.slices] == list(BUDGETS)


def test_each_slice_has_the_classic_that_a_study_of_this_budget_alone_has(result):
    space = find_space("vgg")
    for one in result.slices:
        asked = Request(tuple(result.dataset.input), 10, budget_of(one.budget, result))
        expected = solve(space, space.classic_knobs(asked), asked)
        (row,) = (r for r in result.rows if r.budget == one.budget and r.origin == "matched")
        assert row.graph == content_hash(expected.graph)
        assert (one.classic, row.test.n) == (row.name, 2)
        assert one.verdict.baseline


def test_the_finals_name_each_classic_with_its_budget(small, result):
    [event] = [event for event in small.events if isinstance(event, FinalistsStarted)]
    classics = [row for row in result.rows if row.origin == "matched"]
    assert len(event.entrants) == len(set(event.entrants)) == len(classics)
    assert {name.rpartition(" at ")[2] for name in event.entrants} == {"10M", "20M", "40M"}


def test_the_front_is_that_of_the_best_of_each_slice(result):
    rows = {row.name: row for row in result.rows}
    bests = {one.best: rows[one.best] for one in result.slices}
    for one in result.slices:
        mine = [r for r in result.rows if r.budget == one.budget and r.final_val is not None]
        assert rows[one.best].expected == max(row.expected for row in mine)
    points = {name: Point(row.flops, row.expected) for name, row in bests.items()}
    assert {row.name for row in result.rows if row.front} == set(front(points))
    assert result.winner.front
    lines = front_lines(result)
    assert [line.budget for line in lines] == ["10M", "20M", "40M"]
    assert {line.best.name for line in lines if line.place != "dominated"} == set(front(points))


def test_json_has_the_front(result):
    told = json.loads(json.dumps(result.to_dict()))
    assert [one["budget"] for one in told["slices"]] == list(BUDGETS)
    assert {row["name"] for row in told["rows"] if row["front"]} == {
        one["best"] for one in told["slices"] if one["front"]
    }


def test_a_slice_is_shown_as_a_study_of_it_alone(result, small):
    alone = load_result(NAME, home=small.home, flops="25M")
    assert alone.budget == "20M"
    assert {row.budget for row in result.rows if row.name in {r.name for r in alone.rows}} == {
        20_000_000
    }
    assert alone.winner.name == result.slices[1].best
    assert (alone.verdict, alone.best_key) == (result.slices[1].verdict, result.slices[1].best_key)
    assert [row.rank for row in alone.rows[:2]] == [1, 2]
    with pytest.raises(UserError, match="no network of 9M FLOPs; its budgets are 10M, 20M, 40M"):
        of_slice(result, 9_000_000)
    with pytest.raises(UserError, match="has one budget; leave --flops out"):
        of_slice(alone, 20_000_000)


def test_the_commands_take_a_slice(result, small, capsys):
    assert main(["leaderboard", NAME, "--home", str(small.home)]) == 0
    shown = capsys.readouterr().out
    assert shown.index("knee: where more FLOPs") < shown.index("matched: the space's classic")
    asked = ["leaderboard", NAME, "--home", str(small.home), "--json", "--flops"]
    assert main([*asked, "40M"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["flops"] > 36_000_000 for row in told["rows"]} == {True}
    assert main([*asked, "9M"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"archsearch: study {NAME!r} has no network of 9M FLOPs; its budgets are 10M, 20M, 40M"
    ]
    assert main([*asked, "many"]) == 2


def test_the_report_has_the_front(result, small, tmp_path):
    text = write_report(result, home=small.home, out=tmp_path / "report").read_text("utf-8")
    assert "## Front" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| 20M |")]
    assert line.split(" | ")[-1] in ("knee |", "front |", "dominated |")
    assert (tmp_path / "report" / "complexity.png").stat().st_size > 0
    assert write_report(of_slice(result, 20_000_000), home=small.home, out=tmp_path / "one")


def test_the_tracker_is_told_of_the_front(result, small):
    kept = small.trackers[0].study
    first = next(one for one in result.slices if one.front)
    assert kept.tags["front"].startswith(f"{first.text}: ")
    for one in result.slices:
        assert kept.metrics[f"verdict_gain_{one.text}"] == one.verdict.gain
    slices = {run.tags.get("slice") for run in small.trackers[0].trials.values()}
    assert slices == {"10M", "20M", "40M"}


def test_the_plan_has_the_slices_and_how_many_classics(small, result):
    (told,) = [event.forecast for event in small.events if isinstance(event, Planned)]
    assert told.slices == BUDGETS
    assert told.finals == 2 * 3 + 2 * 3
    lines = "\n".join(plan_lines(told))
    assert "10.0M, 20.0M, 40.0M FLOPs an image, in turn" in lines
    assert "3, of each budget: vgg" in lines


@pytest.mark.parametrize("at", [pytest.param(4, marks=pytest.mark.slow), 14])
def test_a_study_of_slices_that_is_killed_ends_in_the_same_table(result, tmp_path, at):
    def engine(workers, folder):
        return FakeEngine(workers, train_images=TRAIN, order=random.Random(at))

    other = Small(tmp_path, engine=engine)
    ended = 0

    def die(event):
        nonlocal ended
        ended += isinstance(event, JobEnded)
        if ended == at:
            raise Killed

    with pytest.raises(Killed):
        driver.run(settings_of(tmp_path, **ASKED), on_event=die, services=other.services())
    again = other.resume(NAME)
    assert table(again) == table(result)
    assert again.slices == result.slices


def test_export_takes_a_slice(result, small, monkeypatch):
    folder, asked = StudyFolder(small.home, NAME), []

    class Process:
        def __init__(self, **how):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def export(self, request):
            asked.append(request)
            return request.out

    monkeypatch.setattr(exporting, "ModelProcess", Process)
    for key in result.kept_keys:
        folder.weights(key).write_text("weights")
    rows = {row.name: row for row in result.rows}
    for one in result.slices:
        export_study(NAME, home=small.home, forms=["keras"], flops=one.text)
        assert asked[-1].weights == str(folder.weights(one.best_key))
        assert asked[-1].graph == folder.read_graph(rows[one.best].graph)
    assert len({request.out for request in asked}) == 3
    export_study(NAME, home=small.home, forms=["keras"])
    assert asked[-1].graph == folder.read_graph(result.winner.graph)
    assert set(load_result(NAME, home=small.home).exports) == {
        "keras", "keras, 10M", "keras, 20M", "keras, 40M",
    }  # fmt: skip


@pytest.mark.slow
def test_the_usual_sampler_and_rungs_go_on_over_slices(tmp_path):
    asked = {
        **ASKED,
        "sampler": "gp",
        "epochs": 12,
        "flops": "10M,20M",
        "slices": None,
        "trials": 24,
    }
    whole = Small(tmp_path / "whole").run(**asked)
    promoted = [row.budget for row in whole.rows if row.rung == 1]
    assert set(promoted) == {10_000_000, 20_000_000}
    other, ended = Small(tmp_path / "other"), 0

    def die(event):
        nonlocal ended
        ended += isinstance(event, JobEnded)
        if ended == 17:
            raise Killed

    with pytest.raises(Killed):
        driver.run(settings_of(other.home, **asked), on_event=die, services=other.services())
    assert table(other.resume("vgg-10M_20M-digits")) == table(whole)


def test_families_and_budgets_together_have_a_classic_each(tmp_path):
    found = Small(tmp_path).run(
        space="vgg,resnext",
        flops="10M,20M",
        trials=2,
        finalists=1,
        epochs=1,
        seeds=1,
        sampler="random",
    )
    matched = {row.name for row in found.rows if row.origin == "matched"}
    assert matched == {
        "classic-vgg-10M", "classic-resnext-10M", "classic-vgg-20M", "classic-resnext-20M",
    }  # fmt: skip


def test_without_finals_there_is_nothing_to_compare_classics_with(tmp_path):
    found = Small(tmp_path).run(
        flops="10M,20M", trials=2, finalists=0, epochs=1, sampler="random", export=False
    )
    assert {row.origin for row in found.rows} == {"search"}
    assert found.winner is None
    assert [(one.best, one.front) for one in found.slices] == [(None, False)] * 2


def test_a_range_without_slices_is_one_budget(tmp_path):
    found = Small(tmp_path).run(flops="19M:20M", trials=2, finalists=1, epochs=1, sampler="random")
    assert found.slices == ()
    assert {row.budget for row in found.rows} == {None}
    assert {row.name for row in found.rows if row.origin == "matched"} == {"trial-0000"}
    assert all(19_000_000 <= row.flops <= 20_000_000 for row in found.rows)


def test_a_study_of_the_format_before_there_were_slices_goes_on(tmp_path):
    asked = {"trials": 3, "finalists": 1, "epochs": 1, "sampler": "random"}
    whole = Small(tmp_path / "whole").run(**asked)
    other = Small(tmp_path / "other")

    def die(event):
        if isinstance(event, JobEnded) and event.order.key.name == "trial-0001":
            raise Killed

    with pytest.raises(Killed):
        driver.run(settings_of(other.home, **asked), on_event=die, services=other.services())
    with opened(default_url(other.home)) as storage:
        study = storage.get_study_id_from_name("vgg-20M-digits")
        mark = storage.get_study_user_attrs(study)[MARK]
        assert "slices" not in mark["settings"]
        storage.set_study_user_attr(study, MARK, {**mark, "format": 4})
        assert all("budget" not in t.user_attrs for t in storage.get_all_trials(study))
    assert table(other.resume("vgg-20M-digits")) == table(whole)
