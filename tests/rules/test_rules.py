"""Each rule on small networks written twice: as it should not be, and as the rule wants it."""

import pytest

from archsearch.ir.tracer import Tracer
from archsearch.readings.cost import cost
from archsearch.readings.table import layers
from archsearch.rules.registry import find_rule


def network(write, shape=(32, 32, 3), classes=10, pooled=True):
    net = Tracer("toy", shape)
    x = write(net, net.input)
    if pooled:
        x = net.dense(net.global_avg_pool(x, name="gap"), classes, name="scores")
    return net.finish(x)


def unit(net, x, filters, kernel=3, **settings):
    return net.relu(net.batch_norm(net.conv(x, filters, kernel=kernel, **settings)))


def check(rule, write, **settings):
    return find_rule(rule).check(network(write, **settings))


def change(before, after, **settings):
    """The difference of two networks, both written out by hand."""
    a, b = cost(network(before, **settings)), cost(network(after, **settings))
    return b.flops - a.flops, b.params - a.params


# --- 3x3-stacks ------------------------------------------------------------------------------------


def stem256(net, x):
    return net.relu(net.conv(x, 256, kernel=3, name="conv1"))


def test_one_5x5_against_two_3x3():
    def large(net, x):
        return net.relu(net.conv(stem256(net, x), 256, kernel=5, name="conv2"))

    def stacked(net, x):
        x = net.relu(net.conv(stem256(net, x), 256, kernel=3))
        return net.relu(net.conv(x, 256, kernel=3))

    (finding,) = check("3x3-stacks", large)
    assert finding.message == (
        "conv2: one 5×5 (C=256): two 3×3 see the same 5×5 with 28 % fewer parameters and FLOPs"
    )
    assert (finding.flops, finding.params) == change(large, stacked)
    assert not check("3x3-stacks", stacked)


@pytest.mark.parametrize(
    ("kernel", "stride", "count"),
    [(5, 1, 2), (7, 1, 3), (9, 1, 4), (5, 2, 2), (7, 2, 2), (11, 4, 3)],
)
@pytest.mark.parametrize("padding", [0, 2, "same"])
def test_stacks_give_the_same_map(kernel, stride, count, padding):
    def write(net, x):
        return net.conv(
            net.conv(x, 16, kernel=3), 16, kernel=kernel, stride=stride, padding=padding, name="big"
        )

    for side in (32, 33, 35):
        graph = network(write, shape=(side, side + 1, 3))
        (finding,) = find_rule("3x3-stacks").check(graph)
        new = [n for n in finding.followed if n.name.startswith("big.conv")]
        assert len(new) == count
        assert new[-1].shape == next(n for n in graph if n.name == "big").shape


def test_kernels_that_are_no_large_ones():
    def write(net, x):
        x = unit(net, x, 16, kernel=7, stride=2)  # on three colours, shrinking them
        x = unit(net, x, 16, kernel=(1, 7))
        x = unit(net, x, 16, kernel=7, groups=16)
        return unit(net, x, 16, kernel=16, padding=0)  # sees the whole map: a dense layer

    assert not check("3x3-stacks", write)


# --- channel-doubling ------------------------------------------------------------------------------


def stages(*widths, depth=2):
    def write(net, x):
        for i, width in enumerate(widths):
            if i:
                x = net.max_pool(x, kernel=2)
            for d in range(depth):
                x = net.relu(net.conv(x, width, kernel=3, name=f"s{i}c{d}"))
        return x

    return write


def test_doubling():
    assert not check("channel-doubling", stages(16, 32, 64, 128))
    assert not check("channel-doubling", stages(256, 512, 512))  # VGG's own end
    (finding,) = check("channel-doubling", stages(16, 32, 32))
    assert finding.layer == "s2c0"
    assert "32 → 32 channels (× 1)" in finding.found
    assert (finding.flops, finding.params) == change(stages(16, 32, 32), stages(16, 32, 64))
    first, second = check("channel-doubling", stages(16, 64, 64))
    assert (first.flops, first.params) == change(stages(16, 64, 64), stages(16, 32, 64))
    assert second.layer == "s2c0"


def test_doubling_keeps_flops_equal():
    graph = network(stages(16, 32, 64))
    flops = {row.name: row.flops for row in layers(graph)}
    assert flops["s0c1"] == flops["s1c1"] == flops["s2c1"]
    assert find_rule("channel-doubling").equation(2) == 1
    tripled = {row.name: row.flops for row in layers(network(stages(16, 48)))}
    assert tripled["s1c1"] / tripled["s0c1"] == find_rule("channel-doubling").equation(3)


# --- aggressive-stem, head, 1×1 --------------------------------------------------------------------


def test_a_large_image_wants_a_stem():
    def slow(net, x):
        for _ in range(3):
            x = unit(net, x, 32)
        x = net.max_pool(net.max_pool(x, kernel=2), kernel=2)
        return unit(net, x, 64)

    def fast(net, x):
        x = net.max_pool(unit(net, x, 32, kernel=7, stride=2), kernel=3, stride=2, padding=1)
        return unit(net, x, 64)

    (finding,) = check("aggressive-stem", slow, shape=(128, 128, 3))
    assert (finding.flops, finding.params) == change(slow, fast, shape=(128, 128, 3))
    assert not check("aggressive-stem", fast, shape=(128, 128, 3))
    assert not check("aggressive-stem", slow, shape=(32, 32, 3))  # no image to shrink


def test_a_dense_head():
    def dense(net, x):
        x = net.flatten(net.max_pool(stem256(net, x), kernel=4))
        return net.dense(net.dropout(net.relu(net.dense(x, 64, name="fc1")), 0.5), 10)

    def pooled(net, x):
        return net.dense(net.global_avg_pool(net.max_pool(stem256(net, x), kernel=4)), 10)

    (finding,) = check("global-average-pooling-head", dense, pooled=False)
    assert finding.layer == "fc1"
    assert (finding.flops, finding.params) == change(dense, pooled, pooled=False)
    assert not check("global-average-pooling-head", pooled, pooled=False)


def naive_inception(net, x):
    x = net.conv(x, 256, kernel=1, name="before")
    a = net.conv(x, 128, kernel=1)
    b = net.conv(x, 192, kernel=3, name="three")
    c = net.conv(x, 96, kernel=5)
    d = net.max_pool(x, kernel=3, stride=1, padding=1)
    return net.concat([a, b, c, d], name="out")


def test_the_lectures_inception_module():
    """Naive 854 M FLOPs at depth 672; with 64-filter 1×1s 271,351,808 at depth 480."""
    graph = network(naive_inception, shape=(28, 28, 3))
    outside = 28 * 28 * 3 * 256
    assert cost(graph).flops - outside - 672 * 10 == 854_196_224
    (finding,) = find_rule("1x1-bottleneck").check(graph)
    followed = cost(finding.followed).flops
    assert followed - outside - 480 * 10 == 271_351_808
    assert finding.flops == followed - cost(graph).flops
    assert not find_rule("1x1-bottleneck").check(finding.followed)


# --- residual networks -----------------------------------------------------------------------------


def residual(net, x, inner, outer, *, kernel=3, groups=1, project=False, stride=1, drop=None):
    y = unit(net, x, inner, kernel=1)
    y = unit(net, y, inner, kernel=kernel, groups=groups, stride=stride)
    y = net.batch_norm(net.conv(y, outer, kernel=1))
    y = net.drop_path(y, drop) if drop else y
    if project:
        x = net.batch_norm(net.conv(x, outer, kernel=1, stride=stride))
    return net.relu(net.add(y, x))


def bottlenecks(*inners, groups=1, outer=64):
    def write(net, x):
        x = unit(net, x, outer)
        for i, inner in enumerate(inners):
            with net.scope(f"block{i}"):
                x = residual(net, x, inner, outer, groups=groups)
        return x

    return write


def test_bottleneck_ratio():
    assert not check("bottleneck-ratio", bottlenecks(16, 16, 16))
    assert not check("bottleneck-ratio", bottlenecks(32, 32, 32))  # wide on purpose
    (finding,) = check("bottleneck-ratio", bottlenecks(16, 64, 16))
    assert finding.layer == "block1.conv2"
    before, after = bottlenecks(16, 64, 16), bottlenecks(16, 16, 16)
    assert (finding.flops, finding.params) == change(before, after)
    (finding,) = check("bottleneck-ratio", bottlenecks(64, 64))
    assert "(and 1 more)" in finding.found


def test_the_bottlenecks_equation():
    from archsearch.rules.families.resnet import bottleneck_block_flops

    def block(kernels, widths):
        net = Tracer("block", (14, 14, widths[0]))
        x = net.input
        for kernel, width in zip(kernels, widths[1:], strict=True):
            x = net.conv(x, width, kernel=kernel)
        return cost(net.finish(net.flatten(x))).flops

    assert block((1, 3, 1), (128, 32, 32, 128)) == bottleneck_block_flops(14, 14, 32)


def test_needless_projections():
    def write(project):
        def blocks(net, x):
            x = residual(net, unit(net, x, 64), 16, 64, project=project)
            return residual(net, x, 32, 128, project=True, stride=2)

        return blocks

    assert not check("identity-shortcut", write(False))
    (finding,) = check("identity-shortcut", write(True))
    assert (finding.flops, finding.params) == change(write(True), write(False))


def test_deep_plain_networks_want_shortcuts():
    def plain(depth):
        def write(net, x):
            for _ in range(depth):
                x = unit(net, x, 16)
            return x

        return write

    assert not check("identity-shortcut", plain(18))
    (finding,) = check("identity-shortcut", plain(56))
    assert (finding.flops, finding.params) == (0, 0)
    assert sum(n.op.kind == "add" for n in finding.followed) == 27


def test_batch_normalisation():
    def write(bias, normalised):
        def layers(net, x):
            x = net.relu(net.batch_norm(net.conv(x, 16, kernel=3, bias=bias)))
            x = net.conv(x, 16, kernel=3, name="second")
            x = net.relu(net.batch_norm(x) if normalised else x)
            return unit(net, net.relu(net.conv(x, 16, kernel=1, bias=False)), 8)

        return layers

    biased = check("bn-after-conv", write(bias=True, normalised=True))
    assert [f.params for f in biased if "bias" in f.found] == [-16]
    found = check("bn-after-conv", write(bias=False, normalised=False))
    assert [f.layer for f in found] == ["second"]
    assert "(and 1 more)" in found[0].found  # the 1×1 behind it is as bare
    assert found[0].params == 2 * (16 + 16)
    assert not check("bn-after-conv", stages(16, 32))  # no batch normalisation, no finding


def preactivated(post=(), *, last=True, blocks=4):
    def write(net, x):
        x = net.conv(x, 16, kernel=3)
        for i in range(blocks):
            y = net.conv(net.relu(net.batch_norm(x)), 16, kernel=3)
            y = net.conv(net.relu(net.batch_norm(y)), 16, kernel=3)
            x = net.add(y, x, name=f"add{i}")
            x = net.relu(x) if i in post else x
        return net.relu(net.batch_norm(x)) if last else x

    return write


def test_pre_activation():
    assert not check("pre-activation", preactivated())
    (finding,) = check("pre-activation", preactivated(post=(1,)))
    assert finding.layer == "add1"
    assert finding.effect == "for the same parameters and FLOPs"
    (finding,) = check("pre-activation", preactivated(last=False))
    assert (finding.flops, finding.params) == (0, 32)
    assert not check("pre-activation", bottlenecks(16, 16))  # another design


def odd_one(branch=None, shortcut=None, odd=(1,), blocks=4):
    """Pre-activation blocks, the `odd` ones with another branch or something on the shortcut."""

    def ordered(net, x):
        y = net.conv(net.relu(net.batch_norm(x)), 16, kernel=3)
        return net.conv(net.dropout(net.relu(net.batch_norm(y)), 0.1), 16, kernel=3)

    def write(net, x):
        x = net.conv(x, 16, kernel=3)
        for i in range(blocks):
            with net.scope(f"block{i}"):
                y = (branch or ordered)(net, x) if i in odd else ordered(net, x)
                x = net.add(y, shortcut(net, x) if shortcut and i in odd else x)
        return net.relu(net.batch_norm(x))

    return write


@pytest.mark.parametrize(
    ("put", "found", "params"),
    [
        (lambda net, x: net.batch_norm(x), "BN", 32),
        (lambda net, x: net.scale(x, 0.5), "a constant factor", 0),
        (lambda net, x: net.dropout(x, 0.5), "dropout", 0),
    ],
)
def test_nothing_but_the_addition_is_on_a_shortcuts_path(put, found, params):
    assert not check("pre-activation", odd_one())
    (finding,) = check("pre-activation", odd_one(shortcut=put))
    assert finding.found == f"{found} on the shortcut's path"
    assert (finding.flops, finding.params) == (0, -params)
    assert not find_rule("pre-activation").check(finding.followed)
    (finding,) = check("pre-activation", odd_one(shortcut=put, odd=range(4)))
    assert finding.found == f"{found} on the shortcut's path (and 3 more)"


def test_bn_and_relu_that_a_branch_and_an_identity_share_are_on_its_path():
    def write(net, x):
        x = net.conv(x, 16, kernel=3)
        for _ in range(3):
            x = net.relu(net.batch_norm(x))
            y = net.conv(x, 16, kernel=3)
            x = net.add(net.conv(net.relu(net.batch_norm(y)), 16, kernel=3), x)
        return net.relu(net.batch_norm(x))

    (finding,) = check("pre-activation", write)  # the first comes from the stem, not from a sum
    assert finding.found == "BN and ReLU on the shortcut's path (and 1 more)"
    assert (finding.flops, finding.params) == (0, 0)
    assert not find_rule("pre-activation").check(finding.followed)


def conv_first(net, x):
    return net.batch_norm(net.conv(unit(net, x, 16), 16, kernel=3))


def relu_first(net, x):
    y = net.conv(net.relu(net.batch_norm(x)), 16, kernel=3)
    return net.conv(net.batch_norm(net.relu(y)), 16, kernel=3)


def no_relu(net, x):
    y = net.conv(net.batch_norm(x), 16, kernel=3)
    return net.conv(net.relu(net.batch_norm(y)), 16, kernel=3)


def no_bn(net, x):
    y = net.conv(net.relu(net.batch_norm(x)), 16, kernel=3)
    return net.conv(net.dropout(net.relu(y), 0.1), 16, kernel=3)


def nothing_between(net, x):
    return net.conv(net.conv(net.relu(net.batch_norm(x)), 16, kernel=3), 16, kernel=3)


@pytest.mark.parametrize(
    ("branch", "layer", "found", "params"),
    [
        (conv_first, "block1.conv1", "a convolution of the sum as it is", 0),
        (relu_first, "block1.conv2", "ReLU before BN", 0),
        (no_relu, "block1.conv1", "no ReLU between BN and convolution", 0),
        (no_bn, "block1.conv2", "no BN before ReLU and convolution", 32),
        (nothing_between, "block1.conv2", "neither BN nor ReLU before the convolution", 32),
    ],
)
def test_branches_of_a_pre_activation_network_have_one_order(branch, layer, found, params):
    (finding,) = check("pre-activation", odd_one(branch))
    assert (finding.layer, finding.found) == (layer, found)
    assert (finding.flops, finding.params) == (0, params)
    kinds = [n.op.kind for n in finding.followed]
    assert kinds.count("dropout") == [n.op.kind for n in network(odd_one(branch))].count("dropout")
    assert not find_rule("pre-activation").check(finding.followed)


def test_a_separable_convolution_is_one_and_a_normalised_stem_will_do():
    def separable(net, x):
        y = net.conv(net.relu(net.batch_norm(x)), 16, kernel=3, groups=16)
        return net.conv(y, 16, kernel=1)

    assert not check("pre-activation", odd_one(separable))

    def write(net, x):
        x = unit(net, x, 16)
        y = net.conv(x, 16, kernel=3)
        x = net.add(net.conv(net.relu(net.batch_norm(y)), 16, kernel=3), x)
        return preactivated()(net, x)

    assert not check("pre-activation", write)


def test_widening():
    (finding,) = check("widening", preactivated(blocks=54))
    assert abs(finding.flops) < 0.15 * finding.flops_before
    assert sum(n.op.kind == "add" for n in finding.followed) == 6
    assert not check("widening", preactivated(blocks=27))
    assert find_rule("widening").equation(54, 6) == 3


# --- groups, gates, modules ------------------------------------------------------------------------


def test_resnext_width_and_cardinality():
    assert not check("resnext-width", bottlenecks(128, 128, groups=32, outer=256))
    assert not check("resnext-width", bottlenecks(64, 64, outer=256))
    (finding,) = check("resnext-width", bottlenecks(256, 256, groups=32, outer=256))
    assert "cost +115 %" in finding.found
    before = bottlenecks(256, 256, groups=32, outer=256)
    after = bottlenecks(128, 128, groups=32, outer=256)
    assert (finding.flops, finding.params) == change(before, after)
    assert not check("cardinality", before)
    (finding,) = check("cardinality", bottlenecks(64, 64, groups=32, outer=128))
    assert "narrower than 4" in finding.found


def gated(hidden):
    def write(net, x):
        x = unit(net, x, 64)
        gate = net.relu(
            net.conv(net.global_avg_pool(x, keep_map=True), hidden, kernel=1, bias=True)
        )
        gate = net.activation(net.conv(gate, 64, kernel=1, bias=True), "sigmoid")
        return net.multiply(x, gate)

    return write


def test_squeeze_excitation():
    assert not check("squeeze-excitation", gated(4))
    assert not check("squeeze-excitation", gated(16))
    (finding,) = check("squeeze-excitation", gated(64))
    assert (finding.flops, finding.params) == change(gated(64), gated(4))


def dense_block(layers, growth, *, bottleneck, keep=0.5):
    def write(net, x):
        x = unit(net, x, 64)
        for i in range(layers):
            y = net.relu(net.batch_norm(x))
            if bottleneck:
                y = unit(net, y, 4 * growth, kernel=1)
            x = net.concat([x, net.conv(y, growth, kernel=3, name=f"conv{i}")])
        x = net.relu(net.batch_norm(x))
        return net.avg_pool(net.conv(x, int(x.channels * keep), kernel=1, name="mix"), kernel=2)

    return write


def test_dense_concatenation():
    assert not check("dense-concatenation", dense_block(4, 8, bottleneck=True))
    before = dense_block(4, 8, bottleneck=False)
    (finding,) = check("dense-concatenation", before)
    assert finding.layer == "conv0"
    assert (finding.flops, finding.params) == change(before, dense_block(4, 8, bottleneck=True))
    before = dense_block(4, 8, bottleneck=True, keep=1)
    (finding,) = check("dense-concatenation", before)
    assert finding.layer == "mix"
    assert (finding.flops, finding.params) == change(before, dense_block(4, 8, bottleneck=True))


def fire(squeeze, one, three):
    def write(net, x):
        x = net.relu(net.conv(unit(net, x, 96), squeeze, kernel=1, name="squeeze"))
        a = net.relu(net.conv(x, one, kernel=1))
        b = net.relu(net.conv(x, three, kernel=3, name="three"))
        return net.concat([a, b])

    return write


def test_fire_module():
    assert not check("fire-module", fire(16, 64, 64))
    (finding,) = check("fire-module", fire(96, 64, 64))
    assert finding.layer == "squeeze"
    assert (finding.flops, finding.params) == change(fire(96, 64, 64), fire(16, 64, 64))
    (finding,) = check("fire-module", fire(16, 8, 120))
    assert (finding.flops, finding.params) == change(fire(16, 8, 120), fire(16, 64, 64))


def separable(*full):
    def write(net, x):
        x = unit(net, x, 32)
        for i in range(4):
            x = unit(
                net,
                x if i in full else unit(net, x, 32, groups=32),
                32,
                kernel=3 if i in full else 1,
            )
        return x

    return write


def test_depthwise_separable():
    assert not check("depthwise-separable", separable())
    assert not check("depthwise-separable", stages(16, 32))
    (finding,) = check("depthwise-separable", separable(2))
    assert (finding.flops, finding.params) == change(separable(2), separable())
    share = find_rule("depthwise-separable").equation(32)
    assert 1 + finding.flops / finding.flops_before == pytest.approx(share)


def inverted(active):
    def write(net, x):
        x = unit(net, x, 16)
        for _ in range(2):
            y = unit(net, unit(net, x, 96, kernel=1), 96, groups=96)
            y = net.batch_norm(net.conv(y, 16, kernel=1))
            x = net.add(net.relu(y) if active else y, x)
        return x

    return write


def test_linear_bottleneck():
    assert not check("linear-bottleneck", inverted(False))
    found = check("linear-bottleneck", inverted(True))
    assert [(f.flops, f.params) for f in found] == [(0, 0), (0, 0)]
    assert "relu on the narrow end (16 channels)" in found[0].found


def dropped(*survivals):
    def write(net, x):
        x = unit(net, x, 64)
        for survival in survivals:
            x = residual(net, x, 16, 64, drop=survival)
        return x

    return write


def test_stochastic_depth():
    assert not check("stochastic-depth", dropped(0.9, 0.8, 0.7, 0.6))
    assert not check("stochastic-depth", bottlenecks(16, 16, 16))
    (finding,) = check("stochastic-depth", dropped(0.5, 0.5, 0.5, 0.5))
    kept = [n.op.survival for n in finding.followed if n.op.kind == "drop_path"]
    assert kept == [0.875, 0.75, 0.625, 0.5]
    assert "2.0 of 4 run" in finding.found


def test_cost_profile():
    def flat(net, x):
        for width in (8, 8, 64, 64, 64, 64):
            x = net.relu(net.conv(x, width, kernel=3))
        return x

    (finding,) = check("cost-profile", flat)
    assert "activation memory" in finding.found
    assert finding.flops < 0

    def dense(net, x):
        x = net.flatten(net.max_pool(net.relu(net.conv(x, 8, kernel=3)), kernel=2))
        return net.dense(net.relu(net.dense(x, 2048, name="fc")), 10)

    (finding,) = check("cost-profile", dense, pooled=False)
    assert finding.layer == "fc"
    assert finding.flops < 0
    assert not check("cost-profile", stages(16, 32, 64))


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "zfnet"])
def test_the_lectures_lesson(name):
    """Memory in the early layers, parameters in the late ones, FLOPs in the convolutions."""
    from archsearch.space.registry import find_baseline

    early_memory, late_params, conv_flops = find_rule("cost-profile").equation(
        find_baseline(name).build()
    )
    assert early_memory > 0.7
    assert late_params > 0.9
    assert conv_flops > 0.9
