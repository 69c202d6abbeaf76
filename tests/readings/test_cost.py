"""Costs against the lecture's numbers and arithmetic done by hand."""

from dataclasses import replace
from importlib.util import find_spec

import pytest

from archsearch.ir import ops
from archsearch.ir.graph import Graph, Node
from archsearch.ir.tracer import Tracer
from archsearch.readings.cost import cost, node_flops
from archsearch.readings.table import layers, profile, stages
from archsearch.space.registry import find_baseline


def test_the_lectures_alexnet_table():
    table = {row.name: row for row in layers(find_baseline("alexnet").build((227, 227, 3)))}
    assert table["conv1"].output == (56, 56, 64)
    assert table["conv1"].activation_bytes == 784 * 1024
    assert table["conv1"].params == 23_296
    assert table["conv1"].flops == 72_855_552
    assert table["pool1"].output == (27, 27, 64)
    assert table["pool1"].activation_bytes == 182.25 * 1024
    assert table["pool1"].flops == 419_904
    assert table["pool5"].output == (6, 6, 256)
    assert table["flatten"].output == (9216,)
    assert table["fc6"].params == 9216 * 4096 + 4096
    assert table["fc6"].flops == 37_748_736


def test_its_lesson_memory_early_parameters_late_flops_in_convolutions():
    shares = {s.stage: s for s in stages(find_baseline("alexnet").build())}
    assert max(shares, key=lambda s: shares[s].activation_share) == "conv1"
    assert sum(shares[s].params_share for s in ("fc6", "fc7", "fc8")) > 0.9
    assert sum(shares[f"conv{i}"].flops_share for i in range(1, 6)) > 0.9


@pytest.mark.parametrize(
    ("groups", "weights"), [(1, 307_200 * 2), (2, 307_200)]
)  # the two-tower paper's conv2 has 307,200 weights: 256 @ 5×5 on 96 channels in two groups
def test_grouped_weights(groups, weights):
    net = Tracer("n", (27, 27, 96))
    x = net.conv(net.input, 256, kernel=5, groups=groups)
    graph = net.finish(net.dense(net.global_avg_pool(x), 2, bias=False))
    assert cost(graph).params == weights + 512
    assert cost(graph).flops == weights * 27 * 27 + 512


def test_depthwise_costs_one_channel_a_filter():
    net = Tracer("n", (14, 14, 32))
    x = net.conv(net.input, 32, kernel=3, groups=32)
    graph = net.finish(net.dense(net.global_avg_pool(x), 2))
    assert node_flops(graph.nodes[1].op, ((14, 14, 32),), (14, 14, 32)) == 14 * 14 * 32 * 9


def test_batch_norm_has_two_parameters_a_channel_and_training_costs_three_forwards():
    net = Tracer("n", (8, 8, 3))
    graph = net.finish(net.dense(net.global_avg_pool(net.batch_norm(net.input)), 2))
    assert cost(graph).params == 6 + 8
    assert cost(graph).training_flops(10) == 3 * 10 * cost(graph).flops


def test_auxiliary_classifiers_cost_nothing_in_use():
    def build(aux):
        net = Tracer("n", (8, 8, 3))
        x = net.conv(net.input, 4, kernel=3)
        if aux:
            net.auxiliary(net.dense(net.global_avg_pool(net.conv(x, 9, kernel=1)), 7))
        return net.finish(net.dense(net.flatten(x), 7))

    assert cost(build(True)) == cost(build(False))
    assert [r.name for r in layers(build(True))] == [
        *[r.name for r in layers(build(False))][:-1],
        "dense2",
    ]


def test_an_op_that_does_not_say_its_cost_is_never_free():
    class Odd(ops.Op):
        kind = "odd"

        def infer(self, *inputs):
            return inputs[0]

    graph = Graph("odd", (Node("input", ops.Input((1, 1, 3)), (), (1, 1, 3)),))
    graph = replace(graph, nodes=(*graph.nodes, Node("odd", Odd(), (0,), (1, 1, 3))))
    with pytest.raises(NotImplementedError):
        cost(graph)


def test_profile_adds_up():
    p = profile(find_baseline("resnet50").build())
    assert p["params"] == sum(layer["params"] for layer in p["layers"]) == 25_557_032
    assert p["flops"] == sum(x["flops"] for x in p["layers"] if x["kind"] in {"conv", "dense"})
    assert p["activation_bytes"] == sum(x["activation_bytes"] for x in p["layers"])
    assert p["flops"] == sum(s["flops"] for s in p["stages"])
    assert p["input"] == [224, 224, 3]


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
def test_training_takes_the_flops_that_pytorch_counts():
    import torch
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    net = Tracer("n", (8, 8, 3))
    x = net.conv(net.conv(net.input, 4, kernel=3), 6, kernel=3, stride=2)
    graph = net.finish(net.dense(net.flatten(x), 7))
    twin = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Flatten(),
        nn.Linear(4 * 4 * 6, 7),
    )  # fmt: skip
    images = torch.zeros(5, 3, 8, 8, requires_grad=True)  # or the first layer has less to do
    with FlopCounterMode(display=False) as counter:
        twin(images).sum().backward()
    # There an addition and a multiplication are two.
    assert counter.get_total_flops() == 2 * cost(graph).training_flops(5)
