"""What a tracker is told of a study's networks."""

import copy

import pytest

from archsearch.archive.leaderboard import StudyResult
from archsearch.study import retelling
from archsearch.study.telling.network_runs import network_records
from archsearch.testing.memory_tracker import MemoryTracker
from tests.small_study import NAME, Small


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def ended(small: Small) -> tuple[StudyResult, MemoryTracker]:
    return small.run(seeds=3), small.trackers[0]


def test_every_network_has_a_run_with_its_trainings_in_it(
    ended: tuple[StudyResult, MemoryTracker],
) -> None:
    result, tracker = ended
    rows = {row.name: row for row in result.rows}
    assert set(tracker.networks) == set(rows)
    for name, row in rows.items():
        run = tracker.networks[name]
        assert sum(trial.network == name for trial in tracker.trials.values()) == row.trainings > 0
        assert run.tags["role"] == row.part  # as the terminal has it
        assert run.status == row.status == "complete"
        assert {"graph.json", "layers.csv"} <= set(run.artifacts)
        assert run.metrics["flops"] == row.flops


def test_a_network_has_the_mean_and_spread_of_its_trainings(
    ended: tuple[StudyResult, MemoryTracker],
) -> None:
    result, tracker = ended
    retrained = [row for row in result.rows if row.final_val and row.final_val.n > 1]
    assert retrained
    for row in retrained:
        figures, finals = tracker.networks[row.name].metrics, row.final_val
        values = [
            trial.metrics["val_accuracy"]
            for key, trial in tracker.trials.items()
            if trial.network == row.name and key.startswith("final")
        ]
        assert figures["val_accuracy"] == pytest.approx(sum(values) / len(values))
        assert figures["val_accuracy_n"] == len(values)
        assert figures["val_accuracy_sd"] == pytest.approx(finals.sd)
        assert figures["test_accuracy_n"] == row.test.n


def test_the_winner_is_marked_and_comes_first(ended: tuple[StudyResult, MemoryTracker]) -> None:
    result, tracker = ended
    [winner] = [name for name, run in tracker.networks.items() if run.name.startswith("★ ")]
    assert result.winner.name == winner
    places = sorted(run.metrics["place"] for run in tracker.networks.values())
    assert places == list(range(1, len(places) + 1))
    assert tracker.networks[winner].metrics["place"] == 1


def test_an_accuracy_is_the_first_axis_of_mlflows_plots(
    ended: tuple[StudyResult, MemoryTracker],
) -> None:
    for record in network_records(ended[0], {}):
        assert next(iter(record.metrics)) == "val_accuracy"  # by the order in which they are kept
        assert min(record.metrics) == "expected_accuracy"  # by the alphabet


def test_what_is_told_again_is_the_same(
    small: Small, ended: tuple[StudyResult, MemoryTracker]
) -> None:
    before = copy.deepcopy(ended[1].networks)
    small.tracker = lambda settings, warn: MemoryTracker(ended[1])
    retelling.track(NAME, home=small.home, services=small.services())
    assert len(small.trackers) == 2
    assert small.trackers[1].networks == before
