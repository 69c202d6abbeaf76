"""Published networks cost exactly what others count for them (see count_golden.py for the origin)."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from archsearch.errors import GraphError
from archsearch.ir.codec import from_json, to_json
from archsearch.readings.cost import cost, node_params, training_only
from archsearch.space.registry import find_baseline, load_baselines

GOLDEN = json.loads(Path(__file__).with_name("golden_costs.json").read_text(encoding="utf-8"))
NAMES = sorted(set(GOLDEN) - {"counted with"})
BASELINES = load_baselines()
OURS = {n for n, b in BASELINES.items() if b.write.__module__.startswith("search_spaces")}


def test_every_baseline_has_a_golden_cost():
    assert set(NAMES) == OURS
    assert all(GOLDEN[name]["origin"] for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_cost_is_exactly_the_golden_one(name):
    baseline = BASELINES[name]
    got = cost(baseline.build())
    wanted = GOLDEN[name]
    assert list(baseline.input) == wanted["input"]
    assert (got.flops, got.params) == (wanted["flops"], wanted["params"])


@pytest.mark.parametrize("name", NAMES)
def test_smallest_side_is_where_it_starts_to_work(name):
    baseline = BASELINES[name]
    channels = baseline.input[2]
    graph = baseline.build((baseline.smallest, baseline.smallest, channels), 10)
    assert graph.nodes[-1].shape == (10,)
    assert all(side >= 1 for node in graph for side in node.shape[:-1])
    # Fully convolutional residual networks survive any image; the others say so before.
    if baseline.smallest not in (8, 32):
        side = baseline.smallest - 1
        with pytest.raises(GraphError, match="does not fit"):
            baseline.build((side, side, channels), 10)


@pytest.mark.parametrize("name", ["googlenet_aux", "alexnet_2012", "fractalnet20", "inception_v4"])
def test_survives_json(name):
    graph = BASELINES[name].build()
    assert from_json(to_json(graph)) == graph


def test_auxiliary_heads_are_the_papers_and_cost_nothing_in_use():
    graph = find_baseline("googlenet_aux").build()
    heads = [graph.nodes[i] for i in training_only(graph)]
    params = sum(node_params(n.op, graph.input_shapes(n)) for n in heads)
    # 4×4×128 = 2048 inputs to 1024 units, on 512 and on 528 channels.
    wanted = sum((c + 1) * 128 + (2048 + 1) * 1024 + (1024 + 1) * 1000 for c in (512, 528))
    assert params == wanted
    assert [graph.nodes[i].shape for i in graph.auxiliary] == [(1000,), (1000,)]
    assert cost(graph).params == cost(find_baseline("googlenet").build()).params


def test_survival_falls_linearly_to_a_half():
    graph = find_baseline("resnet110_stochastic_depth").build()
    survivals = [node.op.survival for node in graph if node.op.kind == "drop_path"]
    assert len(survivals) == 54
    assert survivals[0] == pytest.approx(1 - 0.5 / 54, abs=1e-6)
    assert survivals[-1] == 0.5
    steps = [a - b for a, b in pairwise(survivals)]
    assert max(steps) - min(steps) < 1e-5
