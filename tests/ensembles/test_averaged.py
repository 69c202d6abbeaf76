"""Networks side by side answer with the mean of their probabilities, whatever runs them."""

import numpy as np
import pytest

from archsearch.ensembles.averaged import averaged, averaged_weights
from archsearch.errors import GraphError
from archsearch.ir.codec import from_json, to_json
from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tracer
from archsearch.readings.cost import cost
from archsearch.training.weights import fresh_weights
from tests.networks import resnext_like, vgg_like


def with_auxiliary() -> Graph:
    net = Tracer("with auxiliary", (16, 16, 1))
    x = net.relu(net.conv(net.input, 8, kernel=3, stride=2))
    with net.training_only("aux"):
        net.auxiliary(net.dense(net.global_avg_pool(x), 5))
    return net.finish(net.dense(net.flatten(x), 5))


MEMBERS = (vgg_like(), with_auxiliary(), resnext_like(channels=1))


def test_it_costs_what_its_members_cost_together():
    whole, own = cost(averaged(MEMBERS, "e")), [cost(graph) for graph in MEMBERS]
    assert whole.flops == sum(each.flops for each in own)
    assert whole.params == sum(each.params for each in own)


def test_it_is_a_network_like_any_other():
    whole = averaged(MEMBERS, "e")
    assert from_json(to_json(whole)) == whole
    assert len({node.name for node in whole}) == len(whole)
    assert (whole.input, whole.classes) == ((16, 16, 1), 5)
    assert not [node for node in whole if "aux" in node.name]
    assert {node.stage for node in whole} == {"input", "member1", "member2", "member3", "average"}
    weights = averaged_weights(MEMBERS, [fresh_weights(graph) for graph in MEMBERS])
    assert set(weights) == set(fresh_weights(whole))


def test_members_share_images_and_classes():
    with pytest.raises(GraphError, match="two networks at least, got 1"):
        averaged(MEMBERS[:1], "e")
    with pytest.raises(GraphError, match=r"member 2 takes \(16, 16, 3\) and tells 5 classes apart"):
        averaged([vgg_like(), resnext_like()], "e")
    with pytest.raises(GraphError, match="tells 7 classes apart"):
        averaged([vgg_like(), vgg_like(classes=7)], "e")


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.keras
def test_its_probabilities_are_the_mean_of_theirs():
    from archsearch.training.lowering.keras_model import build_model
    from archsearch.training.weights import get_weights, set_weights

    images = np.random.default_rng(0).standard_normal((6, 16, 16, 1)).astype("float32") * 3
    members, weights, answers = MEMBERS[:2], [], []
    for seed, graph in enumerate(members):
        model = build_model(graph, lowering="plain", seed=seed)
        weights.append(get_weights(model, graph))
        answers.append(softmax(np.asarray(model(images, training=False), np.float64)))
    whole = averaged(members, "e")
    model = build_model(whole, lowering="plain")
    set_weights(model, whole, averaged_weights(members, weights))
    found = softmax(np.asarray(model(images, training=False), np.float64))
    np.testing.assert_allclose(found, np.mean(answers, axis=0), atol=2e-6)
