"""Fits with latencies that follow from the FLOPs, so that every one of them is the same each time."""

import random

import pytest

from archsearch.errors import ArchsearchError
from archsearch.exchange.latency import Latency
from archsearch.readings.cost import cost
from archsearch.space.budget import Budget
from archsearch.space.solve import solve
from archsearch.strategy.latency_fit import GOOD, MOST, Fit, Fitting, LatencyBound
from archsearch.testing.toy_space import REQUEST, ToySpace

SPACE = ToySpace()
KNOBS = {"depth": 4, "kernel": 3, "bias": False}
FULL = solve(SPACE, KNOBS, REQUEST)


def within(flops):
    return solve(SPACE, KNOBS, REQUEST, within=Budget(1, flops))


def fitted(bound_ms, latency) -> Fit:
    fit = Fit(FULL, bound_ms, within)
    while not fit.done:
        fit.tell(latency(fit.candidate.cost.flops))
    return fit


def linear(overhead_ms, ms_per_mflop):
    return lambda flops: overhead_ms + ms_per_mflop * flops / 1e6


def test_what_is_quick_enough_at_the_budget_is_measured_once():
    fit = fitted(5.0, linear(1.0, 3.0))
    assert fit.best is FULL
    assert len(fit.measured) == 1


@pytest.mark.parametrize("bound_ms", [9.0, 5.0, 3.0, 1.9])
@pytest.mark.parametrize("overhead_ms", [0.0, 0.5, 1.5])
def test_a_slow_one_is_solved_for_as_many_flops_as_the_bound_allows(bound_ms, overhead_ms):
    latency = linear(overhead_ms, 10.0)
    fit = fitted(bound_ms, latency)
    assert fit.best is not None
    assert GOOD * bound_ms <= latency(fit.best.cost.flops) <= bound_ms
    assert len(fit.measured) <= 4
    assert fit.best.knobs == FULL.knobs
    assert fit.best.cost == cost(fit.best.graph)


def test_noise_costs_measurements_not_the_end():
    rng = random.Random(0)
    ends = []
    for _ in range(200):
        fit = fitted(4.0, lambda flops: (0.5 + 10e-6 * flops) * rng.uniform(1.0, 1.4))
        assert fit.best is not None
        assert len(fit.measured) <= MOST + 1
        ends.append((0.5 + 10e-6 * fit.best.cost.flops) / 4.0)
    assert all(share <= 1.0 for share in ends)
    assert sum(ends) / len(ends) > 0.75


def test_a_measurement_disturbed_for_a_while_is_not_believed():
    rng = random.Random(1)

    def disturbed(flops):
        calm = 0.5 + 10e-6 * flops
        return calm * (rng.uniform(2, 4) if rng.random() < 0.25 else 1.0)

    shares = []
    for _ in range(200):
        fit = fitted(4.0, disturbed)
        if fit.best is None:
            assert all(measured.ms > 4.0 for measured in fit.measured)
            continue
        shares.append((0.5 + 10e-6 * fit.best.cost.flops) / 4.0)
    assert len(shares) > 195
    assert max(shares) <= 1.0
    assert sum(share >= 0.8 for share in shares) > 0.85 * len(shares)


def test_a_bound_out_of_reach_is_told_by_the_smallest_network():
    fit = fitted(1.0, linear(2.0, 10.0))
    assert fit.best is None
    assert len(fit.measured) <= MOST + 2
    assert fit.measured[-1].flops == fit.measured[-2].flops  # it is measured twice
    least = min(measured.flops for measured in fit.measured)
    with pytest.raises(ArchsearchError):
        within(int(0.97 * least))


def test_the_smallest_network_is_not_given_up_for_one_disturbed_measurement():
    smallest = fitted(1.0, linear(2.0, 10.0)).measured[-1].flops
    once = [50.0]
    fit = fitted(1.0, lambda flops: 50.0 if flops > smallest else (once.pop() if once else 0.99))
    assert fit.best is not None
    assert fit.best.cost.flops == smallest


def test_only_the_smallest_network_is_quick_enough():
    smallest = fitted(1.0, linear(2.0, 10.0)).measured[-1]
    fit = fitted(1.0, lambda flops: 0.99 if flops <= smallest.flops else 50.0)
    assert fit.best is not None
    assert fit.best.cost.flops == smallest.flops


def bound_of(max_ms=5.0) -> LatencyBound:
    def solved(knobs, flops):
        return solve(SPACE, knobs, REQUEST, within=Budget(1, flops))

    return LatencyBound(max_ms=max_ms, text=f"{max_ms:g}ms", solve=solved)


def measured(latency, flops: int) -> Latency:
    ms = latency(flops)
    return Latency(
        median_ms=ms / 0.9, p10_ms=ms, p90_ms=1.3 * ms, calls=30, batch=1, device="cpu", threads=1
    )


def told(latency) -> Fitting:
    fitting = Fitting(bound_of(), KNOBS, FULL)
    while not fitting.over:
        fitting.tell(measured(latency, fitting.wanted.cost.flops))
    return fitting


def test_a_fit_keeps_what_it_measured():
    fitting = told(linear(1.0, 10.0))
    assert fitting.fault == ""
    assert fitting.bound
    found = fitting.result
    assert found.bound_by == "latency"
    assert GOOD * 5 <= found.ms <= 5
    assert found.measured[0][0] == FULL.cost.flops
    assert fitting.candidate.cost.flops == found.measured[-1][0]


def test_a_fit_that_finds_none_says_so():
    fitting = told(linear(9.0, 1.0))
    assert not fitting.bound
    assert "the least it reaches, take 9." in fitting.fault
    assert "--max-latency is 5ms" in fitting.fault


def test_what_cannot_be_measured_is_asked_for_once_more():
    fitting = Fitting(bound_of(), KNOBS, FULL)
    fitting.fail("it died")
    assert not fitting.over
    assert fitting.wanted is FULL
    fitting.tell(measured(lambda flops: 1.0, FULL.cost.flops))
    assert (fitting.over, fitting.fault, fitting.candidate is FULL) == (True, "", True)
    fitting = Fitting(bound_of(), KNOBS, FULL)
    fitting.fail("it died")
    fitting.fail("it died")
    assert fitting.over
    assert fitting.fault == "its latency could not be measured: it died"
