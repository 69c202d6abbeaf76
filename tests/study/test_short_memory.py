"""Where memory is short: batches are taken in parts, the same ones however often a study is taken up."""

from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.engines.engine import Machine
from archsearch.engines.local import LOCAL
from archsearch.ir.codec import from_json
from archsearch.planning.microbatches import plan_step
from archsearch.repetition import rerun
from archsearch.report.columns import status_text
from archsearch.report.live import ended_text
from archsearch.settings import RunSettings
from archsearch.study.events import EpochDone, JobEnded
from archsearch.study.interrupt import Interrupted
from tests.world import STUDY, World

pytestmark = pytest.mark.usefixtures("studies_in_memory")

SMALL = Machine(cores=2, memory_bytes=120_000_000)


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(
        space="vgg", flops="40M", trials=3, epochs=2, workers=1, seeds=1, finalists=1, batch_size=128,
        home=str(tmp_path), name=STUDY, sampler="random", prior=False, backend="torch", precision="float32",
    )  # fmt: skip


def parts(world: World) -> dict[str, int]:
    return {job.key: job.microbatches for job in world.engine.submitted if job.measure_s is None}


def test_each_network_is_taken_in_as_many_parts_as_it_needs(settings: RunSettings):
    world = World()
    result = world.run(replace(settings, memory="60MB"))
    jobs = [job for job in world.engine.submitted if job.measure_s is None]
    for job in jobs:
        step = plan_step(
            from_json(job.graph), job.recipe, job.precision, devices=1, room_bytes=60_000_000
        )
        assert job.microbatches == step.microbatches > 1
    assert len({job.microbatches for job in jobs}) > 1
    for row in result.rows:
        assert row.microbatches > 1
        assert f"complete, {row.microbatches} microbatches" in status_text(row)
    ended = next(event for event in world.events if isinstance(event, JobEnded))
    count = ended.outcome.microbatches
    assert ended_text(ended).startswith(f"complete, in {count} microbatches, val")
    assert world.tracker.trials["trial-0000"].tags["microbatches"] == str(count)


def test_a_study_that_goes_on_keeps_to_the_memory_that_it_began_with(settings: RunSettings):
    there = World(machine=lambda: SMALL)
    there.run(replace(settings, name="straight"))
    wanted = parts(there)
    assert max(wanted.values()) > 1
    world = World(
        machine=lambda: SMALL,
        interrupt_at=lambda e: isinstance(e, EpochDone) and e.report.key == "trial-0001",
    )
    with pytest.raises(Interrupted):
        world.run(settings)
    # On a machine with more memory, or where that is free now.
    later = World(machine=lambda: replace(SMALL, memory_bytes=10**12))
    later.resume(STUDY, settings.home)
    assert parts(later)
    assert parts(world) | parts(later) == wanted


def test_a_training_is_repeated_in_the_parts_that_it_came_to(settings: RunSettings):
    def ran_out(outcome):
        return replace(outcome, microbatches=8) if outcome.key == "trial-0001" else outcome

    World(tell=ran_out).run(settings)
    for trial, microbatches in ((0, 1), (1, 8)):
        world = World()
        rerun(STUDY, home=Path(settings.home), trial=trial, services=world.services())
        assert parts(world) == {f"trial-000{trial}": microbatches}


def test_with_enough_memory_nothing_is_said_of_it(settings: RunSettings):
    world = World(machine=lambda: replace(LOCAL.machine(Path()), memory_bytes=10**12))
    result = world.run(settings)
    assert set(parts(world).values()) == {1}
    assert not any("microbatches" in status_text(row) for row in result.rows)
    assert "microbatches" not in world.tracker.trials["trial-0000"].tags
