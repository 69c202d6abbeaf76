"""Views of an image inside the network: what they show, cost and refuse."""

import numpy as np
import pytest

from archsearch.ensembles.averaged import averaged, averaged_weights
from archsearch.ensembles.views import PLAIN, View, viewing, views_of
from archsearch.errors import UserError
from archsearch.ir.tracer import Tracer
from archsearch.readings.cost import cost
from archsearch.training.weights import fresh_weights
from tests.networks import resnext_like


def pooled():
    """A network that takes images of any size; its answer is not the same to a mirrored image."""
    net = Tracer("pooled", (16, 20, 1))
    x = net.relu(net.conv(net.input, 6, kernel=3, stride=2))
    return net.finish(net.dense(net.global_avg_pool(net.relu(net.conv(x, 8, kernel=3))), 5))


def test_every_scale_once_and_each_mirrored():
    assert views_of((1,), mirror=False) == (PLAIN,)
    assert views_of((0.9, 1, 0.9), mirror=True) == (
        View(0.9), View(0.9, mirrored=True), View(1.0), View(1.0, mirrored=True),
    )  # fmt: skip
    for wrong in (0, -1, float("nan"), 9):
        with pytest.raises(UserError, match=r"wanted 0\.25 to 4, such as"):
            views_of((1, wrong), mirror=False)
    with pytest.raises(UserError, match="no scale is given"):
        views_of((), mirror=True)


def test_a_scaled_view_costs_what_the_network_costs_on_such_images():
    graph = pooled()
    half = Tracer("half", (8, 10, 1))
    x = half.relu(half.conv(half.input, 6, kernel=3, stride=2))
    x = half.global_avg_pool(half.relu(half.conv(x, 8, kernel=3)))
    assert cost(viewing(graph, View(0.5))).flops == cost(half.finish(half.dense(x, 5))).flops
    mirrored = viewing(graph, View(1, mirrored=True))
    assert cost(mirrored).flops == cost(graph).flops
    weights = fresh_weights(graph)
    assert {k: w.shape for k, w in fresh_weights(mirrored).items()} == {
        k: w.shape for k, w in weights.items()
    }


def test_the_plain_view_is_the_network_itself():
    graph = pooled()
    assert viewing(graph, PLAIN) is graph
    assert viewing(graph, View(1.0)) is graph


def test_a_network_of_one_size_refuses_to_scale_and_mirrors():
    net = Tracer("flat", (16, 16, 1))
    graph = net.finish(net.dense(net.flatten(net.conv(net.input, 4, kernel=3)), 5))
    with pytest.raises(
        UserError, match=r"flat can't look at scale 0\.9: .* takes maps of one size"
    ):
        viewing(graph, View(0.9))
    assert cost(viewing(graph, View(1, mirrored=True))).flops == cost(graph).flops


@pytest.mark.keras
def test_the_mean_over_views_is_that_of_the_images_shown_so():
    import keras

    from archsearch.training.lowering.keras_model import build_model
    from archsearch.training.weights import set_weights

    graph = resnext_like(channels=1)
    weights = fresh_weights(graph)
    views = views_of((0.75, 1), mirror=True)

    def answers(of, own, images):
        model = build_model(of, lowering="train")
        set_weights(model, of, own)
        return np.asarray(keras.ops.softmax(model(images, training=False)))

    images = np.random.default_rng(0).normal(size=(5, *graph.input)).astype(np.float32)
    seen = [viewing(graph, view) for view in views]
    whole = averaged(seen, "views")
    got = answers(whole, averaged_weights(seen, [weights] * len(views)), images)
    size = tuple(round(0.75 * side) for side in graph.input[:2])
    small = Tracer("small", (*size, 1))
    shapes = viewing(graph, View(0.75)).nodes[1].shape
    assert shapes == (*small.input.shape,)
    shrunk = np.asarray(keras.ops.image.resize(images, size, interpolation="bilinear"))
    alone = viewing(graph, View(0.75))
    # The same network, told of small images from the start: its nodes after the resizing.
    first = alone.nodes[0]._replace(op=type(alone.nodes[0].op)(shapes), shape=shapes)
    rest = tuple(n._replace(inputs=tuple(max(0, i - 1) for i in n.inputs)) for n in alone.nodes[2:])
    direct = type(graph)("direct", (first, *rest))
    wanted = [
        answers(of, weights, shown[:, :, ::-1] if mirrored else shown)
        for of, shown in ((direct, shrunk), (graph, images))
        for mirrored in (False, True)
    ]
    np.testing.assert_allclose(got, np.mean(wanted, axis=0), atol=1e-5)
    assert np.abs(wanted[2] - wanted[3]).max() > 1e-4  # a mirrored image is another one
