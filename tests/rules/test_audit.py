"""Audits of published networks: what must be found, what must not, and that every figure is real."""

import doctest
import importlib
import random

import pytest

from archsearch.errors import UserError
from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tracer
from archsearch.readings.cost import cost
from archsearch.rules.audit import audit, rule_rows
from archsearch.rules.registry import find_rule, load_rules
from archsearch.space.budget import Budget, Request
from archsearch.space.registry import find_baseline, find_space, load_baselines, load_spaces
from archsearch.space.solve import solve

RULES = (
    "3x3-stacks", "channel-doubling", "aggressive-stem", "global-average-pooling-head",
    "1x1-bottleneck", "bottleneck-ratio", "identity-shortcut", "pre-activation", "resnext-width",
    "widening", "cardinality", "squeeze-excitation", "dense-concatenation", "fire-module",
    "depthwise-separable", "linear-bottleneck", "bn-after-conv", "stochastic-depth",
    "cost-profile", "compound-scaling", "quantised-line",
)  # fmt: skip


def rules_and_layers(name, **build):
    return [(f.rule, f.layer) for f in audit(find_baseline(name).build(**build))]


def test_every_rule_is_there_and_says_who_taught_it():
    rules = load_rules()
    assert set(rules) == set(RULES)
    for name, rule in rules.items():
        assert rule.name == name
        assert rule.statement.endswith(".")
        assert str(rule.source).count(",") >= 1
        assert bool(rule.formula) == (rule.equation is not None)
    assert [row["name"] for row in rule_rows()] == list(rules)
    assert all(row["tolerance"] for row in rule_rows())


def test_a_rule_is_found_by_its_name_and_a_near_miss_is_helped():
    assert find_rule("widening").name == "widening"
    with pytest.raises(UserError, match="did you mean 3x3-stacks"):
        find_rule("3x3-stack")


def test_alexnet_has_large_kernels_and_a_dense_head():
    assert rules_and_layers("alexnet") == [
        ("3x3-stacks", "conv1"),
        ("3x3-stacks", "conv2"),
        ("channel-doubling", "conv4"),
        ("global-average-pooling-head", "fc6"),
    ]
    assert rules_and_layers("alexnet", input=(227, 227, 3)) == rules_and_layers("alexnet")


@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16", "vgg19"])
def test_nothing_is_wrong_with_vggs_convolutions(name):
    assert rules_and_layers(name) == [("global-average-pooling-head", "head.dense1")]


@pytest.mark.parametrize(
    "name",
    [
        "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet20_cifar",
        "resnet56_cifar", "wrn_16_8", "wrn_28_10", "wrn_40_4", "wide_resnet50_2",
        "resnext50_32x4d", "resnext101_32x4d",
    ],
)  # fmt: skip
def test_clean_networks(name):
    assert rules_and_layers(name) == []


@pytest.mark.parametrize(
    "name", ["densenet121", "squeezenet1_0", "mobilenet_v1", "mobilenet_v2", "seresnet50"]
)
def test_the_networks_that_taught_a_rule_keep_it(name):
    if name not in load_baselines():
        pytest.skip(f"{name} is not installed")
    assert rules_and_layers(name) == []


@pytest.mark.parametrize("name", sorted(load_baselines()))
def test_every_figure_is_the_difference_of_two_networks_that_build(name):
    graph = find_baseline(name).build()
    before = cost(graph)
    for finding in audit(graph):
        after = cost(finding.followed)
        assert finding.flops == after.flops - before.flops
        assert finding.params == after.params - before.params
        assert finding.followed.input == graph.input
        assert finding.followed.classes == graph.classes
        assert finding.layer in {n.name for n in graph}
        # Following the rule settles the finding.
        left = find_rule(finding.rule).check(finding.followed)
        assert finding.found not in {f.found for f in left if f.layer == finding.layer}
        # What is replaced costs no more than the network, and what is left no less than nothing.
        assert 0 <= finding.flops_before <= before.flops
        assert finding.flops_before + finding.flops >= 0
        assert finding.params_before + finding.params >= 0


@pytest.mark.parametrize("name", ["alexnet", "resnet110_cifar", "vgg16", "resnext101_32x8d"])
def test_names_are_never_looked_at(name):
    graph = find_baseline(name).build()
    shuffled = [str(i) for i in range(len(graph))]
    random.Random(0).shuffle(shuffled)
    nodes = [n._replace(name=s) for n, s in zip(graph.nodes, shuffled, strict=True)]
    renamed = audit(Graph("x", tuple(nodes), graph.auxiliary))
    assert [(f.rule, f.found, f.flops) for f in renamed] == [
        (f.rule, f.found, f.flops) for f in audit(graph)
    ]


def test_some_rules_alone():
    graph = find_baseline("alexnet").build()
    assert [f.layer for f in audit(graph, [find_rule("3x3-stacks")])] == ["conv1", "conv2"]


def test_rows_are_plain_values():
    (row,) = (finding.to_dict() for finding in audit(find_baseline("vgg16").build()))
    assert row["rule"] == "global-average-pooling-head"
    assert row["params"] == 512 * 1000 + 1000 - (25088 * 4096 + 4096 + 4096 * 4096 + 4096 + 4097000)
    assert row["effect"] == "with 99.5 % fewer parameters and FLOPs"


@pytest.mark.keras
@pytest.mark.parametrize(
    ("name", "side", "rules"),
    [
        ("alexnet", 96, {"3x3-stacks", "channel-doubling", "global-average-pooling-head"}),
        ("vgg11_bn", 32, {"bn-after-conv"}),
        pytest.param("densenet40_12", 32, {"dense-concatenation"}, marks=pytest.mark.slow),
        pytest.param("resnext29_8x64d", 32, {"resnext-width"}, marks=pytest.mark.slow),
        pytest.param("resnet110_cifar", 32, {"widening"}, marks=pytest.mark.slow),
    ],
)
def test_figures_hold_for_the_models_keras_builds(name, side, rules):
    from archsearch.training.lowering.keras_model import build_model
    from tests.training.test_agreement import counted_flops, trainable

    def counted(graph):
        model = build_model(graph, lowering="plain")
        return counted_flops(model), trainable(model.layers)

    graph = find_baseline(name).build((side, side, 3), 10)
    flops, params = counted(graph)
    proven = set()
    for finding in audit(graph):
        if name == "alexnet" or finding.rule not in proven:
            proven.add(finding.rule)
            assert counted(finding.followed) == (flops + finding.flops, params + finding.params)
    assert rules <= proven


@pytest.mark.parametrize("name", sorted(load_spaces()))
def test_audits_of_any_candidate_of_a_space(name):
    input = (32, 32, 3)
    space = find_space(name)
    request = Request(input=input, classes=10, budget=Budget.parse("50M", input))
    rng = random.Random(0)
    for _ in range(4):
        knobs = {knob.name: rng.choice(knob.values()) for knob in space.knobs(request)}
        graph = solve(space, knobs, request).graph
        for finding in audit(graph):
            assert finding.message.startswith(f"{finding.layer}: ")
            assert finding.flops == cost(finding.followed).flops - cost(graph).flops


@pytest.mark.parametrize("seed", range(12))
def test_audits_of_odd_networks(seed):
    graph = odd_network(random.Random(seed))
    for finding in audit(graph):
        assert finding.flops == cost(finding.followed).flops - cost(graph).flops


def odd_network(rng):
    """Layers in no sensible order: branches, gates, shortcuts, all drawn."""
    net = Tracer("odd", (rng.randint(20, 130), rng.randint(20, 130), 3))
    x = net.input
    for _ in range(rng.randint(1, 25)):
        width = rng.choice((4, 8, 16, 64))
        match rng.randrange(9):
            case 0 | 1:
                x = net.conv(
                    x, width, kernel=rng.choice((1, 3, 5, 7)), stride=rng.choice((1, 1, 2))
                )
            case 2:
                x = net.batch_norm(x)
            case 3:
                x = net.relu(x)
            case 4 if x.side > 4:
                x = net.max_pool(x, kernel=2)
            case 5:
                x = net.add(x, net.conv(x, x.channels, kernel=3, groups=x.channels))
            case 6:
                x = net.concat([x, net.conv(x, width, kernel=3), net.conv(x, width, kernel=1)])
            case 7:
                gate = net.conv(net.global_avg_pool(x, keep_map=True), width, kernel=1)
                gate = net.conv(net.relu(gate), x.channels, kernel=1)
                x = net.multiply(x, net.activation(gate, "sigmoid"))
            case _:
                x = net.add(
                    x, net.drop_path(net.batch_norm(net.conv(x, x.channels, kernel=3)), 0.9)
                )
    x = net.flatten(x) if rng.random() < 0.5 else net.global_avg_pool(x)
    return net.finish(net.dense(x, 5))


@pytest.mark.parametrize(
    "module", ["vgg", "inception", "resnext", "wrn", "senet", "densenet", "squeezenet",
               "mobilenet", "stochastic_depth", "efficientnet", "regnet"],
)  # fmt: skip
def test_the_equations_examples(module):
    results = doctest.testmod(importlib.import_module(f"archsearch.rules.families.{module}"))
    assert results.attempted
    assert not results.failed
