"""The figures a training's time is judged by, counted by hand."""

from dataclasses import replace
from math import exp, log2

import pytest

from archsearch.ir.tracer import Tracer
from archsearch.readings.cost import cost
from archsearch.readings.workload import Workload, log_effort, workload
from tests.networks import resnext_like, vgg_like


def test_figures_of_a_network_of_two_layers():
    net = Tracer("n", (8, 8, 3))
    x = net.batch_norm(net.conv(net.input, 16, kernel=3))
    graph = net.finish(net.dense(net.global_avg_pool(x), 10))
    found = workload(graph)
    assert found.flops == log2(8 * 8 * 16 * 27 + 160)
    assert found.elements == log2(2 * 8 * 8 * 16 + 16 + 10)
    assert found.ops == 2  # four
    assert found.params == log2(27 * 16 + 2 * 16 + 160 + 10)
    assert found.thin == 0


def test_depthwise_convolutions_are_thin_and_others_are_not():
    net = Tracer("n", (8, 8, 16))
    x = net.conv(net.input, 16, kernel=3, groups=16)
    graph = net.finish(net.dense(net.global_avg_pool(net.conv(x, 32, kernel=1)), 2))
    depthwise = 8 * 8 * 16 * 9
    assert workload(graph).thin == depthwise / (depthwise + 8 * 8 * 16 * 32 + 64)
    assert workload(vgg_like()).thin == 0


@pytest.mark.parametrize("graph", [vgg_like(), resnext_like()])
def test_what_costs_count_too_is_the_same(graph):
    found, price = workload(graph), cost(graph)
    assert (2**found.flops, 2**found.params) == pytest.approx((price.flops, price.params))


def test_more_of_anything_takes_longer():
    plain = Workload(flops=24.0, elements=18.0, ops=5.0, params=18.0, thin=0.0)
    for more in ({"elements": 20.0}, {"ops": 7.0}, {"flops": 26.0}):
        assert exp(log_effort(replace(plain, **more)) - log_effort(plain)) > 1.05
