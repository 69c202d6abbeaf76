"""How long trainings take beside one another, before and after some have been seen."""

from dataclasses import replace

import numpy as np
import pytest

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey, trial_name
from archsearch.archive.orders import Length, Order, Training, Trial
from archsearch.readings.workload import COEFFICIENTS, Workload, log_effort
from archsearch.strategy.sampler import Known
from archsearch.strategy.samplers.durations import Timed, drawn, log_durations, share_left
from archsearch.strategy.samplers.excerpt import MODELLED, Excerpt
from archsearch.training.job import Outcome


def load(*, elements: float = 18.0, ops: float = 5.0) -> Workload:
    return Workload(flops=24.0, elements=elements, ops=ops, params=18.0, thin=0.0)


def trial(number: int, total_s: float, *, status: str = "complete") -> Trial:
    name = trial_name(number)
    design = Design(name=name, label=name, origin="search", graph=name, flops=1)
    order = Order(
        key=JobKey("search", name), design=design, knobs={}, length=Length(1, 1), seed=0, decision=number
    )  # fmt: skip
    outcome = Outcome(key=str(order.key), status=status, total_s=total_s)
    return Trial(
        number=number, knobs={}, design=design, trainings=(Training(order=order, outcome=outcome),)
    )


CANDIDATES = [load(), load(elements=20.0), load(ops=8.0)]


def test_before_anything_is_known_it_is_what_many_trainings_took():
    expected = [log_effort(one) for one in CANDIDATES]
    assert log_durations([], {}, CANDIDATES) == pytest.approx(expected)
    assert log_durations([trial(0, 9.0)], {0: load()}, CANDIDATES) == pytest.approx(expected)
    assert log_durations([], {}, []).shape == (0,)


def test_where_the_number_of_ops_decides_it_is_learnt():
    """As on a GPU, where each op takes its time to be begun, and what goes through memory hardly counts."""
    rng = np.random.default_rng(0)
    loads = {n: load(elements=rng.uniform(16, 22), ops=rng.uniform(4, 9)) for n in range(12)}
    took = [trial(n, 0.5 * 2**one.ops) for n, one in loads.items()]
    plain, wide, deep = log_durations(took, loads, CANDIDATES)
    assert deep - plain == pytest.approx(np.log(2**3), rel=0.2)
    assert abs(wide - plain) < 0.1
    before = log_durations([], {}, CANDIDATES)
    assert before[1] > before[2]  # what it would have been taken for


def test_what_earlier_studies_say_counts_until_the_own_trainings_say_otherwise():
    """Those take it for a machine on which ops hardly count; here they are all that does."""
    wrong = Workload(flops=0.4, elements=0.6, ops=-0.2, params=0.0, thin=0.0)
    rng = np.random.default_rng(0)
    loads = {n: load(elements=rng.uniform(16, 22), ops=rng.uniform(4, 9)) for n in range(24)}
    took = [trial(n, 0.5 * 2**one.ops) for n, one in loads.items()]
    off = []
    for known in (0, 6, 12, 24):
        plain, _, deep = log_durations(took[:known], loads, CANDIDATES, wrong)
        if not known:
            assert deep - plain == pytest.approx(-0.2 * 3)
        off.append(abs(deep - plain - np.log(2**3)))
    assert off == sorted(off, reverse=True)
    assert off[1] < 0.3 * off[0]
    assert off[3] < 0.05 * off[0]


def test_each_study_has_a_speed_of_its_own():
    """A busy machine trains all of one study's networks slower: that is no network's doing."""
    figures = np.array([load(ops=n).figures() for n in (4.0, 5.0, 6.0, 7.0)])
    rise, before = np.log(2) * figures[:, 2], np.array(COEFFICIENTS.figures())
    alone = drawn([Timed(figures, rise)], before)
    assert drawn([Timed(figures, rise + 3.0)], before) == pytest.approx(alone)
    together = drawn([Timed(figures, rise), Timed(figures[::-1], rise[::-1] + 3.0)], before)
    assert alone[2] < together[2] < np.log(2)
    assert drawn([], before) == pytest.approx(before)


def test_trainings_that_did_not_end_teach_nothing():
    loads = {0: load(), 1: load(ops=9.0), 2: load(elements=21.0)}
    cut = [trial(0, 5.0, status="pruned"), trial(1, 90.0, status="failed"), trial(2, 0.0)]
    assert log_durations(cut, loads, CANDIDATES) == pytest.approx(log_durations([], {}, CANDIDATES))


def test_the_less_time_is_left_the_less_it_counts():
    assert share_left(0.0, 100.0) == 1.0
    assert share_left(60.0, 100.0) == pytest.approx(0.4)
    assert share_left(200.0, 100.0) == 0.0


def test_time_is_that_of_all_trainings_of_a_large_study_too():
    trials = [trial(n, 2.0) for n in range(MODELLED + 50)]
    excerpt = Excerpt()
    known = Known(decision=len(trials), trials=tuple(trials), seed=0)
    assert len(excerpt.of(known).trials) == MODELLED
    assert excerpt.took_s == 2.0 * (MODELLED + 50)
    excerpt.of(replace(known, trials=known.trials[:10]))
    assert excerpt.took_s == 20.0
