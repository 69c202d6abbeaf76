"""Runs long enough for short trainings first: their plan is what happens, also bounded and cut off."""

import io
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.archive.leaderboard import StudyResult
from archsearch.planning.forecast import Forecast
from archsearch.report.live import LiveView
from archsearch.report.plan import plan_lines
from archsearch.report.tables import PlainConsole
from archsearch.settings import RunSettings
from archsearch.strategy.fidelities.rungs import Rungs
from archsearch.study import dry_run
from archsearch.study.events import JobEnded, JobStarted, Planned
from archsearch.study.interrupt import Interrupted
from archsearch.testing.fake_engine import FakeClock, FakeEngine
from archsearch.training.job import Outcome
from archsearch.units import format_duration, training_flops
from tests.bench import TRAIN as FEW
from tests.bench import Bench, table
from tests.world import STUDY, TRAIN, World, interrupted_after

pytestmark = pytest.mark.usefixtures("studies_in_memory")

START_S, EPOCH_S = 12.0, 10.0


def timed(watch: Callable[[object], None] = lambda event: None) -> World:
    """A world on a clock of its own, where a training starts for as long as it trains two epochs."""

    def epoch_s(key: str, epoch: int) -> float:
        return EPOCH_S + (START_S if epoch == 1 else 0.0)

    def tell(outcome: Outcome) -> Outcome:
        if outcome.key.startswith("pace"):
            return replace(outcome, images_per_s=TRAIN / EPOCH_S, start_s=START_S)
        return outcome

    return World(clock=FakeClock(1000.0), epoch_s=epoch_s, tell=tell, export_s=2.5, watch=watch)


def planned(world: World) -> Forecast:
    [event] = [event for event in world.events if isinstance(event, Planned)]
    return event.forecast


def orders(world: World):
    return [event.order for event in world.events if isinstance(event, JobStarted)]


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(
        space="vgg", flops="20M", epochs=30, trials=50, workers=1, seeds=2, finalists=1,
        prune=False, sampler="random", home=str(tmp_path),
    )  # fmt: skip


def counts(world: World) -> tuple[int, int]:
    """Short trainings, and full ones before the finals."""
    searched = [order for order in orders(world) if order.key.purpose == "search"]
    return sum(not o.key.rung for o in searched), sum(bool(o.key.rung) for o in searched)


def test_a_long_run_begins_with_short_trainings_and_its_plan_says_how_many(settings: RunSettings):
    world = timed()
    result = world.run(settings)
    plan = planned(world)
    assert (plan.short.epochs, plan.epochs) == (4, 30)
    # 49 candidates pay for two full trainings, and the matched baseline has one.
    assert counts(world) == (plan.trials, plan.promotions) == (50, 3)
    assert {order.length.epochs for order in orders(world) if order.key.rung} == {30}
    took_s = world.clock() - 1000
    assert plan.total_s == pytest.approx(took_s, rel=0.25)
    spent = result.spending
    assert plan.total_flops == pytest.approx(spent.bounded, rel=0.05)
    assert spent.search[0] / sum(spent.search) == pytest.approx(0.75, abs=0.05)
    assert result.winner.rung == 1
    assert result.winner.final_val.n == 2


@pytest.mark.parametrize(
    "bound", [{"max_time": "1h"}, {"max_time": "90min"}, {"search_flops": "30T"}]
)
def test_bounds_are_divided_between_short_and_full_trainings(settings: RunSettings, bound):
    world = timed()
    result = world.run(replace(settings, trials=1000, **bound))
    plan = planned(world)
    short, full = counts(world)
    assert short == pytest.approx(plan.fit, rel=0.25)
    assert full == pytest.approx(plan.promotions, abs=1)
    # Whoever wins has trained in full, and so has the matched baseline; the finals may leave some of it.
    assert result.winner.final_val is not None
    assert [row.final_val is not None for row in result.rows if row.origin == "matched"] == [True]
    took_s = world.clock() - 1000
    if "max_time" in bound:
        limit_s = {"1h": 3600, "90min": 5400}[bound["max_time"]]
        assert 0.7 * limit_s < took_s <= 1.02 * limit_s
    else:
        assert 0.7 * 30e12 < result.spending.bounded <= 30e12
        assert plan.total_s == pytest.approx(took_s, rel=0.25)


def test_the_plan_is_told_before_anything_is_made(settings: RunSettings):
    world = timed()
    found = dry_run.plan(settings, services=world.services())
    text = "\n".join(plan_lines(found))
    assert (
        "50 short trainings of 4 epochs (302G FLOPs each), about 3 of these networks anew for 30 "
        "epochs, validated every 3 (2.27T FLOPs each), then 4 from scratch, each seed validated on a "
        "split of its own; 31.0T FLOPs at most"
    ) in text
    assert training_flops(20_000_000, 4 * TRAIN) == found.short_flops
    short, full = format_duration(found.short_s), format_duration(found.trial_s)
    assert f"{short} a short training and {full} a full one" in text
    assert found.short_s == pytest.approx(START_S + 4 * EPOCH_S, rel=0.25)


def test_whoever_watches_sees_how_many_trainings_there_will_be(settings: RunSettings):
    view = LiveView(PlainConsole(file=io.StringIO()))
    seen = []

    def watch(event: object) -> None:
        view(event)
        if isinstance(event, JobEnded) and event.order.key.purpose == "search":
            seen.append((view._board.done, view._board.total, "left" in view._board.note))

    world = timed(watch)
    world.run(replace(settings, trials=12))
    plan = planned(world)
    assert (plan.trials, plan.promotions) == (12, 2)
    assert seen == [*((done, 14, True) for done in range(1, 14)), (14, 14, False)]


def test_a_short_run_trains_every_network_once(settings: RunSettings):
    world = timed()
    result = world.run(replace(settings, epochs=8, trials=5))
    assert planned(world).short is None
    assert counts(world) == (5, 0)
    assert {row.rung for row in result.rows} == {0}


# --- cut off ------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(bench: Bench) -> Bench:
    return replace(bench, fidelity=Rungs, epochs=9, trials=12, seeds=1)


def spread(result: StudyResult) -> list[object]:
    return [*table(result), replace(result.spending, measuring=0)]


@pytest.mark.parametrize("window", [1, 3])
def test_which_worker_is_first_changes_nothing(bench: Bench, window: int):
    bench.window = window
    expected = spread(bench.run())
    assert {row.rung for row in bench.run().rows} == {0, 1}
    for order in range(3):
        engine = FakeEngine(1 + order % window, train_images=FEW, order=random.Random(order))
        assert spread(bench.fresh().run(engine=engine)) == expected


def test_an_interrupted_search_goes_on_as_if_nothing_had_happened(bench: Bench):
    expected = spread(bench.run())
    interrupted = 0
    for after in range(3, 130, 18):
        other = bench.fresh()
        interrupted += other.interrupted(after)
        assert spread(other.run()) == expected
    assert interrupted > 4


@pytest.mark.parametrize("at", [60, 150])
def test_a_run_is_taken_up_and_keeps_its_scheme(settings: RunSettings, tmp_path: Path, at: int):
    asked = replace(settings, trials=24)
    expected = World().run(replace(asked, home=str(tmp_path / "calm")))
    assert {row.rung for row in expected.rows} == {0, 1}
    world = interrupted_after(at)
    with pytest.raises(Interrupted):
        world.run(asked)
    again = World()
    result = again.resume(STUDY, asked.home)
    assert spread(result) == spread(expected)
    assert result.settings.fidelity == "rungs"
    tried = {order.key.name for order in orders(world) if order.key.purpose == "search"}
    assert planned(again).trials <= 24 - len(tried) + 2
