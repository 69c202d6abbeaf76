"""Spaces become studies of networks drawn by chance: ordinary ones, taken up by the same command."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from archsearch.archive.leaderboard import StudyResult
from archsearch.cli import main
from archsearch.comparison.draws import results_of
from archsearch.comparison.wanted import DECIDED, asked, own_settings
from archsearch.errors import UserError
from archsearch.report import contrasts, tables
from archsearch.report.analysis import compare
from archsearch.settings import RunSettings
from archsearch.study.catalogue import load_result
from archsearch.study.events import JobEnded
from archsearch.study.interrupt import Interrupted
from archsearch.testing.memory_tracker import MemoryTracker
from tests.world import World

pytestmark = pytest.mark.usefixtures("studies_in_memory")

NAMES = ["compare-vgg-20M-digits", "compare-wrn-20M-digits"]


def flags(home: Path, **more: Any) -> Mapping[str, Any]:
    return {"home": str(home), "flops": "20M", "trials": 5, "epochs": 2, "workers": 2, **more}


def draw(world: World, home: Path, *names: str, **more: Any) -> list[StudyResult]:
    return results_of(
        names, flags=flags(home, **more), environ={}, on_event=world.hear,
        services=world.services(),
    )  # fmt: skip


def table(results: list[StudyResult]) -> list[list[tuple[Any, ...]]]:
    return [[(r.name, r.label, r.val_accuracy, r.status) for r in one.rows] for one in results]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World, list[StudyResult]]:
    home, world = tmp_path_factory.mktemp("home"), World()
    return home, world, draw(world, home, "vgg", "wrn")


def test_each_space_is_an_ordinary_study_without_finals(drawn):
    home, world, results = drawn
    assert [one.study for one in results] == NAMES
    for one in results:
        assert one.status == load_result(one.study, home=home).status == "complete"
        assert len(one.rows) == 5
        assert {row.origin for row in one.rows} == {"search"}
        assert {row.status for row in one.rows} == {"complete"}
        assert not any(row.retrained for row in one.rows)
        assert one.settings.sampler == "random"
    assert world.exports == []
    assert not any(job.test for engine in world.engines for job in engine.submitted)
    trackers: list[MemoryTracker] = world.trackers
    assert [tracker.study.name for tracker in trackers] == NAMES
    seeds = {job.seed for engine in world.engines for job in engine.submitted}
    assert len(seeds) == 1


def test_the_same_command_reads_what_is_there(drawn):
    home, _, results = drawn
    again = World()
    assert table(draw(again, home, "vgg", "wrn")) == table(results)
    assert again.engines == []
    assert table(draw(again, home, NAMES[1], "vgg")) == table(results)[::-1]


def test_the_same_command_with_other_settings_is_refused(drawn):
    home, _, _ = drawn
    with pytest.raises(UserError, match=r"with other settings \(seed: 0 there, 3 here\); give"):
        draw(World(), home, "vgg", seed=3, trials=9)
    # What was left to the study, how many workers there are, is no other setting.
    assert draw(World(), home, "vgg", workers=None)


def test_interrupted_it_goes_on_with_the_same_command(drawn, tmp_path: Path):
    _, _, results = drawn
    ended = iter(range(99))
    world = World(interrupt_at=lambda e: isinstance(e, JobEnded) and next(ended) == 7)
    with pytest.raises(Interrupted, match="in compare-wrn-20M-digits; the same command goes on"):
        draw(world, tmp_path, "vgg", "wrn")
    assert len(world.engines) == 2  # in the second study
    after = World()
    assert table(draw(after, tmp_path, "vgg", "wrn")) == table(results)
    assert 0 < sum(len(engine.submitted) for engine in after.engines) < 5


def test_nothing_trains_where_one_of_them_is_refused(tmp_path: Path):
    world = World()
    with pytest.raises(UserError, match=r"resnet reaches .*; try --flops"):
        draw(world, tmp_path, "vgg", "resnet", flops="4M")
    with pytest.raises(UserError, match=r"no study 'vg' in .*, and no such space; did you mean"):
        draw(world, tmp_path, "wrn", "vg")
    with pytest.raises(UserError, match=r"vgg is a space: --flops says at which budget"):
        draw(world, tmp_path, "vgg", flops=None)
    with pytest.raises(UserError, match="compared at one budget, not at 10M,20M; give one --flops"):
        draw(world, tmp_path, "vgg", "wrn", flops="10M,20M")
    assert world.engines == []
    assert not (tmp_path / "studies").exists()


def test_flags_without_a_space_to_draw_are_refused(drawn):
    home, _, _ = drawn
    with pytest.raises(UserError, match=r"epochs, flops, trials, workers: these are studies"):
        draw(World(), home, *NAMES)
    assert results_of(NAMES, flags={"home": str(home), "trials": None}, environ={})


def test_the_figures_stand_above_the_table_of_studies(drawn, capsys):
    home, _, results = drawn
    found = compare(results)
    assert found.distributions is not None
    tables.show(*contrasts.distributions(found.distributions))
    shown = capsys.readouterr().out
    assert shown.index(found.distributions.members[0].study) < shown.index("smaller median")
    assert main(["compare", *NAMES, "--home", str(home), "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert {one["study"] for one in read["standings"]} == set(NAMES)
    assert [one["n"] for one in read["distributions"]["members"]] == [5, 5]
    (pair,) = read["distributions"]["contrasts"]
    assert {pair["one"], pair["other"]} == set(NAMES)
    assert main(["compare", *NAMES, "--home", str(home)]) == 0
    text = capsys.readouterr().out
    assert text.index("smaller median") < text.index("budget")
    assert not {"test %", "matched baseline", "gain"} & set(text.splitlines()[-4].split("  "))
    assert "gain" not in text  # none of them has a baseline, or met a test image


def test_a_bound_is_that_of_all_studies_together():
    given = {
        "space": "vgg",
        "flops": "20M",
        "max_time": "30min",
        "search_flops": "1P",
        "name": "mine",
    }
    made = asked(given, {"ARCHSEARCH_EPOCHS": "7", "ARCHSEARCH_FINALISTS": "3"},
                 purpose="compare", studies=4)  # fmt: skip
    assert (made.max_time, made.search_flops, made.name) == ("450s", "250.0T", "mine-vgg")
    assert (made.epochs, made.finalists) == (7, 0)


def test_what_is_decided_is_no_flag():
    names = {known.name for known in own_settings()}
    assert not names & {*DECIDED, "space", "sampler", "relax", "seeds"}
    assert {"flops", "trials", "epochs", "data", "max_time", "seed"} <= names
    assert all(
        getattr(RunSettings(space="a", flops="1M", **DECIDED), k) == v for k, v in DECIDED.items()
    )
