"""Graph JSON: a round trip for every baseline, and damage that is refused with its place."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch.errors import GraphError
from archsearch.ir.codec import content_hash, from_dict, from_json, to_dict, to_json
from archsearch.ir.tracer import Tracer
from archsearch.space.registry import load_baselines

BASELINES = load_baselines()


def _tiny(name="tiny", filters=4, rename=""):
    net = Tracer(name, (8, 8, 3))
    x = net.conv(net.input, filters, kernel=3, groups=1, name=f"c{rename}")
    return net.finish(net.dense(net.global_avg_pool(net.relu(x)), 3))


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_round_trip(name):
    graph = BASELINES[name].build()
    again = from_json(to_json(graph))
    assert again == graph
    assert content_hash(again) == content_hash(graph)


def test_hash_sees_layers_not_names():
    assert content_hash(_tiny()) == content_hash(_tiny("other", rename="x"))
    assert content_hash(_tiny()) != content_hash(_tiny(filters=5))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d.update(format="x"), "no archsearch graph"),
        (lambda d: d.pop("nodes"), "damaged"),
        (lambda d: d.update(nodes=[]), "must start with an input"),
        (lambda d: d["nodes"][1].update(op="convolution"), "unknown op 'convolution'; known are"),
        (lambda d: d["nodes"][1].update(speed=3), "conv has no speed"),
        (lambda d: d["nodes"][1].update(shape=[8, 8, 5]), r"stored as \(8, 8, 5\) but follows as"),
        (lambda d: d["nodes"][1].update(inputs=[4]), "do not come before"),
        (lambda d: d["nodes"][1].update(filters="many"), "filters = .many. does not fit a conv"),
        (lambda d: d.update(auxiliary=[1]), "no vector of scores"),
    ],
)
def test_damage_is_refused(damage, message):
    document = json.loads(to_json(_tiny()))
    damage(document)
    with pytest.raises(GraphError, match=message):
        from_dict(document)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_any_json_is_a_graph_or_a_graph_error(value):
    with pytest.raises(GraphError):
        from_json(json.dumps(value))


@given(st.data())
def test_any_change_of_a_field_is_a_graph_or_a_graph_error(data):
    document = json.loads(json.dumps(to_dict(_tiny())))
    node = data.draw(st.sampled_from(document["nodes"]))
    key = data.draw(st.sampled_from(sorted(node)))
    node[key] = data.draw(
        st.none() | st.integers() | st.text() | st.lists(st.integers(), max_size=4) | st.floats()
    )
    with suppress(GraphError):
        from_dict(document)
