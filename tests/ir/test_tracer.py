"""Scopes, blocks and names."""

import pytest

from archsearch.errors import GraphError
from archsearch.ir.channels import Channels
from archsearch.ir.tracer import Tracer
from archsearch.readings.cost import cost
from archsearch.space.form import derive_form


def _unit(net, x, filters, *, twice=False):
    y = net.relu(net.conv(x, filters, kernel=3))
    if twice:
        y = net.add(y, net.conv(x, filters, kernel=1))
    return net.add(y, x)


def _written(use_block):
    net = Tracer("n", (8, 8, 3))
    x = net.conv(net.input, 6, kernel=3)
    for i in range(4):
        if use_block:
            x = net.block(f"stage{i // 2}.block{i % 2}", _unit, x, filters=6, twice=i % 2 == 1)
        else:
            with net.scope(f"stage{i // 2}"), net.scope(f"block{i % 2}"):
                x = _unit(net, x, 6, twice=i % 2 == 1)
    return net.finish(net.dense(net.global_avg_pool(x), 5))


def test_a_block_is_what_its_function_writes():
    assert _written(use_block=True) == _written(use_block=False)


def test_a_block_that_returns_its_input_adds_nothing():
    net = Tracer("n", (8, 8, 3))
    x = net.conv(net.input, 4, kernel=1)
    for i in range(3):
        y = net.block(f"b{i}", lambda net, x: x, x)
        assert y.index == x.index


def test_nested_blocks_are_copied_with_their_paths():
    def inner(net, x):
        return net.relu(x)

    def outer(net, x):
        return net.block("in", inner, net.block("in2", inner, x))

    net = Tracer("n", (4, 4, 2))
    x = net.block("a", outer, net.input)
    x = net.block("b", outer, x)
    graph = net.finish(net.dense(net.flatten(x), 2))
    assert [n.name for n in graph][1:5] == [
        "a.in2.relu1",
        "a.in.relu1",
        "b.in2.relu1",
        "b.in.relu1",
    ]
    assert [n.inputs for n in graph][1:5] == [(0,), (1,), (2,), (3,)]


def test_copied_blocks_survive_each_with_its_own_probability():
    def branch(net, x, survival=1.0):
        y = net.conv(x, 4, kernel=3)
        return net.add(x, net.drop_path(y, survival) if survival < 1 else y)

    def written(use_block):
        net = Tracer("n", (4, 4, 4))
        x = net.input
        for i, survival in enumerate((0.9, 0.8, 1.0, 0.7, 1.0)):
            if use_block:
                x = net.block(f"block{i}", branch, x, survival=survival)
            else:
                with net.scope(f"block{i}"):
                    x = branch(net, x, survival)
        return net.finish(net.dense(net.flatten(x), 2))

    assert written(use_block=True) == written(use_block=False)


def test_auxiliary_scores_are_marked():
    net = Tracer("n", (8, 8, 3))
    x = net.conv(net.input, 4, kernel=3)
    net.auxiliary(net.dense(net.global_avg_pool(x), 7, name="aux"))
    graph = net.finish(net.dense(net.flatten(x), 7))
    assert [graph.nodes[i].name for i in graph.auxiliary] == ["aux"]


def test_groups_of_one_width_follow_a_width_that_is_not_known():
    """As many groups as the width asks for: the form has the FLOPs of any such number."""

    def build(net, widths):
        x = net.conv(net.input, widths["groups"] * 8, kernel=1)
        x = net.conv(x, x.channels, kernel=3, groups=widths["groups"])
        return net.dense(net.global_avg_pool(x), 10)

    form = derive_form(build, (6, 6, 3), ["groups"])
    for groups in (2, 5):
        net = Tracer("known", (6, 6, 3))
        assert (
            form.value({"groups": groups}) == cost(net.finish(build(net, {"groups": groups}))).flops
        )
    with pytest.raises(GraphError, match=r"2·a is no multiple of a \+ 1"):
        (Channels.named("a") * 2).times(Channels.named("a") + 1)
