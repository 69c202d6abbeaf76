"""Phases as tables: what happens, and what is ordered. No engine, no storage, no clock."""

from dataclasses import replace

import pytest

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey, trial_name
from archsearch.archive.leaderboard import Row
from archsearch.archive.orders import Length, Order
from archsearch.exchange.latency import Latency
from archsearch.statistics.posterior import Evidence
from archsearch.strategy.allocation import Contest
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
    bounds = Bounds(time_s=10.0, text="--max-time 10s", trial=Load(6.0, 1.0), finals=Load(0.0, 1.0))
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
        "the search ends within an epoch: --max-time 100s is over", full=True
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


def finals(*, seeds=2, count=2, bounds=None, done=None) -> Finals:
    plan = FinalsPlan(
        entrants=tuple(map(entrant, range(count))), seeds=seeds, seed=0,
        length=lambda flops: Length(400, 4),
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


def contest(
    values, *, trainings, bounds=None, done=None, matched="", window=1, **changes
) -> Finals:
    """Finals of networks with these values of the search, in whole percents."""
    contestants = {trial_name(n): entrant(n) for n in range(len(values))}
    known = tuple(
        Evidence(name=name, values=(value / 100,))
        for name, value in zip(contestants, values, strict=True)
    )
    plan = FinalsPlan(
        seeds=2, seed=0, length=lambda flops: Length(400, 4), contestants=contestants,
        contest=Contest(contestants=known, matched=matched, trainings=trainings, images=300),
        window=window, **changes,
    )  # fmt: skip
    return Finals(plan, bounds=bounds or Bounds(), done=done or {})


def played(phase, true, *, workers=1, last_first=False, now_s=0.0) -> list[str]:
    """Run finals whose trainings come to what is true of their network; return their keys in order."""
    running, seen = [], []
    while True:
        step = phase.next(now_s, room=workers - len(running))
        if isinstance(step, Begin):
            running.append(step.order)
            seen.append(str(step.order.key))
        elif running:
            order = running.pop(-1 if last_first else 0)
            now_s += 4.0
            accuracy = true[int(order.key.name[-4:])] / 100
            phase.ended(order, done(order, accuracy), now_s)
        elif step is Rest.DONE:
            return seen


def test_the_best_candidate_and_the_baseline_come_first_whatever_is_known_of_them():
    phase = contest([97, 95, 90, 80], trainings=2, matched=trial_name(3))
    assert played(phase, [97, 95, 90, 80]) == ["final-0000-seed1", "final-0003-seed1"]
    assert phase.left == ""


def test_a_training_goes_where_it_may_change_who_wins():
    # The first falls back in its retraining: now it is the second that may be the best.
    seen = played(contest([97, 96.5, 80, 79], trainings=3), [94, 96.5, 80, 79])
    assert seen[:2] == ["final-0000-seed1", "final-0001-seed1"]
    assert not {"final-0002-seed1", "final-0003-seed1"} & set(seen)
    # Where it holds, and the second is far behind, nobody gets what those near each other do.
    near = contest([97, 96.9, 96.8, 96.7], trainings=6)
    assert len({key[:10] for key in played(near, [97, 96.9, 96.8, 96.7])}) > 2


@pytest.mark.parametrize("workers", [2, 3])
def test_what_is_decided_does_not_depend_on_who_ends_first(workers):
    values = [97, 96.9, 96.5, 96, 95, 94]
    one = played(contest(values, trainings=8, window=workers), values[::-1], workers=workers)
    other = contest(values, trainings=8, window=workers)
    assert played(other, values[::-1], workers=workers, last_first=True) == one
    alone = contest(values, trainings=8, window=workers)
    assert played(alone, values[::-1], workers=1) == one


def test_finals_go_on_as_if_nothing_had_happened():
    values, true = [97, 96.9, 96.5, 96, 95], [93, 96, 97, 94, 95]
    whole = played(contest(values, trainings=7, window=2), true, workers=2)
    for count in range(len(whole)):
        keys = [JobKey.parse(key) for key in whole[:count]]
        kept = {
            key: Outcome(
                key=str(key), status="complete", val_accuracy=true[int(key.name[-4:])] / 100
            )
            for key in keys
        }
        assert whole[:count] + played(
            contest(values, trainings=7, window=2, done=kept), true, workers=2
        ) == whole  # fmt: skip


def test_a_network_that_failed_gets_no_other_training():
    phase = contest([97, 90, 80], trainings=3)
    first = phase.next(0.0, room=1)
    assert str(first.order.key) == "final-0000-seed1"
    phase.ended(first.order, done(first.order, status="failed", val_accuracy=None), 1.0)
    rest = played(phase, [97, 90, 80])
    assert rest[0] == "final-0001-seed1"
    assert not [key for key in rest if key.startswith("final-0000")]


def test_where_a_bound_ended_the_search_only_what_is_worth_it_is_trained():
    bounds = Bounds(time_s=1000.0, text="--max-time 1000s")
    clear = contest([97, 80, 79, 78], trainings=6, bounds=bounds, thrifty=True, further=True)
    seen = played(clear, [97, 80, 79, 78])
    assert 1 <= len(seen) < 6
    assert (clear.left, clear.further) == ("", "")
    # Those that are near each other get more than was asked for, as far as the bound goes.
    values = [97, 96.9, 96.8, 96.7]
    near = contest(
        values, trainings=2, bounds=Bounds(time_s=17.0, text="t"), thrifty=True, further=True
    )
    assert len(played(near, values)) == 4
    assert near.left == ""
    assert near.further == "what was left went into 2 further trainings of the finalists"
    asked = contest(values, trainings=2, bounds=Bounds(time_s=17.0, text="t"), thrifty=True)
    assert len(played(asked, values)) == 2


def test_decisions_that_do_not_fit_are_left():
    bounds = Bounds(time_s=9.0, text="--max-time 9s")
    phase = contest([97, 96.9, 96.8], trainings=4, bounds=bounds)
    assert len(played(phase, [97, 96.9, 96.8])) == 2
    assert phase.left == "the finals end with 2 trainings left: no other fits into --max-time 9s"


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
