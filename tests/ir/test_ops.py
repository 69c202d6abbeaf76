"""Shapes and checks of single ops, against the lecture's formula and torch-style known sizes."""

import sys

import pytest

from archsearch.errors import GraphError
from archsearch.ir import ops
from archsearch.ir.channels import Channels
from archsearch.ir.tracer import Tracer


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "padding", "expected"),
    [
        (227, 11, 4, 2, 56),  # the lecture's AlexNet conv1
        (227, 11, 4, 0, 55),  # the paper's
        (224, 7, 2, 3, 112),
        (112, 3, 2, 1, 56),
        (7, 7, 1, 0, 1),
    ],
)
def test_conv_side_is_the_lectures_formula(side, kernel, stride, padding, expected):
    net = Tracer("n", (side, side, 3))
    x = net.conv(net.input, 8, kernel=kernel, stride=stride, padding=padding)
    assert x.shape == (expected, expected, 8)
    assert expected == (side - kernel + 2 * padding) // stride + 1


@pytest.mark.parametrize(
    ("side", "padding", "ceil", "expected"),
    [
        (55, 0, True, 27),
        (54, 0, False, 26),
        (54, 0, True, 27),
        (56, 0, True, 28),
        (112, 1, True, 57),
    ],
)
def test_ceil_pools_like_torch(side, padding, ceil, expected):
    # torch.nn.MaxPool2d(3, 2, padding, ceil_mode=ceil): 112 with padding 1 gives 57 in ceil mode.
    net = Tracer("n", (side, side, 4))
    x = net.max_pool(net.input, kernel=3, stride=2, padding=padding, ceil=ceil)
    assert x.shape[0] == expected


def test_keras_padding_is_uneven():
    net = Tracer("n", (224, 224, 3))
    x = net.conv(net.input, 8, kernel=3, stride=2, padding="keras")
    assert x.shape == (112, 112, 8)
    graph = net.finish(net.dense(net.global_avg_pool(x), 2))
    assert graph.nodes[1].op.padding == (0, 1, 0, 1)


def test_group_error_names_place_and_way_out():
    net = Tracer("resnext", (32, 32, 3))
    with net.scope("s2"), net.scope("b0"):
        x = net.conv(net.input, 48, kernel=1)
        with pytest.raises(
            GraphError,
            match=r"resnext: s2\.b0\.conv2: 48 channels not divisible by 32 groups; try 64",
        ):
            net.conv(x, 64, kernel=3, groups=32)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda net, x: net.conv(x, 0, kernel=3), "filters must be at least 1"),
        (lambda net, x: net.conv(x, 4, kernel=4), "has no centre"),
        (
            lambda net, x: net.conv(x, 4, kernel=9, padding="valid"),
            "9×9 window does not fit a 8×8 map",
        ),
        (lambda net, x: net.dense(x, 4), "a dense layer takes a vector"),
        (lambda net, x: net.dropout(x, 1.0), r"lies in \[0, 1\)"),
        (lambda net, x: net.drop_path(x, 0.0), r"lies in \(0, 1\]"),
        (lambda net, x: net.add(x, net.conv(x, 5, kernel=1)), "equal shapes"),
        (lambda net, x: net.concat([x, net.max_pool(x, kernel=2)]), "one height and width"),
        (lambda net, x: net.multiply(x, net.global_avg_pool(x)), "a gate for"),
        (lambda net, x: net.finish(x), "ends in a vector of scores"),
    ],
)
def test_every_wrong_argument_is_refused_on_its_line(write, message):
    net = Tracer("n", (8, 8, 3))
    with pytest.raises(GraphError, match=message):
        write(net, net.input)


def test_layers_after_the_scores_are_refused():
    net = Tracer("n", (8, 8, 3))
    scores = net.dense(net.flatten(net.input), 2)
    net.conv(net.input, 4, kernel=3, name="stray")
    with pytest.raises(GraphError, match="stray"):
        net.finish(scores)


def test_every_op_is_registered_under_its_kind():
    assert all(ops.OPS[kind].kind == kind for kind in ops.OPS)
    assert set(ops.OPS.values()) == _final(ops.Op) - {ops.Free}


def _final(op):
    """All subclasses written in the package's modules, listed there or not."""
    found = set()
    for c in op.__subclasses__():
        if c.__module__.startswith("archsearch.ir.ops."):
            # slots=True makes a second class of the same name; the module has the last.
            found |= {getattr(sys.modules[c.__module__], c.__name__)} | _final(c)
    return found


@pytest.mark.parametrize("kind", sorted(set(ops.OPS) - {"input"}))
def test_every_op_says_its_weights_and_its_cost(kind):
    op = ops.OPS[kind]
    assert {op.weights, op.product} & {ops.Op.weights, ops.Op.product} == set()


def test_weights_are_named_by_shape_start_and_whether_they_are_trained():
    conv = ops.Conv(8, (3, 5), groups=2, bias=True)
    assert conv.weights(((9, 9, 6),)) == (
        ops.Weight((3, 5, 3, 8), ops.He(45)), ops.Weight((8,), 0.0),
    )  # fmt: skip
    assert ops.Dense(4, bias=False).weights(((7,),)) == (ops.Weight((7, 4), ops.He(7)),)
    assert ops.BatchNorm(center=False).weights(((9, 9, 6),)) == (
        ops.Weight((6,), 1.0), ops.Weight((6,), 0.0, trained=False),
        ops.Weight((6,), 1.0, trained=False),
    )  # fmt: skip
    assert ops.LayerScale(0.5).weights(((9, 9, 6),)) == (ops.Weight((1, 1, 6, 1), 0.5),)


def test_an_unknown_width_has_a_product_and_no_weights():
    width = Channels.named("c")
    conv = ops.Conv(width, (3, 3))
    assert conv.product(((9, 9, 6),), (9, 9, width)) == ops.Product(6, width, 9 * 9 * 9, 1)
    with pytest.raises(GraphError, match="the width c is not known"):
        conv.weights(((9, 9, 6),))


@pytest.mark.parametrize(
    ("op", "shape", "message"),
    [
        (ops.GroupNorm(4), (8, 8, 6), "6 channels are not divisible by 4 groups"),
        (ops.GroupNorm(0), (8, 8, 6), "by 0 groups"),
        (ops.Permute((1, 1, 3)), (8, 8, 6), r"each once, got \(1, 1, 3\)"),
        (ops.Permute((2, 1, 3)), (6,), "wants a feature map"),
        (ops.Dropout(0.5, channels=True), (6,), "wants a feature map"),
    ],
)
def test_what_does_not_fit_is_told(op, shape, message):
    with pytest.raises(GraphError, match=message):
        op.infer(shape)


def test_weights_of_prelu_and_group_norm_are_those_of_their_papers():
    shape = (8, 7, 6)
    assert ops.PRelu().weights((shape,)).params == 6  # He et al. 2015: one a channel
    assert ops.PRelu(each=True).weights((shape,)).params == 8 * 7 * 6
    assert ops.GroupNorm(3).weights((shape,)).params == 12  # Wu & He 2018: γ and β a channel
    assert ops.LayerNorm(whole=True).weights((shape,)).params == 2 * 8 * 7 * 6
    assert ops.Permute((3, 1, 2)).infer(shape) == (6, 8, 7)


def test_what_is_dropped_by_chance_follows_a_share_and_nothing_else_changes():
    net = Tracer("dropping", (8, 8, 3))
    x = net.conv(net.input, 4, kernel=3)
    x = net.mean(x, net.drop_path(net.dropout(x, 0.5), 0.8), drop=0.3)
    graph = net.finish(net.dense(net.global_avg_pool(x), 2))
    found = graph.dropping(0.1)
    ops_of = {node.op.kind: node.op for node in found}
    assert ops_of["dropout"].rate == pytest.approx(0.05)
    assert ops_of["drop_path"].survival == pytest.approx(0.98)
    assert ops_of["mean"].drop == pytest.approx(0.03)
    others = {"dropout", "drop_path", "mean"}
    assert [n for n in found if n.op.kind not in others] == [
        n for n in graph if n.op.kind not in others
    ]
    assert graph.dropping(1.0) == graph
