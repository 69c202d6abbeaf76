"""What a rule is worth, through the real loop with an engine whose effect is made up."""

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from archsearch.cli import main
from archsearch.comparison.ablation import Ablations, ablate
from archsearch.errors import UserError
from archsearch.report import contrasts, tables
from archsearch.statistics.sequential import Answer
from archsearch.study.catalogue import load_result
from archsearch.study.events import JobEnded
from archsearch.study.interrupt import Interrupted
from archsearch.testing.fake_engine import FakeClock
from archsearch.training.job import Job
from tests.world import World

pytestmark = pytest.mark.usefixtures("studies_in_memory")

EPOCHS = 2
SHARE = 1 - 0.5 ** (1 + EPOCHS)
"""Of an accuracy that the fake engine comes to in so many epochs."""
NORM = "bn-after-conv"
STUDY = "ablate-resnet-20M-digits-free_bn_after_conv"


def worth(points: float):
    """Batch normalisation brings so many points; networks differ by more, pairs by about one."""

    def validation(job: Job) -> float:
        brings = points / 100 * ('"batch_norm"' in job.graph)
        return 0.6 + (brings + 0.01 * Random(job.graph).gauss(0, 0.7)) / SHARE

    return validation


def flags(home: Path, **more: Any) -> Mapping[str, Any]:
    return {
        "home": str(home), "space": "resnet", "flops": "20M", "epochs": EPOCHS, "workers": 2, **more,
    }  # fmt: skip


def measure(world: World, home: Path, *rules: str, pairs: int = 12, **more: Any) -> Ablations:
    return ablate(
        rules, flags=flags(home, **more), environ={}, pairs=pairs, on_event=world.hear,
        services=world.services(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ablations]:
    home = tmp_path_factory.mktemp("home")
    return home, measure(World(validation=worth(4)), home, NORM)


def test_a_rule_that_brings_points_is_found_and_the_search_ends_early(measured):
    home, found = measured
    (one,) = found.ablations
    assert one.study == STUDY
    assert one.effect.answer is Answer.HELPS
    assert one.effect.low <= 4 <= one.effect.high
    assert one.effect.mean == pytest.approx(4, abs=1.5)
    assert 5 <= one.effect.n < 12
    assert one.held_better == one.effect.n
    assert one.flops_ratio == pytest.approx(1, abs=0.05)
    assert (one.lost, one.needed) == (0, None)
    result = load_result(STUDY, home=home)
    assert result.status == "complete"
    assert "the rule helps" in result.ended
    assert len(result.rows) >= 2 * one.effect.n
    assert {NORM in row.obeys for row in result.rows} == {True, False}


def test_a_rule_that_brings_nothing_stays_open_or_is_little(tmp_path: Path):
    (one,) = measure(World(validation=worth(0)), tmp_path, NORM, pairs=6).ablations
    assert one.effect.low <= 0 <= one.effect.high
    assert one.effect.answer is Answer.OPEN
    assert one.effect.n == 6
    assert one.needed is not None
    assert one.needed > 6


def test_with_larger_bounds_the_same_command_goes_on_and_comes_to_what_it_would_have_come_to(
    tmp_path: Path,
):
    few = measure(World(validation=worth(0)), tmp_path / "grown", NORM, pairs=5)
    world = World(validation=worth(0))
    grown = measure(world, tmp_path / "grown", NORM, pairs=8)
    assert few.ablations[0].effect.n == 5
    assert grown == measure(World(validation=worth(0)), tmp_path / "whole", NORM, pairs=8)
    assert sum(len(engine.submitted) for engine in world.engines) < 8  # three pairs and the pace
    result = load_result(STUDY, home=tmp_path / "grown")
    assert (result.status, result.trials, result.settings.trials) == ("complete", 16, 16)
    again = World()
    assert measure(again, tmp_path / "grown", NORM, pairs=5) == grown
    assert again.engines == []
    with pytest.raises(UserError, match=r"with other settings \(epochs: 2 there, 3 here\)"):
        measure(again, tmp_path / "grown", NORM, pairs=20, epochs=3)


def test_what_is_answered_stays_so_under_larger_bounds(measured):
    home, found = measured
    again = World()
    assert measure(again, home, NORM, pairs=40) == found
    assert again.engines == []


def test_more_time_for_an_ablation_is_time_for_more_pairs(tmp_path: Path):
    def timed() -> World:
        return World(validation=worth(0), clock=FakeClock(1000.0), epoch_s=lambda key, epoch: 10.0)

    within = {"pairs": 60, "workers": 1}
    few = measure(timed(), tmp_path, NORM, max_time="4min", **within).ablations[0]
    more = measure(timed(), tmp_path, NORM, max_time="12min", **within).ablations[0]
    assert 0 < few.effect.n < more.effect.n < 60
    result = load_result(STUDY, home=tmp_path)
    assert 0.8 * 720 < result.wall_s <= 1.02 * 720  # in all, not once more
    assert result.ended.endswith("no other fits into --max-time 720s")
    # `resume` counts its bound from now.
    timed().resume(STUDY, tmp_path, max_time="6min")
    last = measure(World(), tmp_path, NORM, max_time="12min", **within).ablations[0]
    assert more.effect.n < last.effect.n < 60
    assert load_result(STUDY, home=tmp_path).wall_s > 720


@pytest.mark.slow  # the sampler's suite takes a search up anywhere, test_draws.py the studies
def test_interrupted_the_same_command_comes_to_the_same(measured, tmp_path: Path):
    _, found = measured
    ended = iter(range(99))
    world = World(
        validation=worth(4), interrupt_at=lambda e: isinstance(e, JobEnded) and next(ended) == 5
    )
    with pytest.raises(Interrupted):
        measure(world, tmp_path, NORM)
    assert measure(World(validation=worth(4)), tmp_path, NORM) == found


def test_what_is_there_is_read_and_shown(measured, capsys):
    home, found = measured
    again = World()
    assert measure(again, home, NORM) == found
    assert again.engines == []
    tables.show(contrasts.ablations(found))
    shown = capsys.readouterr().out
    assert "helps" in shown
    read = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert read["ablations"][0]["effect"]["answer"] == "helps"
    command = ["ablate", "--rule", NORM, "--space", "resnet", "--flops", "20M", "--epochs", "2"]
    where = ["--pairs", "12", "--workers", "2", "--home", str(home), "--json"]
    assert main([*command, *where]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found.to_dict()))


def test_all_rules_of_a_space_make_a_table_with_those_that_cannot_be_freed(tmp_path: Path):
    found = measure(World(validation=worth(0)), tmp_path, "all", pairs=1, space="wrn", epochs=1)
    rules = {one.rule for one in found.ablations}
    assert {"channel-doubling", "identity-shortcut"} <= rules
    assert "pre-activation" in found.unfreed
    read = found.to_dict()["ablations"]
    assert {one["effect"]["low"] for one in read} == {None}  # one pair: anything may be
    assert {one.effect.n for one in found.ablations} == {1}


def test_what_cannot_be_ablated_is_said_before_anything_trains(tmp_path: Path):
    world = World()
    with pytest.raises(UserError, match="densenet cannot free its rule 'pre-activation': what a"):
        measure(world, tmp_path, "pre-activation", space="densenet")
    with pytest.raises(UserError, match="no rule that resnet can free is named 'channel-dobling'"):
        measure(world, tmp_path, "channel-dobling")
    with pytest.raises(UserError, match="lecture has several families"):
        measure(world, tmp_path, "all", space="lecture")
    with pytest.raises(UserError, match="resnet reaches"):
        measure(world, tmp_path, "all", flops="4M")
    assert world.engines == []
