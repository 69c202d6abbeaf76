"""What the search's own sampler goes by, and what a proposal of it costs."""

from collections.abc import Callable
from dataclasses import replace
from math import exp
from statistics import fmean

import numpy as np
import pytest

from archsearch.archive.orders import Length
from archsearch.errors import UserError
from archsearch.readings.workload import log_effort, workload
from archsearch.space.budget import Budget, Request
from archsearch.space.registry import find_space
from archsearch.space.solve import solve
from archsearch.strategy.bounds import Bounds
from archsearch.strategy.fidelities.full import FullLength
from archsearch.strategy.fidelities.rungs import Rungs
from archsearch.strategy.sampler import Choices, Known, Predictor, Sampler
from archsearch.strategy.samplers import descriptions
from archsearch.strategy.samplers.chance import RandomSampler
from archsearch.strategy.samplers.gp import STARTUP, GpSampler
from archsearch.strategy.search import Search, SearchPlan
from archsearch.surrogate import fitting, model
from archsearch.surrogate.prior import LinearPrior
from archsearch.testing.sampler_case import after_trials, hash_share, nothing_known
from archsearch.testing.simulation import Simulation
from archsearch.testing.toy_space import toy_choices


def choices_of(
    name: str, *, relax: frozenset[str] = frozenset(), trials: int = 40, seed: int = 0
) -> Choices:
    space = find_space(name)
    request = Request((32, 32, 3), 10, Budget(19_000_000, 20_000_000), relax)
    return Choices(
        knobs=space.knobs(request),
        solve=lambda knobs: solve(space, knobs, request),
        classic=space.classic_knobs(request),
        trials=trials,
        seed=seed,
    )


def search(
    choices: Choices,
    sampler: Sampler,
    accuracy: Callable[..., float],
    window: int = 1,
    *,
    epoch_s: Callable[..., float] = lambda order: 1.0,
):
    plan = SearchPlan(
        choices=choices,
        sampler=sampler,
        fidelity=FullLength(choices.startup),
        length=lambda flops: Length(400, 4),
        window=window,
    )
    made = Simulation(lambda order, epoch: accuracy(order.design), workers=1, epoch_s=epoch_s)
    made.run(Search(plan, bounds=Bounds()))
    return made.trials


def many_activations(design) -> float:
    """An accuracy that rises with activation memory, whatever the family."""
    return 0.2 + 0.05 * float(np.log2(design.activation_bytes) - 14)


def all_alike(design) -> float:
    """An accuracy that follows from nothing that is known of a network."""
    return 0.5 + 0.01 * int(design.graph, 16) / 16 ** len(design.graph)


def best_of(trials) -> float:
    return max(trial.last.outcome.val_accuracy for trial in trials)


def test_it_finds_in_fifteen_trials_what_chance_does_not_in_thirty():
    found, chance = [], []
    for seed in range(2):
        ours, theirs = (choices_of("lecture", trials=n, seed=seed) for n in (15, 30))
        found.append(best_of(search(ours, GpSampler(ours), many_activations)))
        chance.append(best_of(search(theirs, RandomSampler(theirs), many_activations)))
    assert fmean(found) > fmean(chance)


def test_under_a_bound_on_time_what_trains_sooner_is_tried_first():
    def effort(one) -> float:  # a trial, or an order
        return log_effort(workload(choices.solve(one.knobs).graph))

    def took_s(order) -> float:
        return exp(effort(order))

    choices = choices_of("lecture", trials=14)
    hurried = replace(choices, time_s=1e9)
    usual, quick = (
        fmean(map(effort, search(c, GpSampler(c), all_alike, epoch_s=took_s)[STARTUP:]))
        for c in (choices, hurried)
    )
    assert quick < usual - 0.1


def test_a_proposal_solves_for_few_networks_and_factorises_few_matrices(monkeypatch):
    solved = factorised = 0
    choices = choices_of("resnext", trials=30)

    def counting(matrix):
        nonlocal factorised
        factorised += 1
        return factor(matrix)

    def solving(knobs):
        nonlocal solved
        solved += 1
        return choices.solve(knobs)

    factor = fitting.factor
    monkeypatch.setattr(fitting, "factor", counting)
    monkeypatch.setattr(model, "factor", counting)
    asked = replace(choices, solve=solving)
    sampler, spent = GpSampler(asked), []

    class Counted:
        def propose(self, known):
            nonlocal solved, factorised
            solved = factorised = 0
            proposals = list(sampler.propose(known))
            spent.append((solved, factorised))
            return iter(proposals)

    search(asked, Counted(), many_activations, window=3)
    # The draws of the first decision are candidates of the next ones, too.
    assert spent[0][0] <= 72
    assert all(number <= 56 for number, _ in spent[1:])
    assert fmean(number for number, _ in spent[1:]) <= 10
    assert all(number <= fitting.STEPS + fitting.STEPS // 3 + 4 for _, number in spent)


def test_scales_are_fitted_to_so_many_trials_at_most(monkeypatch):
    sizes = []
    factor = fitting.factor
    monkeypatch.setattr(fitting, "factor", lambda m: (sizes.append(len(m)), factor(m))[1])
    evidence = model.Observations(
        model.Points.of(np.random.default_rng(0).normal(size=(300, 2))),
        np.random.default_rng(1).normal(size=300),
        np.full(300, 0.1),
    )
    columns, hyperpriors = model.Columns((False, False), (0, 0)), fitting.Hyperpriors(
        lengths=(1.0,), amplitudes=(1.0,)
    )  # fmt: skip
    model.model_of(evidence, columns, hyperpriors)
    assert set(sizes) == {fitting.MODELLED}
    chosen = model._fitted_to(evidence.values)
    best = np.argsort(-evidence.values)[: fitting.MODELLED // 2]
    assert set(best) <= set(chosen)
    assert len(set(chosen)) == fitting.MODELLED
    assert {299, 298, 297} <= set(chosen)


def test_no_proposal_is_a_network_that_was_tried():
    choices = choices_of("lecture", trials=15)
    trials = search(choices, GpSampler(choices), many_activations)
    graphs = [trial.design.graph for trial in trials]
    assert len(set(graphs)) == 15
    # Levels that a family has no knob for make no other network: none of those was even proposed.
    assert all(trial.skipped == 0 for trial in trials)


def test_it_starts_by_chance():
    choices = choices_of("resnet")
    firsts = {
        tuple(next(GpSampler(choices).propose(replace(nothing_known(), seed=seed))).values())
        for seed in range(5)
    }
    assert len(firsts) == 5


def test_findings_of_the_rules_are_features():
    choices = choices_of("resnet", relax=frozenset({"identity-shortcut"}))
    describer = descriptions.Describer(GpSampler(choices)._grid, choices.solve)
    grid = GpSampler(choices)._grid
    held = grid.place(choices.classic)
    freed = {
        name
        for knob in choices.knobs
        for value in knob.values()
        for name, count in describer.describe(
            grid.place({**choices.classic, knob.name: value})
        ).features.items()
        if name.startswith("departs from ") and count
    }
    kept = describer.describe(held).features
    assert not any(count for name, count in kept.items() if name.startswith("departs from "))
    assert freed


def test_settings_without_a_network_are_passed_over():
    choices = toy_choices()

    def solve_some(knobs):
        if knobs["kernel"] == 3:
            raise UserError("no network")
        return choices.solve(knobs)

    known = after_trials(GpSampler, 8)
    proposals = list(GpSampler(replace(choices, solve=solve_some)).propose(known))
    assert proposals
    assert all(knobs["kernel"] != 3 for knobs in proposals)


MOST_ACTIVATIONS = LinearPrior({"log_activation_bytes": 1.0})


def test_a_prior_is_asked_before_anything_is_known():
    choices = choices_of("lecture")
    known = Known(decision=2, trials=(), seed=0)
    plain = GpSampler(choices)
    led = GpSampler(replace(choices, prior=MOST_ACTIVATIONS))
    asked = {
        which: choices.solve(next(sampler.propose(known))).cost.activation_bytes
        for which, sampler in (("plain", plain), ("led", led))
    }
    assert asked["led"] > asked["plain"]


def test_where_many_workers_wait_for_results_chance_keeps_its_half():
    choices = choices_of("lenet")
    plain, led = GpSampler(choices), GpSampler(replace(choices, prior=MOST_ACTIVATIONS))

    def alike(decision: int) -> bool:
        known = Known(decision=decision, trials=(), seed=0)
        return next(plain.propose(known)) == next(led.propose(known))

    assert [alike(decision) for decision in range(8)] == [True, True, False, False] + [
        True,
        False,
    ] * 2


@pytest.mark.parametrize("window", [1, 4])
def test_what_was_made_for_one_decision_changes_no_other(window):
    choices = choices_of("resnext", trials=12)
    trials = search(choices, GpSampler(choices), many_activations, window)
    used = GpSampler(choices)
    for count in (12, 5, 9, 12, 3):
        known = Known.of(
            trials[:count], decision=count, window=window, seed=0,
            recent=range(max(0, count - window + 1), count),
        )  # fmt: skip
        assert list(used.propose(known)) == list(GpSampler(choices).propose(known))


def test_who_trains_in_full_goes_by_the_model_and_not_by_lucky_short_trainings():
    choices = choices_of("lecture", trials=26)

    def learn(order, epoch):
        return many_activations(order.design) + 0.1 * (hash_share(order) - 0.5)

    sampler = GpSampler(choices)
    plan = SearchPlan(
        choices=choices, sampler=sampler, fidelity=Rungs(choices.startup),
        length=lambda flops: Length(3000, 30), window=1,
    )  # fmt: skip
    made = Simulation(learn)
    made.run(Search(plan, bounds=Bounds()))
    assert isinstance(sampler, Predictor)
    shorts = [replace(trial, trainings=trial.trainings[:1]) for trial in made.trials]
    known = Known(decision=26, trials=tuple(shorts), seed=0)
    expected = sampler.predicted(known)
    assert sorted(expected) == list(range(26))
    truth = [many_activations(trial.design) for trial in shorts]
    seen = [trial.last.outcome.val_accuracy for trial in shorts]
    told = [expected[number] for number in range(26)]
    assert np.corrcoef(told, truth)[0, 1] > np.corrcoef(seen, truth)[0, 1]
    [promoted] = [t for t in made.trials[1:] if len(t.trainings) > 1]
    before = promoted.trainings[1].order.decision
    at = Known(decision=before, trials=tuple(shorts[: before - 1]), seed=0)
    expected = sampler.predicted(at)
    assert promoted.number == max(list(expected)[1:], key=expected.__getitem__)
    assert sampler.predicted(Known(decision=2, trials=tuple(shorts[:2]), seed=0)) == {}


def test_partial_dependence_follows_what_decides():
    choices = toy_choices(trials=14)
    trials = search(choices, RandomSampler(choices), lambda design: 0.5 + 0.08 * depth_of(design))
    known = Known(decision=len(trials), trials=tuple(trials), seed=0)
    found = GpSampler(choices).dependence(known)
    assert set(found) == {"depth", "kernel", "bias"}
    assert [one.value for one in found["depth"]] == [2, 3, 4, 5, 6]
    accuracies = [one.accuracy for one in found["depth"]]
    assert accuracies == sorted(accuracies)
    assert accuracies[-1] - accuracies[0] == pytest.approx(0.32, abs=0.08)
    for name in ("kernel", "bias"):
        spread = [one.accuracy for one in found[name]]
        assert max(spread) - min(spread) < 0.08
    assert all(one.sd > 0 for values in found.values() for one in values)
    assert GpSampler(choices).dependence(Known(decision=0, trials=(), seed=0)) == {}


def depth_of(design) -> int:
    return len(design.solved.widths)
