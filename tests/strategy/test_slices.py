"""A search of several budgets: turns, what is known within one of them, one model for all."""

from dataclasses import replace
from random import Random

import pytest

from archsearch.archive.orders import Length
from archsearch.space.budget import Budget
from archsearch.space.budgets import knobs_of, slices_of
from archsearch.space.knobs import IntKnob
from archsearch.space.registry import find_space
from archsearch.space.solve import solve
from archsearch.strategy.bounds import Bounds
from archsearch.strategy.fidelities.full import FullLength
from archsearch.strategy.fidelities.median import MedianPruning
from archsearch.strategy.sampler import Choices, Known, find_sampler
from archsearch.strategy.samplers.gp import GpSampler
from archsearch.strategy.search import Search, SearchPlan
from archsearch.strategy.slices import SliceView, samplers_of
from archsearch.testing.sampler_case import hash_share
from archsearch.testing.simulation import Simulation
from archsearch.testing.toy_space import REQUEST, ToySpace, toy_choices
from tests.rungs import Halving

BUDGETS = (400_000, 1_000_000, 2_500_000)
SPACE = ToySpace()


def choices_of(trials: int = 12) -> Choices:
    def of_slice(request) -> Choices:
        return Choices(
            knobs=SPACE.knobs(request),
            solve=lambda knobs: solve(SPACE, knobs, request),
            classic=SPACE.classic_knobs(request),
            trials=trials,
            budget=request.budget.high,
        )

    requests = slices_of(REQUEST, BUDGETS)
    slices = tuple(map(of_slice, requests))
    return replace(slices[-1], budget=None, knobs=knobs_of(SPACE, requests), slices=slices)


def learned(order, epoch):
    """Twice the FLOPs, more than any design makes up for; of one budget the deepest is best."""
    size = BUDGETS.index(order.design.budget)
    depth = len(order.design.solved.widths)
    return 0.1 * (1 + 2 * size) + 0.02 * depth + 0.01 * epoch + 0.001 * hash_share(order)


def searched(name="random", *, fidelity=FullLength, trials=12, killed_at=None, workers=1):
    choices = choices_of(trials)
    plan = SearchPlan(
        choices=choices, sampler=samplers_of(find_sampler(name), choices),
        fidelity=fidelity(choices.startup), length=lambda flops: Length(400, 4), matched=False,
        window=workers,
    )  # fmt: skip
    made = Simulation(learned, workers=workers)
    if killed_at is not None:
        made.run(Search(plan, bounds=Bounds()), until=lambda s: len(s.trials) > killed_at)
        made = Simulation(learned, workers=workers, trials=list(made.trials))
    made.run(Search(plan, bounds=Bounds(), trials=made.trials))
    return made.trials


def test_budgets_of_a_range_grow_by_one_factor_and_can_be_written():
    from archsearch.units import parse_slices

    assert parse_slices("100M:1G", 5) == (
        100_000_000, 178_000_000, 316_000_000, 562_000_000, 1_000_000_000,
    )  # fmt: skip
    assert parse_slices("400M,100M") == (100_000_000, 400_000_000)
    assert parse_slices("3.8G:4.2G") == parse_slices("4G") == ()


def test_a_slice_is_a_cap_that_is_filled():
    for request, flops in zip(slices_of(REQUEST, BUDGETS), BUDGETS, strict=True):
        assert request == replace(REQUEST, budget=Budget.cap(flops, REQUEST.input))


def test_the_knobs_of_all_slices_have_the_values_of_each():
    space = find_space("resnet")
    asked = replace(REQUEST, input=(32, 32, 3), classes=10)
    requests = slices_of(asked, (10_000_000, 100_000_000, 1_000_000_000))
    every = {knob.name: knob for knob in knobs_of(space, requests)}
    sets = [{k.name: k for k in space.knobs(request)} for request in requests]
    assert sets[0] != sets[-1]
    for knobs in sets:
        assert set(knobs) == set(every)
        for name, knob in knobs.items():
            assert set(knob.values()) <= set(every[name].values())
            assert isinstance(knob, IntKnob) == isinstance(every[name], IntKnob)
    assert knobs_of(space, requests[:1]) == space.knobs(requests[0])


@pytest.mark.parametrize("name", ["gp", "tpe", "evolution", "local", "random"])
def test_slices_take_turns_and_every_network_fills_its_own(name):
    trials = searched(name, trials=18)
    assert [trial.design.budget for trial in trials] == [*BUDGETS] * 6
    for trial in trials:
        assert trial.design.flops in Budget.cap(trial.design.budget, REQUEST.input)
    assert len({trial.design.graph for trial in trials}) == 18


@pytest.mark.parametrize("name", ["gp", "tpe"])
def test_a_search_of_slices_that_was_killed_goes_on_as_if_nothing_had_happened(name):
    whole = searched(name, trials=15, workers=2, fidelity=Halving)
    again = searched(name, trials=15, workers=2, fidelity=Halving, killed_at=9)
    assert again == whole


def test_networks_are_promoted_within_their_slice():
    # By accuracy alone all of them would be the largest.
    trials = searched(fidelity=Halving, trials=24)
    longer = [trial for trial in trials if len(trial.trainings) > 1]
    assert sorted({trial.design.budget for trial in longer}) == list(BUDGETS)
    for flops in BUDGETS:
        first = min(
            (trial for trial in longer if trial.design.budget == flops),
            key=lambda trial: trial.trainings[1].order.decision,
        )
        peers = [
            other.trainings[0].outcome.val_accuracy
            for other in trials
            if other.design.budget == flops
            and other.trainings[0].order.decision < first.trainings[1].order.decision
        ]
        assert first.trainings[0].outcome.val_accuracy == max(peers)


def test_no_network_is_cut_short_for_being_small():
    trials = searched(fidelity=MedianPruning, trials=36)
    pruned = [trial for trial in trials if trial.last.outcome.status == "pruned"]
    # Below the median of all would be all the small ones, and no large one.
    shares = [sum(trial.design.budget == flops for trial in pruned) for flops in BUDGETS]
    assert shares[0] < 6
    assert shares[2] > 0


def test_what_is_known_of_a_slice_is_numbered_anew_and_nothing_else_is_touched():
    known = Known(decision=12, trials=tuple(searched()), seed=3)
    seen, numbers = SliceView(BUDGETS[1]).of(known)
    assert list(numbers) == [1, 4, 7, 10]
    assert [trial.number for trial in seen.trials] == [0, 1, 2, 3]
    assert [replace(t, number=n) for t, n in zip(seen.trials, numbers, strict=True)] == [
        known.trials[number] for number in numbers
    ]
    one = Known(
        decision=4, trials=tuple(replace(t, number=i) for i, t in enumerate(seen.trials)), seed=3
    )
    assert SliceView(BUDGETS[1]).of(one)[0] is one


def test_what_was_learnt_at_one_budget_serves_another():
    """A model that has seen no network of a slice proposes what is good in the others."""
    choices = choices_of(trials=40)
    trials = [t for t in searched(trials=45) if t.design.budget != BUDGETS[2]]
    known = Known(
        decision=30, trials=tuple(replace(t, number=i) for i, t in enumerate(trials)), seed=1
    )
    joint, own = GpSampler(choices), choices.slices[2]
    proposals = list(joint.of_slice(own).propose(known))
    depths = [int(knobs["depth"]) for knobs in proposals[:3]]
    assert min(depths) >= 5  # of 2 to 6
    rng = Random(0)
    drawn = [rng.choice(range(2, 7)) for _ in range(300)]
    assert sum(depths) / 3 > sum(drawn) / 300 + 1


def test_flops_are_a_feature_of_networks_of_several_budgets_only():
    choices = choices_of()
    joint, one = GpSampler(choices), GpSampler(toy_choices())
    place = one._grid.place(choices.slices[0].classic)
    seen = [
        joint.of_slice(own)._entry(place).description.features["log_flops"]
        for own in choices.slices
    ]
    assert seen == sorted(seen)
    assert 2 ** seen[0] in Budget.cap(BUDGETS[0], REQUEST.input)
    assert "log_flops" not in one._entry(place).description.features
