"""Compound scaling: the published networks keep it, what grows in one dimension alone does not."""

import pytest

from archsearch.ir.tracer import Tracer
from archsearch.readings.cost import cost
from archsearch.rules.families.efficientnet import B0_DEPTHS, B0_WIDTHS, compound_scaling
from archsearch.rules.registry import find_rule
from archsearch.space.registry import find_baseline
from search_spaces.efficientnet import mbconv

RULE = find_rule("compound-scaling")
KERNELS = (3, 3, 5, 3, 5, 5, 3)
STRIDES = (1, 2, 2, 2, 1, 2, 1)


def scaled(depth=1.0, width=1.0, side=224, least=1):
    """B0 with other factors, exact ones next to which all is rounded."""
    net = Tracer("scaled", (side, side, 3))
    x = net.silu(net.batch_norm(net.conv(net.input, round(32 * width), kernel=3, stride=2)))
    for s, (blocks, filters) in enumerate(zip(B0_DEPTHS, B0_WIDTHS, strict=True)):
        for b in range(max(least, round(blocks * depth))):
            x = net.block(
                f"stage{s}.block{b}",
                mbconv,
                x,
                hidden=6 * x.channels if s else None,
                filters=round(filters * width),
                kernel=KERNELS[s],
                stride=1 if b else STRIDES[s],
                gate=max(1, x.channels // 4),
                add=b > 0,
            )
    return net.finish(net.dense(net.global_avg_pool(x), 10))


def depthwise(graph):
    return [n for n in graph if n.op.kind == "conv" and n.op.groups > 1]


def side(graph):
    """The side that the stem sees."""
    stem = next(n for n in graph if n.op.kind == "conv")
    return graph.input_shapes(stem)[0][0]


def test_one_step_is_about_twice_the_flops():
    """Equation 3: α·β²·γ² ≈ 2, and B0's FLOPs (0.39 G) double with each φ up to B3's and B4's."""
    scale = compound_scaling(1)
    assert scale.depth * scale.width**2 * scale.resolution**2 == pytest.approx(2, abs=0.1)
    four = compound_scaling(4)
    assert four.depth == pytest.approx(1.2**4)
    grown = cost(scaled(four.depth, four.width, round(224 * four.resolution))).flops
    assert grown / cost(scaled()).flops == pytest.approx(16, rel=0.2)


@pytest.mark.parametrize("index", range(8))
def test_the_published_networks_keep_it(index):
    assert RULE.check(find_baseline(f"efficientnet_b{index}").build()) == ()


@pytest.mark.parametrize("phi", [-4, -2, 2, 4])
def test_all_three_together_keep_it(phi):
    scale = compound_scaling(phi)
    assert RULE.check(scaled(scale.depth, scale.width, round(224 * scale.resolution))) == ()


def test_large_images_alone_are_made_smaller():
    (finding,) = RULE.check(scaled(side=448))
    assert finding.found == (
        "1 times as deep as EfficientNet-B0, 1 times as wide, 2 times the resolution"
    )
    assert side(finding.followed) == pytest.approx(224, abs=6)
    assert len(depthwise(finding.followed)) == 16
    assert finding.flops < 0
    assert finding.params == 0


def test_depth_alone_is_taken_back():
    (finding,) = RULE.check(scaled(depth=2.5))
    assert len(depthwise(finding.followed)) == 16
    assert finding.params < 0


def test_width_alone_gets_the_depth_and_the_resolution_that_go_with_it():
    graph = scaled(width=1.5)
    (finding,) = RULE.check(graph)
    wanted = compound_scaling(4.254)  # 1.1^4.254 = 1.5
    assert len(depthwise(finding.followed)) == sum(round(d * wanted.depth) for d in B0_DEPTHS)
    assert side(finding.followed) == pytest.approx(224 * wanted.resolution, abs=8)
    # The blocks that are written behind others are like them: what a network with them from the start has.
    whole = scaled(depth=wanted.depth, width=1.5, side=side(finding.followed))
    assert cost(finding.followed).flops == pytest.approx(cost(whole).flops, rel=1e-9)


@pytest.mark.parametrize("name", ["mobilenet_v2", "seresnet50", "convnext_tiny", "resnet50"])
def test_other_families_are_none_of_its_business(name):
    assert RULE.check(find_baseline(name).build((448, 448, 3))) == ()
