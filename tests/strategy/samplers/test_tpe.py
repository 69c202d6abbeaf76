import math
import random
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import optuna
import pytest

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey, trial_name
from archsearch.archive.optuna_terms import distributions
from archsearch.archive.orders import Length, Order, Training, Trial
from archsearch.seeds import derive_seed
from archsearch.space.knobs import ChoiceKnob, IntKnob
from archsearch.strategy.fidelities.median import MedianPruning
from archsearch.strategy.sampler import Choices, Known
from archsearch.strategy.samplers.known_tpe import KnownTpe
from archsearch.strategy.samplers.tpe import ATTEMPTS, MODELLED, TpeSampler, _frozen
from archsearch.training.job import Outcome

KNOBS = (
    IntKnob("depth", 1, 12),
    ChoiceKnob("kernel", (1, 3, 5)),
    ChoiceKnob("bias", (True, False)),
)
STARTUP = 4


def order(number: int, knobs=None) -> Order:
    name = trial_name(number)
    design = Design(name=name, label=name, origin="search", graph=name, flops=1)
    return Order(
        key=JobKey("search", name), design=design, knobs=knobs or {}, length=Length(60, 6), seed=0,
        decision=number,
    )  # fmt: skip


def past(count: int, *, running: int = 0, seed: int = 0) -> list[Trial]:
    """Trials whose accuracy grows with depth; the last ones are under way."""
    rng = random.Random(seed)
    trials = []
    for number in range(count):
        knobs = {"depth": rng.randint(1, 12), "kernel": rng.choice((1, 3, 5)), "bias": True}
        accuracy = knobs["depth"] / 12
        made = order(number, knobs)
        outcome = Outcome(key=str(made.key), status="complete", val_accuracy=accuracy)
        training = Training(
            order=made,
            reports={epoch: accuracy * epoch / 4 for epoch in range(1, 5)},
            outcome=None if number >= count - running else outcome,
        )
        trials.append(Trial(number=number, knobs=knobs, design=made.design, trainings=(training,)))
    return trials


def known(trials: list[Trial], window: int = 1, seed: int = 0) -> Known:
    count = len(trials)
    recent = range(max(0, count - window + 1), count)
    return Known.of(trials, decision=count, window=window, seed=seed, recent=recent)


def propose(trials: list[Trial], window: int = 1, seed: int = 0, count: int = 1) -> list[dict]:
    choices = Choices(knobs=KNOBS, solve=lambda knobs: None, trials=3 * STARTUP, seed=seed)
    return list(islice(TpeSampler(choices).propose(known(trials, window, seed)), count))


def test_proposals_follow_from_what_is_known_alone():
    assert propose(past(15), count=ATTEMPTS) == propose(past(15), count=ATTEMPTS + 5)
    assert len(propose(past(15), count=ATTEMPTS)) == ATTEMPTS
    by_seed = {tuple(propose(past(15), seed=seed)[0].items()) for seed in range(10)}
    assert len(by_seed) > 1


def test_what_runs_may_already_have_ended_without_changing_a_thing():
    assert propose(past(15), window=3) == propose(past(15, running=2), window=3)


def test_values_are_plain_and_in_range():
    for knobs in propose(past(12), count=ATTEMPTS):
        assert list(knobs) == ["depth", "kernel", "bias"]
        assert [type(value) for value in knobs.values()] == [int, int, bool]
        assert 1 <= knobs["depth"] <= 12
        assert knobs["kernel"] in (1, 3, 5)


def test_the_model_learns_what_is_good():
    depths = [propose(past(30, seed=s), seed=s)[0]["depth"] for s in range(20)]
    assert sum(depths) / len(depths) > 8  # chance gives 6.5


@pytest.mark.parametrize(
    ("curve", "hopeless"),
    [
        ({1: 0.01, 2: 0.01}, False),  # warming up
        ({1: 0.01, 2: 0.01, 3: 0.01}, True),
        ({1: 0.9, 2: 0.9, 3: 0.9}, False),
        ({1: 0.9, 2: 0.01, 3: 0.01}, False),  # it has been good once
        ({1: 0.01, 2: 0.01, 6: 0.01}, False),  # it is through
    ],
)
def test_below_the_median_is_hopeless_after_the_warm_up(curve, hopeless):
    why = MedianPruning(STARTUP).judge(curve, order(15), known(past(15)))
    assert bool(why) is hopeless
    assert not hopeless or why.endswith("after epoch 3")


def test_nothing_is_hopeless_while_little_is_known():
    curve = {1: 0.0, 2: 0.0, 3: 0.0}
    assert not MedianPruning(STARTUP).judge(curve, order(3), known(past(3)))
    # Nor do trials count that were under way when this one began.
    assert not MedianPruning(STARTUP).judge(curve, order(6), known(past(6), window=4))


def test_seeds_differ_by_purpose_and_fit_31_bits():
    seeds = {derive_seed(s, what, n) for s in range(5) for what in "ab" for n in range(50)}
    assert len(seeds) == 500
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert not math.isclose(sum(seeds) / 500, 0)


def mixed(count: int, seed: int = 0) -> list[Trial]:
    """Trials of all kinds: some cut short, some failed."""
    rng = random.Random(seed)
    found = []
    for trial in past(count, seed=seed):
        (training,) = trial.trainings
        status = rng.choices(("complete", "pruned", "failed"), (6, 3, 1))[0]
        accuracy = None if status == "failed" else training.reports[rng.randint(2, 4)]
        reports = {epoch: training.reports[epoch] for epoch in range(1, rng.randint(2, 4))}
        outcome = replace(training.outcome, status=status, val_accuracy=accuracy)
        ended = replace(training, outcome=outcome, reports=reports)
        found.append(replace(trial, trainings=(ended,)))
    return found


@pytest.mark.parametrize("count", [3, 20, 100, MODELLED])
def test_proposals_are_optunas_own(count: int):
    space, trials = distributions(KNOBS), mixed(count)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="maximize")
        study.add_trials([_frozen(trial, space) for trial in trials])
        theirs = []
        for attempt in range(ATTEMPTS):
            seed = known(trials).seed_of("knobs", attempt)
            study.sampler = optuna.samplers.TPESampler(
                seed=seed, multivariate=True, constant_liar=True, n_startup_trials=STARTUP
            )
            theirs.append(study.ask(space).params)
    assert propose(trials, count=ATTEMPTS) == theirs


def test_the_model_is_of_the_best_and_of_the_newest_others(monkeypatch):
    seen: list[set[int]] = []
    counted = KnownTpe._get_internal_repr

    def note(self, trials, *rest):
        seen.append({trial.number for trial in trials})
        return counted(self, trials, *rest)

    monkeypatch.setattr(KnownTpe, "_get_internal_repr", note)
    trials = mixed(1000)
    propose(trials)
    below, above = seen
    complete = [t for t in trials if t.last.outcome.status == "complete"]
    best = sorted(complete, key=lambda trial: (-trial.last.outcome.val_accuracy, trial.number))
    assert below == {trial.number for trial in best[:25]}
    others = [t.number for t in trials if t.last.outcome.status != "failed"]
    others = [number for number in others if number not in below]
    assert above == set(others[25 - MODELLED :])


def calls(work: Callable[[], object]) -> int:
    """Return how many functions are called, Python's own and C's."""
    made = 0

    def note(frame, event, _) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return made


def test_a_decision_takes_no_more_work_the_more_trials_there_are():
    choices = Choices(knobs=KNOBS, solve=lambda knobs: None, trials=3 * STARTUP, seed=0)
    sampler, pruning, trials = TpeSampler(choices), MedianPruning(STARTUP), mixed(1201)

    def decide(count: int) -> None:
        what = known(trials[:count], window=3)
        assert len(list(sampler.propose(what))) == ATTEMPTS
        pruning.judge({1: 0.1, 2: 0.1, 3: 0.1}, order(count), what)

    made = {}
    for count in (300, 1200):
        decide(count)
        made[count] = calls(lambda count=count: decide(count + 1))
    assert made[1200] < 1.05 * made[300]


def test_what_was_made_for_one_decision_changes_no_other():
    choices = Choices(knobs=KNOBS, solve=lambda knobs: None, trials=3 * STARTUP, seed=0)
    sampler, pruning, trials = TpeSampler(choices), MedianPruning(STARTUP), mixed(400)
    for count in (300, 20, 290, 400, 5, 399):
        what = known(trials[:count], window=3)
        assert list(sampler.propose(what)) == list(TpeSampler(choices).propose(what))
        for accuracy in (0.1, 0.5, 0.9):
            curve = dict.fromkeys((1, 2, 3), accuracy)
            asked = order(count), what
            assert pruning.judge(curve, *asked) == MedianPruning(STARTUP).judge(curve, *asked)


def test_trials_are_compared_by_what_all_have_the_shortest_training():
    """Those that trained on, and are more accurate for it, change nothing."""
    trials = past(40)
    longer = []
    for number, trial in enumerate(trials):
        made = replace(trial.last.order, key=JobKey("search", trial.design.name, rung=1))
        outcome = Outcome(key=str(made.key), status="complete", val_accuracy=0.99)
        again = Training(order=made, outcome=outcome)
        longer.append(trial if number % 3 else replace(trial, trainings=(*trial.trainings, again)))
    assert proposals(longer) == proposals(trials)


def proposals(trials: list[Trial]) -> list[dict]:
    choices = Choices(knobs=KNOBS, solve=lambda knobs: None, trials=60)
    return list(TpeSampler(choices).propose(known(trials)))
