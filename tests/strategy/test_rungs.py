"""Short trainings first: how long they are, who trains in full, and what share of the compute that takes."""

from dataclasses import replace

import pytest

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey
from archsearch.archive.orders import Length, Order, Training, Trial
from archsearch.strategy.bounds import Bounds, Load
from archsearch.strategy.fidelities.rungs import Rungs
from archsearch.strategy.fidelity import Outlook, chosen, find_fidelity
from archsearch.strategy.phase import Close
from archsearch.strategy.sampler import Known
from archsearch.strategy.samplers.chance import RandomSampler
from archsearch.strategy.search import Search, SearchPlan
from archsearch.testing.sampler_case import learned
from archsearch.testing.simulation import Simulation
from archsearch.testing.toy_space import toy_choices
from archsearch.training.job import Outcome

FULL = Length(3000, 30)
SHORT = Length(400, 4)
TIMES = 7.5  # a full training costs as much as so many short ones


@pytest.mark.parametrize(
    ("epochs", "short"),
    [(1, None), (4, None), (8, None), (9, 4), (24, 4), (30, 4), (60, 5), (90, 8), (200, 17)],
)
def test_the_short_length_is_from_a_sixteenth_to_an_eighth_but_four_epochs_at_least(epochs, short):
    rungs = Rungs(4).rungs(Length(100 * epochs, epochs))
    assert rungs[-1] == Length(100 * epochs, epochs)
    assert rungs[:-1] == (() if short is None else (Length(100 * short, short),))
    if short is not None and short > 4:
        assert 1 / 16 <= short / epochs <= 1 / 8


@pytest.mark.parametrize(("images", "epochs"), [(950, 10), (2951, 30), (8888, 89)])
def test_a_length_with_a_part_of_an_epoch_gives_whole_short_ones(images, epochs):
    """Of a hundred images an epoch: workers count epochs from images."""
    short, _ = Rungs(4).rungs(Length(images, epochs))
    assert -(-short.images // 100) == short.epochs


def test_the_scheme_follows_from_the_length_where_none_is_asked_for():
    assert [chosen("auto", epochs) for epochs in (1, 4, 8, 9, 90)] == [
        "median", "median", "median", "rungs", "rungs",
    ]  # fmt: skip
    assert chosen("none", 90) == "none"
    assert find_fidelity("rungs") is Rungs


# --- who is promoted ------------------------------------------------------------------------------------


def trial(number: int, *values: float | str | None, origin: str = "search") -> Trial:
    """A trial with a training a value: accuracy, how it ended, or None where it runs."""
    design = Design(
        name=f"trial-{number:04d}", label="", origin=origin, graph=str(number), flops=1000
    )
    trainings = []
    for rung, value in enumerate(values):
        order = Order(
            key=JobKey("search", design.name, rung=rung), design=design, seed=0,
            length=(SHORT, FULL)[rung], decision=number,
        )  # fmt: skip
        outcome = None
        if isinstance(value, str):
            outcome = Outcome(key=str(order.key), status=value, images=100)
        elif value is not None:
            outcome = Outcome(
                key=str(order.key),
                status="complete",
                images=order.length.images,
                val_accuracy=value,
            )
        trainings.append(Training(order=order, outcome=outcome))
    return Trial(number=number, knobs={}, design=design, trainings=tuple(trainings))


def promoted(trials, *, predicted=None) -> int | None:
    known = Known(decision=len(trials), trials=tuple(trials), seed=0)
    found = Rungs(4).promote(known, Outlook(length=lambda flops: FULL, predicted=predicted))
    assert found is None or found.rung == 1
    return None if found is None else found.trial


def last(trials, *, predicted=None) -> int | None:
    """Return who is promoted when nothing new is tried any more."""
    known = Known(decision=len(trials), trials=tuple(trials), seed=0)
    outlook = Outlook(length=lambda flops: FULL, predicted=predicted, closing=True)
    found = Rungs(4).promote(known, outlook)
    return None if found is None else found.trial


def candidates(count: int, *, begin: int = 1) -> list[Trial]:
    """Short trainings, the later the better."""
    return [trial(number, 0.3 + number / 1000) for number in range(begin, begin + count)]


MATCHED = trial(0, 0.5, origin="matched")


def test_three_quarters_are_spent_on_short_trainings_before_one_is_paid():
    # 22.5 of them cost three times as much as a full one.
    assert promoted(candidates(22)) is None
    assert promoted(candidates(23)) == 23
    again = [*candidates(22), trial(23, 0.4, 0.8)]
    assert promoted(again) is None
    assert promoted([*again, *candidates(21, begin=24)]) is None
    assert promoted([*again, *candidates(22, begin=24)]) == 45


def test_a_full_training_that_runs_counts_as_a_whole_one():
    assert promoted([*candidates(22), trial(23, 0.4, None)]) is None


def test_one_that_failed_early_is_paid_for_as_far_as_it_went():
    # A thirtieth of the length: 0.25 short ones, and three times that.
    assert promoted([*candidates(22), trial(23, 0.4, "failed")]) is None
    assert promoted([*candidates(23), trial(24, 0.4, "failed")]) == 23


def test_who_runs_or_failed_is_not_promoted():
    later = [trial(24, None), trial(25, "failed"), trial(26, "pruned")]
    assert promoted([*candidates(23), *later]) == 23


def test_the_first_of_equals_is_promoted():
    assert promoted([trial(number, 0.5) for number in range(1, 25)]) == 1


def test_the_matched_baseline_comes_once_the_short_ones_cost_as_much_and_is_not_counted():
    assert promoted([MATCHED, *candidates(6)]) is None
    assert promoted([MATCHED, *candidates(7)]) == 0
    there = trial(0, 0.5, 0.9, origin="matched")
    assert promoted([there, *candidates(22)]) is None
    assert promoted([there, *candidates(23)]) == 23


def test_a_model_says_who_is_best():
    def predicted(known):
        return {trial.number: 1 - trial.number / 100 for trial in known.trials}

    assert promoted(candidates(23), predicted=predicted) == 1
    # Where it does not know all of them the short trainings say it.
    assert promoted(candidates(23), predicted=lambda known: {}) == 23


def test_short_trainings_are_not_cut_short_and_full_ones_are():
    known = Known(
        decision=9, seed=0, trials=tuple(trial(number, 0.5, 0.8) for number in range(1, 9))
    )
    peers = tuple(
        replace(
            t,
            trainings=tuple(
                replace(training, reports={e: 0.02 * e for e in range(1, 31)})
                for training in t.trainings
            ),
        )
        for t in known.trials
    )
    known = replace(known, trials=peers)
    short, full = (training.order for training in trial(9, None, None).trainings)
    hopeless = dict.fromkeys(range(1, 4), 0.001)
    assert Rungs(4).judge(hopeless, short, known) == ""
    hopeless = dict.fromkeys(range(1, 16), 0.001)
    assert "below the median" in Rungs(4).judge(hopeless, full, known)


# --- when nothing new is tried any more -----------------------------------------------------------------


def test_the_best_is_followed_up_though_short_trainings_have_not_paid_for_it():
    assert last([MATCHED, *candidates(6)]) == 6
    assert last([]) is last([MATCHED]) is None
    assert last([MATCHED, trial(1, None), trial(2, "failed")]) is None


def test_nothing_is_where_the_best_has_trained_in_full():
    done = [MATCHED, *candidates(20), trial(21, 0.9, 0.5)]
    assert last(done) is None  # all others are worse after a short training
    assert last([*done, trial(22, 0.95)]) == 22
    # Of a model that knows lengths the full training counts.
    assert last(done, predicted=lambda known: dict.fromkeys(range(22), 0.0) | {7: 1.0}) == 7


def test_a_second_one_must_be_paid_for_by_as_much_of_short_trainings():
    # Each full one costs as much as 7.5 short ones.
    assert last([trial(0, 0.1, 0.1), *candidates(13)]) is None
    assert last([trial(0, 0.1, 0.1), *candidates(14)]) == 14


def test_one_that_failed_is_not_taken_for_the_best():
    assert last([trial(0, 0.9, "failed"), *candidates(20)]) == 20


# --- whole searches -------------------------------------------------------------------------------------


def searched(trials: int, *, workers: int = 1, bounds: Bounds | None = None) -> Simulation:
    choices = toy_choices(trials=trials)
    plan = SearchPlan(
        choices=choices, sampler=RandomSampler(choices), fidelity=Rungs(choices.startup),
        length=lambda flops: FULL, window=workers, prune=False,
    )  # fmt: skip
    made = Simulation(learned, workers=workers)
    made.run(Search(plan, bounds=bounds or Bounds()))
    return made


@pytest.mark.parametrize("workers", [1, 3])
def test_a_search_promotes_as_many_as_its_plan_says(workers):
    found = searched(30, workers=workers)
    assert len(found.trials) == 30
    again = [t for t in found.trials if len(t.trainings) > 1]
    assert len(again) == Rungs(4).promotions(30, FULL) == 2
    assert again[0].design.origin == "matched"
    flops = {0: 0, 1: 0}
    for order in found.ended:
        if order.design.role == "candidate":
            flops[order.key.rung] += order.flops
    assert 0.74 < flops[0] / sum(flops.values()) <= 0.8


@pytest.mark.parametrize("workers", [1, 3])
def test_of_few_trials_the_best_trains_in_full_at_the_end(workers):
    found = searched(6, workers=workers)
    *short, last = found.ended
    assert [order.key.rung for order in short] == [0] * 6
    assert last.key.rung == Rungs(4).promotions(6, FULL) == 1
    candidates = [one for one in found.trials if one.design.role == "candidate"]
    best = max(candidates, key=lambda one: one.trainings[0].outcome.val_accuracy)
    assert last.design == best.design


def test_a_full_training_that_does_not_fit_leaves_room_for_short_ones():
    """A bound of five full trainings, two of which are for the finals."""
    one = 3 * toy_choices(trials=1).solve(toy_choices(trials=1).classic).cost.flops * FULL.images
    bounds = Bounds(
        flops=5.0 * one, text="--search-flops F", trial=Load(flops=one), finals=Load(flops=2 * one)
    )
    found = searched(1000, bounds=bounds)
    full = [order for order in found.ended if order.key.rung]
    assert [order.design.origin for order in full] == ["matched"]
    # The matched baseline took one of three; what is left holds as many short ones as fit.
    assert len(found.trials) == pytest.approx(2 * TIMES, abs=1.5)
    [closed] = [step for step in found.steps if isinstance(step, Close)]
    assert "no other fits into --search-flops F" in closed.why
