"""Each paper's network comes out of its space at its own budget: layer for layer, channel for channel.

Three do not, and why is said where they are tested: their papers set widths by hand where a space has a rule.
"""

import pytest

from archsearch.ir.codec import content_hash
from archsearch.readings.cost import cost
from archsearch.space.budget import Budget, Request
from archsearch.space.registry import find_baseline, find_space
from archsearch.space.solve import solve


def member(space_name, baseline, relax=(), **knobs):
    """The published network, and the candidate of its space's classic with these knobs at its budget."""
    graph = find_baseline(baseline).build()
    space = find_space(space_name)
    budget = Budget.cap(cost(graph).flops, graph.input)
    asked = Request(graph.input, graph.classes, budget, frozenset(relax))
    return graph, solve(space, {**space.classic_knobs(asked), **knobs}, asked)


BASIC = {"block": "basic"}


@pytest.mark.parametrize(
    ("space", "baseline", "knobs"),
    [
        ("resnet", "resnet50", {}),
        ("resnet", "resnet101", {"depth3": 23}),
        ("resnet", "resnet18", {**BASIC, "depth1": 2, "depth2": 2, "depth3": 2, "depth4": 2}),
        ("resnet", "resnet34", BASIC),
        ("preact", "resnet50v2", {}),
        ("wrn", "wrn_28_10", {}),
        ("wrn", "wrn_40_4", {"n": 6, "k": 4}),
        ("resnext", "resnext50_32x4d", {}),
        ("se", "seresnext50_32x4d", {}),
        ("se", "seresnet50", {"cardinality": 1}),
        ("densenet", "densenet121", {}),
        ("mobilenet", "mobilenet_v1", {}),
    ],
)
def test_the_papers_network_is_the_spaces_own_at_its_budget(space, baseline, knobs):
    graph, candidate = member(space, baseline, **knobs)
    assert content_hash(candidate.graph) == content_hash(graph)
    assert candidate.fill == 1


def test_vgg16_keeps_512_channels_where_the_rule_doubles():
    # Its fifth stage is as wide as its fourth, so that it is in the space that frees channel-doubling.
    graph, candidate = member(
        "vgg", "vgg16", ["channel-doubling"], batch_norm=False, multiplier5=1.0
    )
    assert content_hash(candidate.graph) == content_hash(graph)
    graph, candidate = member("vgg", "vgg16", batch_norm=False)
    assert content_hash(candidate.graph) != content_hash(graph)
    assert candidate.widths["stage5"] == 2 * candidate.widths["stage4"]


def test_squeezenet_widens_within_its_last_stage():
    # 384 channels in fires 6 and 7, 512 in 8 and 9, at one resolution; a stage of the space has one width.
    graph, candidate = member("squeezenet", "squeezenet1_1")
    widths = {node.shape for node in graph if node.op.kind == "concat"}
    assert {(13, 13, 384), (13, 13, 512)} <= widths
    own = [n.shape for n in candidate.graph if n.op.kind == "concat"]
    assert len(own) == 8
    assert len(set(own)) == 3


def test_mobilenet_v2_sets_its_widths_by_hand():
    # 16-24-32-64-96-160-320: no doubling, and two widths at 14×14 and 7×7; a stage of the space has one.
    graph, candidate = member("mobilenet_v2", "mobilenet_v2")
    ends = {n.shape for n in graph if n.op.kind == "add"}
    assert {(14, 14, 64), (14, 14, 96)} <= ends
    assert [candidate.knobs[f"depth{i}"] for i in (1, 2, 3)] == [1, 2, 3]
    own = {n.shape for n in candidate.graph if n.op.kind == "add"}
    assert len({shape[:2] for shape in own}) == len(own)


def test_regnet_has_the_published_depths_and_widths_but_for_one_group():
    _, candidate = member("regnet", "regnetx_008")
    stages = [(stage["width"], stage["depth"]) for stage in candidate.notes["stages"]]
    # Published: 64-128-288-672 in 1-3-7-5 blocks, of a line that climbs by 2.86 steps of 2.28, not 3 of 2.25.
    assert [depth for _, depth in stages] == [1, 3, 6, 6]
    assert [width for width, _ in stages] == [64, 128, 288, 656]
    assert 0.99 < candidate.fill <= 1


def test_efficientnet_b0_is_the_spaces_own_but_for_the_blocks_that_training_drops():
    graph, candidate = member("efficientnet", "efficientnet_b0")
    kept = [(n.op, n.shape) for n in graph if n.op.kind != "drop_path"]
    assert [(n.op, n.shape) for n in candidate.graph] == kept
