"""What trials that were cut short, failed or trained for less say of a network."""

import math

import pytest

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey, trial_name
from archsearch.archive.orders import Length, Order, Training, Trial
from archsearch.strategy.samplers.evidence import SEED_DEVIATION, results, running
from archsearch.training.job import Outcome


def training(number, accuracy, *, status="complete", rung=0, reports=None, **outcome) -> Training:
    name = trial_name(number)
    design = Design(name=name, label=name, origin="search", graph=name, flops=1)
    key = JobKey("search", name, rung=rung)
    ended = None
    if status != "running":
        ended = Outcome(key=str(key), status=status, val_accuracy=accuracy, **outcome)
    length = Length(100 * 4**rung, 4**rung)
    order = Order(key=key, design=design, length=length, seed=0, decision=number)
    return Training(order=order, reports=reports or {}, outcome=ended)


def trial(number, *trainings) -> Trial:
    design = trainings[0].order.design
    return Trial(number=number, knobs={}, design=design, trainings=trainings)


def trained(*accuracies, **known) -> list[Trial]:
    return [trial(n, training(n, accuracy, **known)) for n, accuracy in enumerate(accuracies)]


def test_what_has_ended_counts_and_what_runs_does_not():
    trials = [*trained(0.5, 0.6), trial(2, training(2, None, status="running"))]
    assert [(r.trial, r.accuracy, r.length) for r in results(trials)] == [(0, 0.5, 0), (1, 0.6, 0)]
    assert running(trials) == [2]


@pytest.mark.parametrize(("images", "few"), [(None, 0.0), (100, 0.5 * 0.8 * 0.2 / 100)])
def test_noise_is_that_of_seeds_and_of_few_images(images, few):
    [found] = results(trained(0.8), val_images=images)
    assert found.variance == pytest.approx(SEED_DEVIATION**2 + few)


def test_a_training_that_was_cut_short_is_taken_for_what_its_peers_became():
    curves = {0: 0.2, 1: 0.3, 2: 0.4}
    peers = [
        trial(n, training(n, 0.5 + 0.1 * n, reports={1: first, 2: 0.5 + 0.1 * n}))
        for n, first in curves.items()
    ]
    low = trial(3, training(3, 0.2, status="pruned", reports={1: 0.2}))
    middle = trial(4, training(4, 0.3, status="pruned", reports={1: 0.3}))
    found = {result.trial: result for result in results([*peers, low, middle])}
    assert found[4].accuracy == pytest.approx(0.6)
    assert 0.5 < found[3].accuracy < 0.6  # drawn towards the mean, as early figures say little
    assert found[3].variance > found[0].variance


def test_nothing_is_made_of_it_without_peers():
    trials = [*trained(0.5, 0.6), trial(2, training(2, 0.2, status="pruned", reports={1: 0.2}))]
    assert [result.trial for result in results(trials)] == [0, 1]


def test_a_network_that_failed_is_as_bad_as_the_worst_and_a_machine_that_failed_says_nothing():
    failed = [
        training(n, None, status="failed", cause=c) for n, c in ((2, "network"), (3, "worker"))
    ]
    found = results([*trained(0.5, 0.6), *(trial(n, t) for n, t in enumerate(failed, start=2))])
    assert [(result.trial, result.accuracy) for result in found] == [(0, 0.5), (1, 0.6), (2, 0.5)]
    assert found[2].variance > found[0].variance


def test_not_a_number_is_no_result():
    assert [result.trial for result in results(trained(0.5, math.nan, 0.6))] == [0, 2]


def test_longer_trainings_are_put_on_the_scale_of_shorter_ones():
    trials = [
        trial(0, training(0, 0.5), training(0, 0.7, rung=1)),
        trial(1, training(1, 0.4), training(1, 0.58, rung=1)),
        trial(2, training(2, 0.3)),
    ]
    found = [(r.trial, r.length, round(r.accuracy, 3)) for r in results(trials)]
    # They gained 0.20 and 0.18, so 0.19 is what length is worth.
    assert found == [(0, -2, 0.5), (0, 0, 0.51), (1, -2, 0.4), (1, 0, 0.39), (2, -2, 0.3)]
