"""Whole studies whose networks are trained several times, at several lengths: loop, storage and kill."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.archive.orders import Length
from archsearch.archive.store import StudyStore
from archsearch.settings import RunSettings
from archsearch.strategy.bounds import Bounds
from archsearch.strategy.fidelity import GROUP
from archsearch.study.finalists import announced, finals_of
from archsearch.study.interrupt import Interrupted
from archsearch.testing.fake_engine import FakeClock, FakeEngine
from tests.bench import TRAIN, Bench, killed_at_any_writing, table
from tests.rungs import Halving
from tests.third_party import install
from tests.world import STUDY, World, interrupted_after

pytestmark = pytest.mark.usefixtures("studies_in_memory")

SHORT, FULL = Length(2 * TRAIN, 2), Length(8 * TRAIN, 8)


@pytest.fixture
def bench(bench: Bench) -> Bench:
    return replace(bench, fidelity=Halving, epochs=8)


@pytest.mark.parametrize("window", [1, 2, 3])
def test_the_table_does_not_depend_on_which_worker_is_first(bench: Bench, window: int):
    bench.window = window
    expected = table(bench.run())
    for order in range(4):
        engine = FakeEngine(1 + order % window, train_images=TRAIN, order=random.Random(order))
        assert table(bench.fresh().run(engine=engine)) == expected


def test_a_kill_at_any_writing_changes_nothing(bench: Bench):
    bench.trials, bench.epochs, bench.seeds = 6, 4, 1
    for result, other in killed_at_any_writing(bench):
        assert sum(row.trainings for row in result.rows) == len(other.tracker.trials)


def test_ctrl_c_lets_epochs_end_and_resume_gives_the_undisturbed_table(bench: Bench):
    bench.seeds = 1
    expected = table(bench.run())
    interrupted = 0
    for after in range(0, 100, 10):
        other = bench.fresh()
        if other.interrupted(after):
            interrupted += 1
            assert not other.engine.under_way
            assert "running" not in {trial.state for trial in other.store.trials}
            assert "running" not in {run.status for run in other.tracker.trials.values()}
        assert table(other.run()) == expected
    assert interrupted > 5


def test_every_training_is_in_the_storage(bench: Bench):
    bench.run()
    trials = StudyStore.open(bench.storage, bench.name).trials
    assert trials == bench.store.trials
    promoted = [trial for trial in trials if len(trial.trainings) > 1]
    assert promoted
    assert len(promoted) < len(trials)
    decisions = [training.order.decision for trial in trials for training in trial.trainings]
    assert sorted(decisions) == list(range(len(trials) + len(promoted)))
    for trial in trials:
        assert trial.state == "complete"
        assert [t.order.length for t in trial.trainings] == [SHORT, FULL][: len(trial.trainings)]
        for rung, training in enumerate(trial.trainings):
            assert training.order.key.rung == rung
            assert list(training.reports) == list(range(1, training.order.length.epochs + 1))
            assert training.outcome.images == training.order.length.images
            assert training.outcome.val_accuracy == training.reports[training.order.length.epochs]


def test_a_trial_that_trains_on_seems_to(bench: Bench):
    """Also where an earlier process had left it waiting."""
    states = []

    class Looking(FakeEngine):
        def submit(self, job):
            super().submit(job)
            number = int(job.key.removeprefix("trial-")[:4]) if job.key[0] == "t" else None
            states.append(None if number is None else bench.store[number].state)

    for after in (9, 10**6):
        if bench.interrupted(after, finals=False, engine=Looking(2, train_images=TRAIN)):
            assert "waiting" in {trial.state for trial in bench.store.trials}
    assert len(states) > bench.trials
    assert set(states) == {"running"}


def test_the_tracker_has_a_run_for_each_training(bench: Bench):
    bench.run()
    wanted = {
        str(training.order.key): training
        for trial in bench.store.trials
        for training in trial.trainings
    }
    runs = {key: run for key, run in bench.tracker.trials.items() if not key.startswith("final")}
    assert set(runs) == set(wanted)
    for key, run in runs.items():
        rung = wanted[key].order.key.rung
        assert run.tags.get("rung") == (str(rung) if rung else None)
        assert run.metrics["epochs"] == wanted[key].order.length.epochs
        assert len(run.history["val_accuracy"]) == wanted[key].order.length.epochs
    assert {run.tags.get("rung") for run in runs.values()} == {None, "1"}


def test_rows_have_the_longest_training(bench: Bench):
    result = bench.run(finals=False)
    for row in result.rows:
        trial = bench.store[int(row.name[-4:])]
        assert (row.rung, row.trainings) == (len(trial.trainings) - 1, len(trial.trainings))
        assert row.val_accuracy == trial.last.outcome.val_accuracy
        assert row.epochs == trial.last.order.length.epochs
    rungs = [row.rung for row in result.rows]
    assert rungs == sorted(rungs, reverse=True)
    assert set(rungs) == {0, 1}


def short_ones_shine(job) -> float:
    """A formula after which every short training is more accurate than any long one."""
    return 0.9 if job.images == SHORT.images else 0.2 + 0.001 * len(job.graph) / 10**4


def test_finalists_are_chosen_among_the_highest_rung_first(bench: Bench):
    engine = FakeEngine(2, train_images=TRAIN, validation=short_ones_shine)
    result = bench.run(finals=False, engine=engine)
    highest = [row for row in result.rows if row.rung == 1 and row.role == "candidate"]
    assert min(row.val_accuracy for row in result.rows if row.rung == 0) > max(
        row.val_accuracy for row in highest
    )
    phase = finals_of(bench.store, bench.settings, Bounds(), bench.length)
    able = phase.plan.contestants
    candidates = [name for name in able if able[name].design.role == "candidate"]
    names = [row.name for row in highest]
    assert set(names) <= set(candidates)
    assert len(candidates) == max(len(names), bench.settings.finalists)
    known = {one.name: one.values for one in phase.plan.contest.contestants}
    assert all(bool(known[name]) == (name in names) for name in candidates)
    assert announced(bench.store, phase).jobs == (bench.settings.finalists + 1) * bench.seeds


def test_a_finalist_of_a_lower_rung_is_expected_to_take_its_full_length(bench: Bench):
    bench.trials = 3  # none is promoted
    bench.run(finals=False)
    phase = finals_of(bench.store, bench.settings, Bounds(), bench.length)
    assert len(phase.plan.contestants) == 3
    for entrant in phase.plan.contestants.values():
        trial = next(t for t in bench.store.trials if t.design.name == entrant.design.name)
        assert len(trial.trainings) == 1
        assert entrant.trial_s == pytest.approx(4 * trial.last.outcome.total_s)


def test_a_longer_training_that_fails_costs_its_trial_alone(bench: Bench):
    whole = bench.run(finals=False)
    first = min(
        (training.order for trial in bench.store.trials for training in trial.trainings[1:]),
        key=lambda order: order.decision,
    )
    failures = {str(first.key): "worker died: signal 9"}
    engine = FakeEngine(2, train_images=TRAIN, failures=failures)
    other = bench.fresh()
    result = other.run(finals=False, engine=engine)
    (failed,) = [row for row in result.rows if row.status == "failed"]
    assert (failed.name, failed.rung, failed.reason) == (first.key.name, 1, "worker died: signal 9")
    assert len(result.rows) == len(whole.rows)
    # The next one is promoted in due course, and none twice.
    assert sum(row.trainings for row in result.rows) == sum(row.trainings for row in whole.rows)


# --- from the command's settings to the end -------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunSettings:
    install(tmp_path / "halving", monkeypatch, {GROUP: {"halving": "tests.rungs:Halving"}})
    return RunSettings(
        space="vgg", flops="20M", trials=8, epochs=8, workers=2, seeds=1, finalists=2,
        fidelity="halving", home=str(tmp_path / "home"),
    )  # fmt: skip


@pytest.mark.parametrize("at", [2, 40])
def test_a_run_of_a_schemes_name_is_taken_up(settings: RunSettings, tmp_path: Path, at: int):
    expected = World().run(replace(settings, home=str(tmp_path / "calm")))
    assert {row.rung for row in expected.rows} == {0, 1}
    with pytest.raises(Interrupted):
        interrupted_after(at).run(settings)
    again = World()
    assert table(again.resume(STUDY, settings.home)) == table(expected)
    assert sum(row.trainings for row in expected.rows) == len(again.tracker.trials)
    assert {run.tags.get("rung") for run in again.tracker.trials.values()} == {None, "1"}


@pytest.mark.parametrize("bound", ["9min", "15min"])
def test_a_bound_on_time_holds_and_what_did_not_fit_is_said(settings: RunSettings, bound: str):
    world = World(clock=FakeClock(1000.0), epoch_s=lambda key, epoch: 5.0)
    asked = replace(settings, workers=1, trials=1000, max_time=bound, prune=False)
    result = world.run(asked)
    limit_s = 60 * int(bound.removesuffix("min"))
    assert 0.8 * limit_s < world.clock() - 1000 <= 1.02 * limit_s
    assert result.winner.rung == 1
    assert f"fits into --max-time {bound}" in result.ended
    assert all(row.status == "complete" for row in result.rows)
