"""What a study says was spent is what its workers were given to do, whatever became of it."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.archive.leaderboard import StudyResult
from archsearch.cli.app import main
from archsearch.settings import RunSettings
from archsearch.study.events import EpochDone
from archsearch.study.interrupt import Interrupted
from archsearch.units import training_flops
from tests.world import STUDY, TRAIN, World, interrupted_after

pytestmark = pytest.mark.usefixtures("studies_in_memory")


def seen(world: World) -> dict[str, int]:
    """Training FLOPs of all reports that counted, by training: the last report has them all."""
    found = {}
    for event in world.events:
        if isinstance(event, EpochDone):
            flops = training_flops(event.order.design.flops, event.report.images)
            found[event.report.key] = max(flops, found.get(event.report.key, 0))
    return found


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(
        space="vgg", flops="20M", trials=6, epochs=6, workers=2, seeds=2, finalists=2,
        baselines="matched,vgg16", home=str(tmp_path),
    )  # fmt: skip


def test_pruned_and_failed_trainings_count_by_the_images_they_saw(settings: RunSettings):
    world = World(failures={"trial-0002": "it diverged"}, order=random.Random(0))
    result = world.run(replace(settings, trials=14, epochs=9, fidelity="median"))
    assert {"complete", "pruned", "failed"} <= {row.status for row in result.rows}
    spending = result.spending
    assert spending.bounded == sum(seen(world).values())
    assert spending.bounded == sum(row.train_flops for row in result.rows)
    assert spending.baselines == sum(
        row.train_flops for row in result.rows if row.role == "baseline"
    )
    finals = [row for row in result.rows if row.role == "candidate" and row.final_val]
    assert spending.finals == sum(
        training_flops(row.flops, row.final_val.n * 9 * TRAIN) for row in finals
    )
    [failed] = [row for row in result.rows if row.status == "failed"]
    assert failed.train_flops == training_flops(failed.flops, TRAIN)
    # Two networks at a time, which see an epoch each.
    measured = world.engines[0].measured
    assert len(measured) == 2
    assert 0.9 < spending.measuring / (2 * 3 * 20_000_000 * TRAIN) <= 1


def test_the_tracker_has_it_of_each_training_and_of_the_study(settings: RunSettings):
    world = World()
    result = world.run(settings)
    runs = world.tracker.trials
    assert sum(run.metrics["spent_flops"] for run in runs.values()) == result.spending.bounded
    study = world.tracker.study.metrics
    assert study["spent_flops"] == result.spending.total
    assert study["spent_search_flops"] == study["spent_rung0_flops"] == result.spending.search[0]
    assert study["spent_finals_flops"] == result.spending.finals
    assert study["spent_baselines_flops"] == result.spending.baselines
    assert study["spent_measuring_flops"] == result.spending.measuring


def spent(result: StudyResult) -> object:
    return (
        replace(result.spending, measuring=0),
        {row.name: row.train_flops for row in result.rows},
    )


@pytest.mark.parametrize("at", [3, 17, 40, 60])
def test_what_was_done_before_an_interruption_counts_once(
    settings: RunSettings, tmp_path: Path, at: int
):
    expected = World().run(replace(settings, home=str(tmp_path / "calm")))
    with pytest.raises(Interrupted):
        interrupted_after(at).run(settings)
    result = World().resume(STUDY, settings.home)
    assert spent(result) == spent(expected)
    # The pace was measured twice.
    assert result.spending.measuring == 2 * expected.spending.measuring


def test_the_table_and_its_json_say_it(settings: RunSettings, capsys: pytest.CaptureFixture[str]):
    result = World().run(settings)
    asked = ["leaderboard", STUDY, "--home", settings.home]
    assert main(asked) == 0
    shown = capsys.readouterr().out
    assert " spent " in shown
    assert "spent: " in shown
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["train_flops"] == result.spending.total
    assert found["spending"]["search"] == list(result.spending.search)
    assert found["rows"][0]["train_flops"] == result.rows[0].train_flops
