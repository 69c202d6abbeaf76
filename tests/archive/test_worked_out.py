"""What follows from a study's trainings is worked out once, and anew where something is said."""

from dataclasses import replace

import pytest

from archsearch.archive import leaderboard
from archsearch.archive.databases import in_memory
from archsearch.archive.keys import JobKey, trial_name
from archsearch.archive.leaderboard import read_result
from archsearch.archive.store import StudyStore
from archsearch.exchange.latency import Latency
from tests.archive.test_store import FACTS, KNOBS, design, order, outcome

LATENCY = Latency(median_ms=1.0, p10_ms=0.9, p90_ms=1.5, calls=3, batch=1, device="cpu", threads=2)
FINAL = JobKey("final", trial_name(0), seed=1)


@pytest.fixture
def store() -> StudyStore:
    made = StudyStore.create(in_memory(), "s", FACTS)
    made.begin_trial(order(0), KNOBS)
    return made


def test_facts_of_the_run_cost_no_reading_again(store: StudyStore, monkeypatch):
    first = read_result(store)
    monkeypatch.setattr(leaderboard, "_rows", None)  # whoever works it out again calls it
    store.keep(replace(store.facts, status="complete", wall_s=7.0, untold=True, measured_flops=5))
    found = read_result(store)
    assert found.rows is first.rows
    assert (found.status, found.wall_s, found.untold) == ("complete", 7.0, True)
    assert found.spending.measuring == 5


@pytest.mark.parametrize(
    "say",
    [
        lambda store: store.begin_trial(order(1), KNOBS),
        lambda store: store.report(0, order(0), 1, 0.25),
        lambda store: store.begin_training(0, order(0, rung=1)),
        lambda store: store.end_training(0, order(0), outcome(order(0).key)),
        lambda store: store.move(0, "waiting"),
        lambda store: store.keep_final(FINAL, outcome(FINAL, test_accuracy=0.4)),
        lambda store: store.keep_latency(trial_name(0), LATENCY),
        lambda store: store.keep(replace(store.facts, published=(design(7, origin="published"),))),
    ],
)
def test_whatever_is_said_counts_at_once(store: StudyStore, say):
    before = read_result(store).rows
    say(store)
    after = read_result(store).rows
    assert after != before
