"""Deconvnet against what can be said by hand, Grad-CAM on objects whose place is known."""

import numpy as np
import pytest

from archsearch.ensembles.averaged import averaged
from archsearch.errors import UserError
from archsearch.inference.visualization.inside import Inside
from archsearch.inference.visualization.strongest import strongest_units
from archsearch.ir.tracer import Tracer
from archsearch.readings.trunk import stage_ends
from archsearch.training.weights import fresh_weights, get_weights
from tests.networks import resnext_like, vgg_like

pytestmark = pytest.mark.keras
ONE = {"shift": np.zeros(1, np.float32), "scale": np.ones(1, np.float32)}


def pooled(kernel, stride):
    net = Tracer("a max pool", (9, 9, 1))
    pool = net.max_pool(net.input, kernel=kernel, stride=stride)
    graph = net.finish(net.dense(net.flatten(pool), 2))
    return Inside(graph, fresh_weights(graph), **ONE, ends=[graph.nodes[1]])


def test_a_max_pool_is_inverted_to_the_pixel():
    # Values all different, so that every switch is known.
    images = np.random.default_rng(0).permutation(81).reshape(1, 9, 9, 1).astype(np.uint8) + 1
    inside = pooled(kernel=3, stride=3)
    back = inside.deconvolved(images, 0, [None])[0, ..., 0]
    image = images[0, ..., 0].astype(np.float32)
    wanted = np.zeros((9, 9), np.float32)
    for row in range(0, 9, 3):
        for column in range(0, 9, 3):
            window = image[row : row + 3, column : column + 3]
            at = np.unravel_index(window.argmax(), (3, 3))
            wanted[row + at[0], column + at[1]] = window.max()
    assert np.array_equal(back, wanted)
    (maps,), _ = inside.maps(images)
    # One unit comes back as its own pixel, and pooling what came back gives the same map again.
    one = inside.deconvolved(images, 0, [(1, 2, 0)])[0, ..., 0]
    assert np.count_nonzero(one) == 1
    assert one.max() == maps[0, 1, 2, 0] == wanted[3:6, 6:9].max()
    (again,), _ = inside.maps(back[None, ..., None].astype(np.uint8))
    assert np.array_equal(again, maps)


def test_windows_that_overlap_give_a_pixel_all_it_is_the_largest_of():
    images = np.zeros((1, 9, 9, 1), np.uint8)
    images[0, 4, 4] = 200
    back = pooled(kernel=3, stride=2).deconvolved(images, 0, [None])[0, ..., 0]
    windows = 4  # rows and columns 2–4 and 4–6
    assert back[4, 4] == windows * 200
    assert np.count_nonzero(back) == 1


def test_rectifiers_stop_the_negative_part_of_the_signal_wherever_it_comes_from():
    net = Tracer("two convolutions", (4, 4, 1))
    x = net.relu(net.conv(net.input, 2, kernel=1))
    y = net.relu(net.conv(x, 1, kernel=1))
    graph = net.finish(net.dense(net.flatten(y), 2))
    weights = fresh_weights(graph)
    first, second = (node.name for node in graph if node.op.kind == "conv")
    weights[f"{first}:0"] = np.array([1.0, 2.0], np.float32).reshape(1, 1, 1, 2)
    weights[f"{second}:0"] = np.array([3.0, -1.0], np.float32).reshape(1, 1, 2, 1)
    images = np.full((1, 4, 4, 1), 5, np.uint8)
    inside = Inside(graph, weights, **ONE)
    # Forward 5 → (5, 10) → 15 − 10 = 5. Back: 5 → (15, −5), of which the second is stopped → 15;
    # the plain gradient would give 5 · (3 − 2) = 5.
    assert inside.deconvolved(images, 0, [None])[0].tolist() == np.full((4, 4, 1), 15.0).tolist()


def test_a_grouped_network_with_shortcuts_is_seen_through_as_it_is_trained():
    graph = resnext_like()
    rng = np.random.default_rng(0)
    weights = {
        k: w + 0.1 * rng.random(w.shape, np.float32) for k, w in fresh_weights(graph).items()
    }
    images = rng.integers(0, 256, (3, 16, 16, 3), np.uint8)
    shift, scale = np.full(3, 120, np.float32), np.full(3, 60, np.float32)
    inside = Inside(graph, weights, shift=shift, scale=scale)
    maps, logits = inside.maps(images)
    assert [found.shape for found in maps] == [(3, 16, 16, 32), (3, 8, 8, 64)]
    class_maps = inside.class_maps(images, [0, 1, 2])
    # The last map reaches the logits by a mean and a dense layer: Grad-CAM is then CAM (Selvaraju et al.
    # 2017, section 3.1), up to the number of pixels.
    dense = next(node.name for node in graph if node.op.kind == "dense")
    kernel = weights[f"{dense}:0"]
    for n in range(3):
        cam = np.maximum(maps[1][n] @ kernel[:, n], 0) / 64
        np.testing.assert_allclose(class_maps[1][n], cam, rtol=1e-3, atol=1e-5)
    units = strongest_units(inside, images, 1, maps[1], units=3, examples=2)
    assert [len(unit.drives) for unit in units] == [2, 2, 2]
    for unit in units:
        assert unit.drives[0].value >= unit.drives[1].value > 0
        assert unit.drives[0].patch.shape == unit.drives[0].back.shape
    assert logits.shape == (3, 5)


@pytest.fixture(scope="module")
def finder():
    """A network that has learnt to tell stripes from stripes, wherever they lie in noise."""
    import keras

    from archsearch.training.lowering.keras_model import build_model

    net = Tracer("a finder", (48, 48, 1))
    x = net.input
    for width in (8, 16, 16):
        x = net.max_pool(net.relu(net.batch_norm(net.conv(x, width, kernel=3))), kernel=2)
    x = net.relu(net.batch_norm(net.conv(x, 16, kernel=3)))
    graph = net.finish(net.dense(net.global_avg_pool(x), 2))
    images, labels, _ = pasted(400, seed=0)
    model = build_model(graph, lowering="train")
    model.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit((images - 128.0) / 64, labels, epochs=6, batch_size=50, verbose=0)
    shift, scale = np.full(1, 128, np.float32), np.full(1, 64, np.float32)
    return Inside(graph, get_weights(model, graph), shift=shift, scale=scale)


def pasted(count, *, seed):
    """Noise with an object of 16 pixels in one corner: stripes that lie or stand; which corner it is."""
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 166, (count, 48, 48, 1)).astype(np.uint8)
    labels, corners = rng.integers(0, 2, count), rng.integers(0, 4, count)
    stripes = np.where(np.arange(16) // 2 % 2 == 0, 20, 235).astype(np.uint8)
    for image, label, corner in zip(images, labels, corners, strict=True):
        row, column = 32 * (corner // 2), 32 * (corner % 2)
        patch = np.tile(stripes, (16, 1)) if label else np.tile(stripes[:, None], (1, 16))
        image[row : row + 16, column : column + 16, 0] = patch
    return images, labels, corners


def test_on_an_object_in_a_corner_the_class_map_lies_on_it(finder):
    images, labels, corners = pasted(64, seed=1)
    _, logits = finder.maps(images)
    assert (logits.argmax(axis=1) == labels).mean() > 0.95
    found = finder.class_maps(images, labels.tolist())[-1]
    assert stage_ends(finder.graph)[-1].shape[:2] == found.shape[1:] == (6, 6)
    on_it = 0
    shares = []
    for one, corner in zip(found, corners, strict=True):
        row, column = np.unravel_index(one.argmax(), one.shape)
        on_it += (row // 3, column // 3) == (corner // 2, corner % 2)
        quarter = one[3 * (corner // 2) :, 3 * (corner % 2) :][:3, :3]
        shares.append(quarter.sum() / one.sum())
    assert on_it >= 0.95 * len(images)
    assert np.mean(shares) > 0.7  # a quarter of the image has most of the map


def test_networks_side_by_side_have_no_map_to_look_at():
    graph = averaged([vgg_like(), vgg_like()], "e")
    with pytest.raises(UserError, match="as an ensemble has none; visualize one network"):
        Inside(graph, fresh_weights(graph), **ONE)
