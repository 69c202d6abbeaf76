"""Searches through the loop and a storage, with the fake engine (tables of decisions: test_phases)."""

import random
import shutil

import pytest

from archsearch.archive.leaderboard import read_result
from archsearch.errors import ArchsearchError, BudgetError
from archsearch.space.knobs import ChoiceKnob, IntKnob
from archsearch.space.solve import solve
from archsearch.strategy.bounds import Bounds
from archsearch.strategy.search import window_of
from archsearch.study.events import EpochDone, JobEnded, JobStarted, Notice
from archsearch.study.interrupt import Interrupted
from archsearch.testing.fake_engine import FakeEngine
from archsearch.testing.toy_space import REQUEST, ToySpace
from archsearch.training.job import Outcome
from tests.bench import TRAIN, Bench, killed_at_any_writing, table


class LastFirst(random.Random):
    """The worker that began last is the fastest."""

    def choice(self, seq):
        return seq[-1]


@pytest.mark.parametrize(("window", "waits"), [(2, True), (window_of(2), False)])
def test_a_free_worker_need_not_wait_for_a_slower_one(bench: Bench, window: int, waits: bool):
    bench.window, bench.trials = window, 4
    bench.run(finals=False, engine=FakeEngine(2, train_images=TRAIN, order=LastFirst()))
    told = [
        (type(event).__name__, str(event.order.key))
        for event in bench.events
        if isinstance(event, JobStarted | JobEnded)
    ]
    began = told.index(("JobStarted", "trial-0002"))
    ended = told.index(("JobEnded", "trial-0000"))
    assert (began > ended) is waits
    running = 0
    for kind, _ in told:  # and no job waits for a worker
        running += 1 if kind == "JobStarted" else -1
        assert running <= 2


@pytest.mark.parametrize("window", [1, 2, 3])
def test_the_table_does_not_depend_on_which_worker_is_first(bench: Bench, window: int):
    bench.window = window
    expected = table(bench.run())
    assert len(expected) == bench.trials
    for order in range(4):
        other = bench.fresh()
        workers = 1 + order % window  # fewer than the window lets
        engine = FakeEngine(workers, train_images=TRAIN, order=random.Random(order))
        assert table(other.run(engine=engine)) == expected


def test_other_seeds_give_other_tables(bench: Bench):
    assert table(bench.run()) != table(bench.fresh(seed=1).run())


def test_the_classic_comes_first_and_no_network_comes_twice(bench: Bench):
    bench.trials = 20
    result = bench.run()
    store = bench.store
    assert store[0].knobs == {"depth": 2, "kernel": 3, "bias": True}
    assert store[0].design.role == "baseline"
    graphs = [trial.design.graph for trial in store.trials]
    assert len(set(graphs)) == 20
    assert sum(trial.skipped for trial in store.trials) > 0
    assert [r.role for r in result.rows].count("baseline") == 1


def test_a_space_that_is_used_up_ends_the_search(bench: Bench):
    class Small(ToySpace):
        name = "small"

        def tiers(self, request):
            return [
                (
                    IntKnob("depth", 2, 3),
                    ChoiceKnob("kernel", (3,)),
                    ChoiceKnob("bias", (True, False)),
                )
            ]

    result = Bench(bench.home, space=Small(), trials=9).run()
    assert len(result.rows) == 4
    # …and again, however often it is resumed.
    notices = [e.text for e in bench.events if isinstance(e, Notice)]
    assert notices == []


def test_bad_trials_are_cut_short_and_say_why(bench: Bench):
    bench.trials, bench.epochs, bench.window = 20, 9, 1
    result = bench.run()
    pruned = [row for row in result.rows if row.status == "pruned"]
    assert pruned
    assert all(3 < row.epochs < 9 for row in pruned)
    assert all(f"epoch {row.epochs}" in row.reason for row in pruned)
    for row in pruned:
        reports = bench.store[int(row.name[-4:])].last.reports
        assert max(reports) == row.epochs
        assert row.val_accuracy == reports[row.epochs]
    fewer = bench.fresh(prune=False).run()
    assert {row.status for row in fewer.rows} == {"complete"}


def test_a_failure_costs_one_trial_and_keeps_its_reason(bench: Bench):
    engine = FakeEngine(2, train_images=TRAIN, failures={"trial-0003": "worker died: signal 9"})
    result = bench.run(engine=engine)
    failed = [row for row in result.rows if row.status == "failed"]
    assert [(row.name, row.reason, row.rank) for row in failed] == [
        ("trial-0003", "worker died: signal 9", None)
    ]
    assert len(result.rows) == bench.trials
    assert bench.store[3].state == "failed"
    assert bench.tracker.trials["trial-0003"].status == "failed"


def test_knobs_that_make_no_network_cost_one_trial(bench: Bench):
    bench.solve, bench.trials = fail_on_deep, 25
    result = bench.run()
    failed = [row for row in result.rows if row.status == "failed"]
    assert failed
    assert {row.reason for row in failed} == {f"{row.knobs['depth']} is too deep" for row in failed}


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (
            Outcome(key="trial-0002", status="complete", val_accuracy=float("nan")),
            "accuracy is nan",
        ),
        (Outcome(key="trial-0002", status="complete", val_accuracy=None), "accuracy is None"),
        (Outcome(key="trial-0002", status="pruned", val_accuracy=0.9), "without being asked"),
    ],
)
def test_outcomes_that_make_no_sense_are_failures(bench: Bench, outcome, reason):
    def lie(told: Outcome) -> Outcome:
        return outcome if told.key == outcome.key else told

    result = bench.run(engine=FakeEngine(2, train_images=TRAIN, tell=lie))
    row = next(row for row in result.rows if row.name == "trial-0002")
    assert row.status == "failed"
    assert reason in row.reason


def test_ctrl_c_lets_epochs_end_and_resume_gives_the_undisturbed_table(bench: Bench):
    expected = table(bench.run())
    for after in range(0, 70, 5):
        other = bench.fresh()
        if other.interrupted(after):
            assert not other.engine.under_way
            states = {trial.state for trial in other.store.trials}
            assert "running" not in states
            assert {run.status for run in other.tracker.trials.values()}.isdisjoint({"running"})
        assert table(other.run()) == expected


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ArchsearchError("workers do not start")])
def test_stopped_at_once_no_trial_seems_to_run_and_the_table_is_the_same(bench: Bench, error):
    expected = table(bench.run())
    for at in (1, 8, 30, 60):
        other, count = bench.fresh(), iter(range(1, 10**6))

        def strike(engine, at=at, count=count):
            if next(count) == at:
                raise error

        with pytest.raises(type(error)):
            other.run(engine=FakeEngine(2, train_images=TRAIN, before=strike))
        assert "running" not in {trial.state for trial in other.store.trials}
        assert table(other.run()) == expected


def test_a_kill_at_any_writing_changes_nothing(bench: Bench):
    bench.trials, bench.epochs = 5, 2
    for result, other in killed_at_any_writing(bench):
        finals = sum(row.final_val.n for row in result.rows if row.final_val)
        assert len(other.tracker.trials) == bench.trials + finals


def fail_on_deep(knobs):
    if knobs["depth"] >= 4:
        raise BudgetError(f"{knobs['depth']} is too deep")
    return solve(ToySpace(), knobs, REQUEST)


def test_a_kill_beside_a_trial_without_a_network_changes_nothing(bench: Bench):
    bench.solve, bench.trials, bench.epochs, bench.seeds = fail_on_deep, 7, 2, 1
    for result, _ in killed_at_any_writing(bench):
        assert any("too deep" in row.reason for row in result.rows)


def test_a_trial_without_a_network_that_is_half_kept_fails(bench: Bench):
    """As version 0.1 left one that was killed at the wrong moment."""
    bench.solve, bench.trials, bench.epochs = fail_on_deep, 7, 2
    expected = bench.run(finals=False)
    other = bench.fresh()
    store = other.begin()
    shutil.copytree(bench.folder.path, other.folder.path, dirs_exist_ok=True)
    for trial in bench.store.trials:
        order = trial.last.order
        store.begin_trial(order, bench.choices.knobs, skipped=trial.skipped)
        if not trial.design.exists:
            break
        for epoch, accuracy in trial.last.reports.items():
            store.report(trial.number, order, epoch, accuracy)
        store.end_training(trial.number, order, trial.last.outcome)
        store.finish(trial.number)
    half_kept = len(store) - 1
    assert not store[half_kept].design.exists
    result = other.run(finals=False)
    assert table(result) == table(expected)
    assert other.store[half_kept].state == "failed"
    assert "killed before it said why" in other.store[half_kept].last.outcome.reason


def test_resuming_a_finished_study_trains_nothing(bench: Bench):
    expected = table(bench.run())
    assert table(bench.run()) == expected
    assert bench.engine.submitted == []


def test_the_watcher_hears_of_every_job_once(bench: Bench):
    bench.run()
    ended = [event.order.key for event in bench.events if isinstance(event, JobEnded)]
    assert len(ended) == len(set(ended)) == bench.trials + 3 * bench.seeds


def test_a_trial_cut_between_evaluations_has_the_accuracy_of_the_last_one(bench: Bench):
    class Cutting(Bounds):
        def cuts_trial(self, report, *, closing=False):
            return (report.key, report.epoch) == ("trial-0001", 2)

    bench.bounds, bench.val_every, bench.prune = Cutting(text="--max-time 1h"), 3, False
    result = bench.run(finals=False)
    (cut,) = [row for row in result.rows if row.name == "trial-0001"]
    assert (cut.status, cut.epochs) == ("pruned", 2)
    assert "cut short by --max-time 1h after epoch 2" in cut.reason
    store = bench.store
    assert sorted(store[1].last.reports) == [1]
    assert cut.val_accuracy == store[1].last.reports[1]
    assert sorted(store[2].last.reports) == [1, 3, 4]
    history = bench.tracker.trials["trial-0002"].history
    assert sorted(history["val_accuracy"]) == [1, 3, 4]
    assert sorted(history["loss"]) == [1, 2, 3, 4]


def test_an_interrupted_trial_tells_epochs_not_evaluations(bench: Bench):
    bench.epochs, bench.val_every, bench.window = 60, 10, 1
    bench.stopped = lambda: any(
        isinstance(event, EpochDone) and event.report.epoch == 20 for event in bench.events
    )
    with pytest.raises(Interrupted):
        bench.run()
    [row] = read_result(bench.store).rows
    assert list(bench.store[0].last.reports) == [1, 10, 20]
    assert (row.status, row.epochs) == ("waiting", 20)
