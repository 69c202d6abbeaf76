"""Published networks on other images than their own."""

import pytest

from archsearch.errors import GraphError
from archsearch.ir.codec import from_json, to_json
from archsearch.readings.cost import cost
from archsearch.space.registry import load_baselines

BASELINES = load_baselines()


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_every_baseline_takes_small_images_as_they_are_or_scaled_up(name):
    graph = BASELINES[name].build((32, 32, 1), 7, resize=True)
    assert graph.input == (32, 32, 1)
    assert graph.classes == 7
    scaled = graph.nodes[1].op.kind == "resize"
    assert scaled == (BASELINES[name].smallest > 32)
    if scaled:
        side = BASELINES[name].smallest
        assert graph.nodes[1].shape == (side, side, 1)
        assert cost(graph) != cost(BASELINES[name].build((side, side, 3), 7))
    assert from_json(to_json(graph)) == graph


def test_images_are_scaled_only_where_asked():
    with pytest.raises(GraphError, match="give a larger image"):
        BASELINES["alexnet"].build((32, 32, 3))


def test_scaling_keeps_the_shape_of_the_image():
    graph = BASELINES["alexnet"].build((20, 40, 3), 3, resize=True)
    assert graph.nodes[1].shape == (63, 126, 3)
    assert BASELINES["alexnet"].build((64, 64, 3), 3, resize=True).nodes[1].op.kind == "conv"
