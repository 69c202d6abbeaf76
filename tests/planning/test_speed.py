"""What a network's time is beside others', by its workload alone."""

from dataclasses import replace

import pytest

from archsearch.planning.speed import effort, typical
from archsearch.readings.workload import Workload

PLAIN = Workload(flops=24.0, elements=18.0, ops=5.0, params=18.0, thin=0.0)
BROAD = replace(PLAIN, elements=20.0)


def test_more_of_anything_takes_longer():
    for changed in (BROAD, replace(PLAIN, ops=7.0), replace(PLAIN, flops=26.0)):
        assert effort(changed) > 1.05 * effort(PLAIN)


def test_a_network_of_the_same_kind_takes_as_long_as_it_was_measured():
    assert typical([PLAIN, PLAIN], [PLAIN]) == pytest.approx(1.0)
    assert typical([], [PLAIN]) == typical([PLAIN], []) == 1.0


def test_what_was_measured_is_set_beside_what_will_be_trained():
    ratio = effort(BROAD) / effort(PLAIN)
    assert typical([PLAIN], [BROAD]) == pytest.approx(ratio)
    assert typical([PLAIN, BROAD], [PLAIN, BROAD]) == pytest.approx(1.0)
    assert typical([PLAIN], [PLAIN, BROAD]) == pytest.approx((1 + ratio) / 2)
