"""The phase that measures the pace, event by event: no engine, no clock."""

from dataclasses import replace
from math import exp

import pytest

from archsearch.engines.engine import Machine
from archsearch.planning.pace import PaceMeasuring, typical
from archsearch.planning.problem import pose
from archsearch.readings.workload import Workload, log_effort, workload
from archsearch.settings import RunSettings
from archsearch.strategy.phase import Begin, Rest
from archsearch.training.job import Outcome

PLAIN = Workload(flops=24.0, elements=18.0, ops=5.0, params=18.0, thin=0.0)
BROAD = replace(PLAIN, elements=20.0)


@pytest.fixture
def phase(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    settings = RunSettings(space="vgg", flops="20M", backend="tensorflow", home=str(tmp_path))
    return PaceMeasuring(pose(settings, Machine(cores=2)), workers=2)


def answer(order, **changes):
    made = {"status": "complete", "images_per_s": 100.0, "evaluated_per_s": 200.0, "total_s": 3.0}
    return Outcome(key=str(order.key), **(made | changes))


def test_each_worker_measures_once(phase):
    first, second = (phase.next(0.0, room=1) for _ in range(2))
    assert isinstance(first, Begin)
    assert isinstance(second, Begin)
    assert phase.next(0.0, room=0) is Rest.WAIT
    phase.ended(first.order, answer(first.order), 5.0)
    phase.ended(second.order, answer(second.order, images_per_s=50.0), 6.0)
    assert phase.next(6.0, room=2) is Rest.DONE
    assert phase.found.images_per_s == pytest.approx(200 / 3)
    assert phase.found.process_s == 2.0


def test_one_that_failed_does_not_hide_the_other(phase):
    first, second = (phase.next(0.0, room=1) for _ in range(2))
    phase.ended(first.order, answer(first.order), 5.0)
    phase.ended(second.order, answer(second.order, status="failed", reason="no memory"), 6.0)
    assert phase.found.failed == "1 of 2 trainings failed: no memory"


def test_given_up_before_all_have_answered_there_is_no_pace(phase):
    first = phase.next(0.0, room=1)
    phase.next(0.0, room=1)
    phase.ended(first.order, answer(first.order), 5.0)
    assert phase.found == "interrupted"


def test_the_networks_that_will_be_trained_are_set_beside_those_that_were_measured(phase):
    first, second = (phase.next(0.0, room=1) for _ in range(2))
    phase.ended(first.order, answer(first.order), 5.0)
    phase.ended(second.order, answer(second.order, status="failed", images_per_s=0.0), 6.0)
    every = phase._problem.workloads()
    assert len(every) > 20
    assert phase.found.typical == pytest.approx(typical([workload(first.network)], every))
    assert 0.5 < phase.found.typical < 2


def test_a_network_of_the_same_kind_takes_as_long_as_it_was_measured():
    assert typical([PLAIN, PLAIN], [PLAIN]) == pytest.approx(1.0)
    assert typical([], [PLAIN]) == typical([PLAIN], []) == 1.0


def test_what_was_measured_is_set_beside_what_will_be_trained():
    ratio = exp(log_effort(BROAD) - log_effort(PLAIN))
    assert typical([PLAIN], [BROAD]) == pytest.approx(ratio)
    assert typical([PLAIN, BROAD], [PLAIN, BROAD]) == pytest.approx(1.0)
    assert typical([PLAIN], [PLAIN, BROAD]) == pytest.approx((1 + ratio) / 2)
