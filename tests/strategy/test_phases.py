"""Phases as tables: what happens, and what is ordered. No engine, no storage, no clock."""

from dataclasses import replace

import pytest

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey, trial_name
from archsearch.archive.leaderboard import Row
from archsearch.archive.orders import Length, Order
from archsearch.exchange.latency import Latency
from archsearch.strategy.bounds import Bounds, Load
from archsearch.strategy.fidelities.full import FullLength
from archsearch.strategy.finals import Entrant, Finals, FinalsPlan
from archsearch.strategy.latencies import Latencies
from archsearch.strategy.phase import (
    Abandon,
    Begin,
    Close,
    DropMeasurement,
    Keep,
    Measure,
    Rest,
    Say,
    Stop,
)
from archsearch.strategy.samplers.chance import RandomSampler
from archsearch.strategy.search import Search, SearchPlan
from archsearch.testing.toy_space import toy_choices
from archsearch.training.job import EpochReport, Outcome
from tests.rungs import Halving


def search(*, trials=4, window=1, bounds=None, fidelity=FullLength) -> Search:
    choices = toy_choices(trials=trials)
    plan = SearchPlan(
        choices=choices, sampler=RandomSampler(choices), fidelity=fidelity(4),
        length=lambda flops: Length(400, 4), window=window,
    )  # fmt: skip
    return Search(plan, bounds=bounds or Bounds())


def report(order: Order, epoch: int, accuracy: float = 0.5, wall_s: float = 1.0) -> EpochReport:
    return EpochReport(
        key=str(order.key), epoch=epoch, loss=1.0, accuracy=accuracy, val_accuracy=accuracy,
        images_per_s=1.0, images=100 * epoch, learning_rate=0.1, wall_s=wall_s * epoch,
    )  # fmt: skip


def done(order: Order, accuracy: float = 0.5, **changes) -> Outcome:
    made = Outcome(
        key=str(order.key), status="complete", epochs=4, images=400, val_accuracy=accuracy,
        test_accuracy=accuracy, total_s=4.0,
    )  # fmt: skip
    return replace(made, **changes)


def test_the_classic_first_then_one_after_another():
    phase = search(trials=2)
    first = phase.next(0.0, room=1)
    assert isinstance(first, Begin)
    assert (first.trial, first.new, str(first.order.key)) == (0, True, "trial-0000")
    assert first.order.design.origin == "matched"
    assert first.order.length == Length(400, 4)
    assert phase.next(0.0, room=1) is Rest.WAIT  # the window is one: its result comes first
    assert phase.heard(report(first.order, 1), 1.0) is None
    phase.ended(first.order, done(first.order), 4.0)
    assert phase.settled(first.order)
    second = phase.next(4.0, room=1)
    assert isinstance(second, Begin)
    assert second.order.design.origin == "search"
    assert second.order.decision == 1
    phase.ended(second.order, done(second.order), 8.0)
    assert phase.next(8.0, room=1) is Rest.DONE


def test_no_more_is_begun_than_there_is_room_for_and_than_may_be_known():
    phase = search(trials=5, window=3)
    orders = []
    while isinstance(step := phase.next(0.0, room=9), Begin):
        orders.append(step.order)
    assert len(orders) == 3
    phase.ended(orders[1], done(orders[1]), 1.0)
    assert phase.next(1.0, room=9) is Rest.WAIT  # decision 3 must know decision 0
    phase.ended(orders[0], done(orders[0]), 2.0)
    assert isinstance(phase.next(2.0, room=1), Begin)
    assert isinstance(phase.next(2.0, room=1), Begin)  # decisions 0 and 1 are told
    assert phase.next(2.0, room=0) is Rest.WAIT


def test_a_search_without_time_for_another_trial_closes_and_says_why():
    bounds = Bounds(time_s=10.0, text="--max-time 10s", trial=Load(6.0, 1.0))
    phase = search(bounds=bounds)
    first = phase.next(0.0, room=1)
    phase.ended(first.order, done(first.order), 6.0)
    step = phase.next(6.0, room=1)
    assert step == Close(
        "the search ends after 1 trial: no other fits into --max-time 10s with the finals",
        full=True,
    )
    assert phase.next(6.0, room=1) is Rest.DONE


@pytest.mark.parametrize(("fidelity", "more"), [(FullLength, Close), (Halving, Begin)])
def test_a_trial_that_begins_with_a_short_training_needs_time_for_that_alone(fidelity, more):
    """Two seconds of the eight that a full training takes."""
    phase = search(bounds=Bounds(time_s=12.0, text="t", trial=Load(8.0, 1.0)), fidelity=fidelity)
    first = phase.next(0.0, room=1)
    took_s = 8.0 * first.order.length.images / 400
    phase.ended(first.order, done(first.order), took_s)
    assert isinstance(phase.next(8.0, room=1), more)


def test_a_trial_that_leaves_no_time_for_the_finals_is_stopped():
    bounds = Bounds(
        time_s=100.0, text="--max-time 100s", trial=Load(4.0), finals=Load(40.0, 1.0), start_s=30.0
    )
    phase = search(bounds=bounds)
    order = phase.next(0.0, room=1).order
    assert phase.heard(report(order, 1, wall_s=30.0), 30.0) is None
    verdict = phase.heard(report(order, 2, wall_s=30.0), 60.0)
    assert verdict == Stop("cut short by --max-time 100s after epoch 2")


def test_what_runs_when_the_time_is_up_is_given_up():
    bounds = Bounds(time_s=100.0, text="--max-time 100s", trial=Load(4.0))
    phase = search(bounds=bounds)
    order = phase.next(0.0, room=1).order
    step = phase.next(200.0, room=0)
    assert step == Abandon("cut short by --max-time 100s within an epoch")
    phase.ended(order, done(order, status="failed", val_accuracy=None), 200.0)
    assert phase.next(200.0, room=1) == Close(
        "the search ends within an epoch: --max-time 100s is over"
    )
    assert phase.next(200.0, room=1) is Rest.DONE


def test_the_gauge_gets_ready_when_a_worker_waits_for_the_last_trial():
    phase = search(trials=2, window=2)
    first, second = phase.next(0.0, room=2), phase.next(0.0, room=1)
    assert not phase.gets_ready(2)
    phase.ended(first.order, done(first.order), 1.0)
    assert phase.gets_ready(2)
    phase.ended(second.order, done(second.order), 1.0)
    assert not phase.gets_ready(2)


# --- the finals ---------------------------------------------------------------------------------------


def entrant(number: int, **changes) -> Entrant:
    name = trial_name(number)
    design = Design(name=name, label=name, origin="search", graph=name, flops=10)
    return Entrant(**{"design": design, "knobs": {}, "trial_s": 4.0, **changes})


def finals(*, seeds=2, count=2, bounds=None, done=None, further=False) -> Finals:
    plan = FinalsPlan(
        entrants=tuple(map(entrant, range(count))), seeds=seeds, seed=0,
        length=lambda flops: Length(400, 4), further=further,
    )  # fmt: skip
    return Finals(plan, bounds=bounds or Bounds(), done=done or {})


def keys_of(phase, room=9, now_s=0.0) -> list[str]:
    found = []
    while isinstance(step := phase.next(now_s, room=room), Begin):
        found.append(str(step.order.key))
    return found


def test_finalists_come_one_after_another_and_under_a_bound_seed_by_seed():
    assert keys_of(finals()) == [
        "final-0000-seed1", "final-0000-seed2", "final-0001-seed1", "final-0001-seed2",
    ]  # fmt: skip
    bounded = finals(bounds=Bounds(time_s=1000.0))
    assert keys_of(bounded) == [
        "final-0000-seed1", "final-0001-seed1", "final-0000-seed2", "final-0001-seed2",
    ]  # fmt: skip


def test_networks_see_the_same_images_in_the_same_order():
    phase = finals()
    seeds = {}
    while isinstance(step := phase.next(0.0, room=9), Begin):
        seeds.setdefault(step.order.key.seed, set()).add(step.order.seed)
    assert [len(found) for found in seeds.values()] == [1, 1]
    assert seeds[1] != seeds[2]


def test_what_is_done_is_not_done_again():
    key = JobKey("final", trial_name(0), seed=1)
    kept = {key: Outcome(key=str(key), status="complete", val_accuracy=0.5, test_accuracy=0.5)}
    assert keys_of(finals(done=kept)) == [
        "final-0000-seed2", "final-0001-seed1", "final-0001-seed2",
    ]  # fmt: skip


def test_finals_that_do_not_fit_are_left_and_said():
    phase = finals(seeds=1, bounds=Bounds(time_s=7.0, text="--max-time 7s"))
    first = phase.next(0.0, room=1)
    phase.ended(first.order, done(first.order), 4.0)
    why = "the finals end with 1 training left: no other fits into --max-time 7s"
    assert phase.next(4.0, room=1) == Say(why)
    assert phase.next(4.0, room=1) is Rest.DONE
    assert phase.left == why


@pytest.mark.parametrize("further", [False, True])
def test_what_is_left_of_a_bound_goes_into_further_seeds(further):
    phase = finals(seeds=1, bounds=Bounds(time_s=17.0, text="--max-time 17s"), further=further)
    now_s, seen = 0.0, []
    while isinstance(step := phase.next(now_s, room=1), Begin):
        seen.append(str(step.order.key))
        now_s += 4.0
        phase.ended(step.order, done(step.order), now_s)
    assert phase.left == ""
    asked = ["final-0000-seed1", "final-0001-seed1"]
    assert seen == asked + ["final-0000-seed2", "final-0001-seed2"] * further
    words = "what was left went into 2 further trainings of the finalists"
    assert phase.further == words * further


def test_a_network_that_failed_gets_no_further_seed():
    phase = finals(seeds=1, bounds=Bounds(time_s=1000.0, text="t"), further=True)
    first = phase.next(0.0, room=1)
    phase.ended(first.order, done(first.order, status="failed", val_accuracy=None), 1.0)
    second = phase.next(1.0, room=1)
    phase.ended(second.order, done(second.order), 5.0)
    assert str(phase.next(5.0, room=1).order.key) == "final-0001-seed2"


def test_the_first_final_is_never_cut_but_others_are_and_stay_to_be_done():
    phase = finals(seeds=1, bounds=Bounds(time_s=50.0, text="--max-time 50s"))
    first = phase.next(0.0, room=1).order
    for epoch in (1, 2, 3):
        assert phase.heard(report(first, epoch, wall_s=15.0), 15.0 * epoch) is None
    phase.ended(first, done(first, total_s=4.0), 45.0)
    second = phase.next(45.0, room=1).order
    assert phase.heard(report(second, 1, wall_s=1.5), 46.5) is None
    verdict = phase.heard(report(second, 2, wall_s=3.0), 51.0)
    assert verdict == Stop("cut short by --max-time 50s", open=True)
    phase.left_open(second, 51.0)
    assert isinstance(phase.next(51.0, room=1), Say)
    assert "1 training left" in phase.left


# --- measuring ------------------------------------------------------------------------------------------


def row(name: str) -> Row:
    return Row(
        name=name, label=f"net {name}", role="candidate", origin="search", flops=1, fill=1.0,
        params=1, activation_bytes=1, status="complete", graph=f"graph {name}",
    )  # fmt: skip


def latency(ms: float = 1.0) -> Latency:
    return Latency(median_ms=ms, p10_ms=ms, p90_ms=ms, calls=30, batch=1, device="cpu", threads=1)


def test_networks_are_measured_one_after_another_and_kept():
    phase = Latencies([row("a"), row("b")], bounds=Bounds())
    assert phase.next(0.0, room=2) == Measure(graph="graph a")
    assert phase.next(0.0, room=2) is Rest.WAIT
    phase.measured(latency(), 1.0)
    assert phase.next(1.0, room=2) == Keep("a", latency())
    assert phase.next(1.0, room=2) == Measure(graph="graph b")
    phase.measured("it died", 2.0)
    assert phase.next(2.0, room=2) == Keep("b", "it died")
    assert phase.next(2.0, room=2) == Say("net b: it died")
    assert phase.next(2.0, room=2) is Rest.DONE


def test_a_measurement_that_takes_too_long_is_dropped():
    phase = Latencies([row("a"), row("b")], bounds=Bounds(time_s=100.0, export=True))
    assert phase.next(0.0, room=2) == Measure(graph="graph a")
    assert isinstance(phase.next(120.0, room=2), DropMeasurement)
    assert phase.next(120.0, room=2) == Say("net a: no time is left to measure its latency")
    assert phase.next(120.0, room=2) is Rest.DONE
