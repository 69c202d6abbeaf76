"""Small networks that together use every op of the tracer."""

import random

from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tracer


def resnext_like(side=16, channels=3, classes=5, groups=4, width=16) -> Graph:
    net = Tracer("resnext like", (side, side, channels))
    x = net.relu(net.batch_norm(net.conv(net.input, width, kernel=3)))
    for stage in range(2):
        with net.scope(f"stage{stage + 1}"):
            stride, wide = stage + 1, width * 2**stage
            y = net.relu(net.batch_norm(net.conv(x, wide, kernel=1)))
            y = net.conv(y, wide, kernel=3, stride=stride, groups=groups)
            y = net.relu(net.batch_norm(y))
            y = net.batch_norm(net.conv(y, wide * 2, kernel=1))
            shortcut = net.batch_norm(net.conv(x, wide * 2, kernel=1, stride=stride))
            x = net.relu(net.add(y, shortcut))
    return net.finish(net.dense(net.global_avg_pool(x), classes))


def vgg_like(side=16, channels=1, classes=5) -> Graph:
    net = Tracer("vgg like", (side, side, channels))
    x = net.input
    for width in (8, 16):
        x = net.relu(net.conv(x, width, kernel=3, bias=True))
        x = net.max_pool(x, kernel=2)
    x = net.dropout(net.relu(net.dense(net.flatten(x), 32)), 0.5)
    return net.finish(net.dense(x, classes))


def deep() -> Graph:
    """A plain network without normalization, which high rates leave with units that never answer again."""
    net = Tracer("deep", (16, 16, 1))
    x = net.max_pool(net.relu(net.conv(net.input, 8, kernel=3, bias=True)), kernel=4)
    for _ in range(4):
        x = net.relu(net.conv(x, 8, kernel=3, bias=True))
    return net.finish(net.dense(net.flatten(x), 5))


def everything(seed: int) -> Graph:
    """A network with every op, its numbers drawn by `seed`."""
    rng = random.Random(seed)
    net = Tracer(f"everything {seed}", (rng.randint(17, 24), rng.randint(17, 24), 3))
    groups = rng.choice([2, 3, 4])
    width = groups * rng.choice([2, 4])
    x = net.conv(
        net.input, width, kernel=rng.choice([3, 5, 7]), stride=rng.choice([1, 2]), bias=True
    )
    x = net.local_response_norm(net.relu(x), size=rng.choice([3, 5]), alpha=0.1)
    x = net.max_pool(x, kernel=3, stride=rng.choice([1, 2]), padding=1, ceil=rng.random() < 0.5)
    with net.scope("block"):
        y = net.batch_norm(net.conv(x, width, kernel=3, groups=groups, padding="keras"))
        y = net.batch_norm(net.conv(net.relu(y), width, kernel=3, groups=width))  # depthwise
        y = net.conv(y, width, kernel=(1, 3), padding=(0, 2), dilation=(1, 2))
        gate = net.global_avg_pool(y, keep_map=True)
        gate = net.activation(net.conv(gate, width, kernel=1, bias=True), "sigmoid")
        y = net.batch_norm(net.multiply(y, gate))
        x = net.add(net.drop_path(y, 0.8), x)
    x = net.pad_channels(x, before=1, after=2)
    a = net.avg_pool(x, kernel=3, stride=2, padding=1, count_padding=rng.random() < 0.5)
    b = net.max_pool(x, kernel=2, stride=2, ceil=True, padding=0)
    if a.shape[:2] == b.shape[:2]:
        x = net.concat([a, b])
    else:
        x = net.concat([a, net.avg_pool(a, kernel=3, stride=1, padding="same")])
    x = net.batch_norm(net.dense(net.flatten(x), 12))
    return net.finish(net.dense(net.dropout(net.relu(x), 0.3), 5))


def modern(side=16, channels=3, classes=5) -> Graph:
    """Layer normalisations and the smooth nonlinearities, as ConvNeXt and MobileNetV3 have them."""
    net = Tracer("modern", (side, side, channels))
    x = net.layer_norm(net.conv(net.input, 12, kernel=4, stride=4, padding=0, bias=True))
    for stage, function in enumerate((net.gelu, net.silu, net.hard_swish)):
        with net.scope(f"stage{stage + 1}"):
            y = net.layer_norm(net.conv(x, 12, kernel=3, groups=12))
            y = function(net.conv(y, 24, kernel=1, bias=True))
            x = net.add(net.conv(y, 12, kernel=1, bias=True), x)
    return net.finish(net.dense(net.layer_norm(net.global_avg_pool(x)), classes))
