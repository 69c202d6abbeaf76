"""RegNet's line: the paper's own tables, what is on no line, and what is no RegNet at all."""

from itertools import pairwise

import pytest

from archsearch.errors import UserError
from archsearch.ir.tracer import Tracer
from archsearch.readings.cost import cost
from archsearch.rules.families.regnet import quantised_line, regnet_stages
from archsearch.rules.patterns import View
from archsearch.rules.registry import find_rule
from archsearch.space.registry import find_baseline, load_baselines
from search_spaces.residual import bottleneck

RULE = find_rule("quantised-line")
REGNETS = sorted(name for name in load_baselines() if name.startswith("regnet"))


@pytest.mark.parametrize(
    ("name", "widths", "depths"),
    [  # the paper's tables of the top models
        ("regnetx_002", (24, 56, 152, 368), (1, 1, 4, 7)),
        ("regnetx_006", (48, 96, 240, 528), (1, 3, 5, 7)),
        ("regnetx_016", (72, 168, 408, 912), (2, 4, 10, 2)),
        ("regnetx_080", (80, 240, 720, 1920), (2, 5, 15, 1)),
        ("regnety_004", (48, 104, 208, 440), (1, 3, 6, 6)),
        ("regnety_032", (72, 216, 576, 1512), (2, 5, 13, 1)),
    ],
)
def test_published_networks_have_the_papers_stages(name, widths, depths):
    stages = regnet_stages(View(find_baseline(name).build()))
    assert tuple(stage.width for stage in stages) == widths
    assert tuple(len(stage.blocks) for stage in stages) == depths


@pytest.mark.parametrize("name", REGNETS)
def test_published_networks_are_on_a_line(name):
    graph = find_baseline(name).build()
    assert RULE.check(graph) == ()
    # They are no ResNeXts: the number of their paths and those paths' width are another rule's.
    for other in ("cardinality", "resnext-width", "bottleneck-ratio", "squeeze-excitation"):
        assert find_rule(other).check(graph) == ()


def network(*widths_and_depths, group=8):
    net = Tracer("toy", (32, 32, 3))
    x = net.relu(net.batch_norm(net.conv(net.input, 16, kernel=3)))
    for s, (width, depth) in enumerate(widths_and_depths):
        for b in range(depth):
            x = net.block(
                f"stage{s}.block{b}", bottleneck, x, inner=width, filters=width, stride=1,
                groups=width // group, project=x.channels != width,
            )  # fmt: skip
    return net.finish(net.dense(net.global_avg_pool(x), 10))


def test_too_many_early_blocks_are_dropped():
    (finding,) = RULE.check(network((24, 6), (56, 2), (136, 2)))
    assert finding.layer == "stage0.block0.conv1"
    assert finding.found.startswith("no line quantises to widths 24-56-136 in 6-2-2 blocks")
    followed = regnet_stages(View(finding.followed))
    assert [len(stage.blocks) for stage in followed] < [6, 2, 2]
    assert finding.params < 0
    assert RULE.check(finding.followed) == ()


def test_a_width_that_is_no_factor_apart_is_changed():
    (finding,) = RULE.check(network((24, 1), (32, 2), (160, 4)))
    followed = regnet_stages(View(finding.followed))
    assert len(followed) == 3
    steps = [b.width / a.width for a, b in pairwise(followed)]
    assert max(steps) / min(steps) < 1.5
    assert (
        finding.flops
        == cost(finding.followed).flops - cost(network((24, 1), (32, 2), (160, 4))).flops
    )


@pytest.mark.parametrize(
    "name", ["resnext50_32x4d", "resnet50", "seresnext50_32x4d", "mobilenet_v2"]
)
def test_other_families_are_none_of_its_business(name):
    view = View(find_baseline(name).build())
    assert regnet_stages(view) == ()
    assert RULE.check_view(view) == ()


@pytest.mark.parametrize(
    "line", [(0, 1, 2, 4), (24, -1, 2, 4), (24, 8, 1, 4), (24, 8, 2, 0)],
)  # fmt: skip
def test_what_is_no_line_is_refused(line):
    with pytest.raises(UserError, match=r"are no rising line; give w_0 > 0"):
        quantised_line(*line)
