"""How far a study is, told by the database's own counting, is what its leaderboard says."""

from pathlib import Path

import pytest

from archsearch.archive.databases import default_url, opened
from archsearch.archive.leaderboard import Row, read_result
from archsearch.archive.store import StudyStore
from archsearch.archive.tables.stored_trials import read_trials
from archsearch.archive.tally import read_tally
from archsearch.strategy.fidelities.rungs import Rungs
from archsearch.study.interrupt import Interrupted
from archsearch.testing.fake_engine import FakeEngine
from tests.bench import TRAIN, Bench
from tests.rungs import Halving


@pytest.fixture
def bench(tmp_path: Path):
    with opened(default_url(tmp_path)) as storage:
        yield Bench(tmp_path, storage=storage, trials=12)


def agrees(bench: Bench) -> Row:
    """Compare both, and return the line of the leaderboard that is the best so far."""
    store, tally = StudyStore.open(bench.storage, bench.name), read_tally(bench.storage, bench.name)
    rows = read_result(store).rows
    again = [row for row in rows if row.final_val]
    first = max(again, key=lambda row: row.final_val.mean) if again else rows[0]
    best = first.final_val.mean if again else first.val_accuracy
    assert (tally.best_val, tally.facts) == (best, store.facts)
    assert tally.done == sum(trial.tried for trial in store.trials)
    return first


def test_of_a_study_with_its_finals_the_best_is_a_mean_over_seeds(bench: Bench):
    bench.run()
    assert agrees(bench).final_val.n >= 1


@pytest.mark.parametrize("after", [1, 8, 25, 60])
def test_of_a_study_that_was_stopped_the_best_is_a_trial(bench: Bench, after: int):
    moments = iter(range(after))
    bench.stopped = lambda: next(moments, None) is None
    with pytest.raises(Interrupted):
        bench.run(finals=False)
    agrees(bench)


def test_where_all_failed_there_is_no_best(bench: Bench):
    failures = {f"trial-{number:04d}": "no" for number in range(12)}
    bench.run(finals=False, engine=FakeEngine(2, train_images=TRAIN, failures=failures))
    assert agrees(bench).val_accuracy is None


def test_of_trainings_of_several_lengths_the_longest_counts(bench: Bench):
    bench.fidelity = Halving
    bench.run(finals=False)
    assert agrees(bench).rung == 1


@pytest.mark.parametrize("after", [12, 30, 60])
def test_short_trainings_count_although_longer_ones_may_follow(bench: Bench, after: int):
    bench.fidelity, bench.epochs = Rungs, 9
    moments = iter(range(after))
    bench.stopped = lambda: next(moments, None) is None
    with pytest.raises(Interrupted):
        bench.run(finals=False)
    agrees(bench)
    tally = read_tally(bench.storage, bench.name)
    assert tally.done > sum(trial.finished for trial in bench.store.trials)


def test_trials_are_read_as_optuna_reads_them(bench: Bench):
    bench.run(finals=False)
    study_id = bench.storage.get_study_id_from_name(bench.name)
    theirs = bench.storage.get_all_trials(study_id)
    ours = read_trials(bench.storage, study_id)
    assert [
        (t.number, t.identity, t.state, t.knobs, list(t.knobs), t.notes, t.reports) for t in ours
    ] == [
        (
            t.number, t._trial_id, t.state.name.lower(), t.params, list(t.params), t.user_attrs,
            t.intermediate_values,
        )
        for t in theirs
    ]  # fmt: skip
