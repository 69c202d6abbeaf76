"""Keras layers read one by one: the graph's own model answers as Keras's does, with the same weights."""

import json
import zipfile

import numpy as np
import pytest

from archsearch.errors import GraphError, UserError
from archsearch.exchange.keras_import import from_config, from_keras
from archsearch.exchange.network_files import load_network
from archsearch.ir.codec import from_json, to_json
from archsearch.readings.cost import cost
from archsearch.training.lowering.layer_names import layers_of

pytestmark = pytest.mark.keras


def around(layer, shape=(9, 8, 6)):
    """A Keras model with the layer in the middle."""
    import keras

    inputs = keras.Input(shape)
    x = keras.layers.Conv2D(6, 3, padding="same", name="before")(inputs)
    x = keras.layers.Flatten()(layer(x))
    return keras.Model(inputs, keras.layers.Dense(3, name="after")(x))


def layers_that_are_read():
    from keras import initializers, layers

    return {
        "elu": layers.ELU(),
        "elu of another alpha": layers.ELU(0.4),
        "prelu a channel": layers.PReLU(shared_axes=[1, 2]),
        "prelu a number": layers.PReLU(alpha_initializer=initializers.Constant(0.3)),
        "spatial dropout": layers.SpatialDropout2D(0.4),
        "group normalization": layers.GroupNormalization(3),
        "instance normalization": layers.GroupNormalization(-1, center=False),
        "nearest": layers.UpSampling2D(2),
        "bilinear": layers.UpSampling2D((3, 2), interpolation="bilinear"),
        "resizing": layers.Resizing(5, 12),
        "resizing to the nearest": layers.Resizing(18, 4, interpolation="nearest"),
        "layer normalization": layers.LayerNormalization(),
        "layer normalization of all": layers.LayerNormalization(axis=[1, 2, 3], epsilon=0.01),
        "permute": layers.Permute((3, 1, 2)),
        "permute places": layers.Permute((2, 1, 3)),
        "center crop": layers.CenterCrop(4, 5),
        "gaussian dropout": layers.GaussianDropout(0.3),
        "grey": layers.RandomGrayscale(0.5),
    }


@pytest.mark.parametrize("name", list(range(18)))
def test_what_is_read_computes_the_same(name):
    from archsearch.training.lowering.keras_model import build_model

    label, layer = list(layers_that_are_read().items())[name]
    model = around(layer)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    graph = from_keras(model)
    assert cost(graph).params == sum(int(np.prod(w.shape)) for w in model.trainable_weights), label
    assert from_json(to_json(graph)) == graph
    again = build_model(graph, lowering="plain")
    for node, own in layers_of(again, graph).items():
        if own.weights and "seed" not in own.weights[0].path:
            own.set_weights([np.asarray(w) for w in model.get_layer(node).weights])
    images = rng.normal(size=(2, 9, 8, 6)).astype("float32")
    wanted = np.asarray(model(images, training=False))
    np.testing.assert_allclose(again(images, training=False), wanted, atol=1e-4)


def test_every_layer_is_tried():
    assert len(layers_that_are_read()) == 18


def test_a_random_crop_is_what_keras_documents_outside_training():
    from keras import layers

    graph = from_keras(around(layers.RandomCrop(4, 4)))
    # The largest square of 9×8, in the middle, brought to 4×4.
    found = [(n.op.kind, n.shape) for n in graph.nodes[2:-2]]
    assert found == [("crop", (8, 8, 6)), ("resize", (4, 4, 6))]
    assert [n.op.kind for n in from_keras(around(layers.RandomCrop(9, 8))).nodes[2:-2]] == []


def test_what_of_them_is_not_read_says_so():
    from keras import layers

    for layer, why in (
        (layers.Resizing(4, 4, crop_to_aspect_ratio=True), "has crop_to_aspect_ratio"),
        (layers.Resizing(4, 4, interpolation="bicubic"), "has the interpolation 'bicubic'"),
        (layers.UpSampling2D(2, interpolation="lanczos3"), "has the interpolation 'lanczos3'"),
        (layers.PReLU(shared_axes=[1]), r"shares its slopes along \[1\]"),
        (layers.GroupNormalization(3, axis=1), "works along axis 1"),
        (layers.LayerNormalization(axis=[1, 2]), r"works along axis \[1, 2\]"),
    ):
        with pytest.raises(GraphError, match=why):
            from_keras(around(layer))


KERAS_2_SEQUENTIAL = {
    "module": "keras",
    "class_name": "Sequential",
    "config": {
        "name": "sequential",
        "layers": [
            {"module": "keras.layers", "class_name": "InputLayer",
             "config": {"batch_input_shape": [None, 8, 8, 3], "name": "input"}},
            {"module": "keras.layers", "class_name": "Flatten", "config": {"name": "flatten"}},
            {"module": "keras.layers", "class_name": "Dense",
             "config": {"name": "dense", "units": 2, "use_bias": True, "activation": "linear"}},
        ],
    },
}  # fmt: skip


def test_sequential_models_of_keras_2_are_named_as_such(tmp_path):
    with pytest.raises(GraphError, match="sequential was written by Keras 2; load it with Keras 3"):
        from_config(KERAS_2_SEQUENTIAL)
    with zipfile.ZipFile(tmp_path / "old.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(KERAS_2_SEQUENTIAL))
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
    with pytest.raises(UserError, match=r"written by Keras 2\.15\.0; load it with Keras 3"):
        load_network(tmp_path / "old.keras")


@pytest.mark.slow  # the quick run reads an HDF5 file that holds code, which nothing runs
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning")
def test_hdf5_files_are_read_where_keras_reads_them_in_safe_mode(tmp_path):
    from keras import Sequential, layers

    pytest.importorskip("h5py")
    model = around(layers.ELU())
    model.save(tmp_path / "model.h5")
    assert load_network(tmp_path / "model.h5") == from_keras(model)
    mine = Sequential([layers.Input((8, 8, 3)), layers.Lambda(lambda x: x * 2), layers.Flatten()])
    mine.save(tmp_path / "code.h5")
    with pytest.raises(UserError, match=r"in safe mode: .*Lambda"):
        load_network(tmp_path / "code.h5")
    (tmp_path / "none.h5").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match="is no HDF5 file"):
        load_network(tmp_path / "none.h5")


# Each such file starts a process of Keras; of those that are refused the quick run tries the one with code.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning")
def test_an_hdf5_file_that_is_cut_short(tmp_path):
    from keras import layers

    pytest.importorskip("h5py")
    around(layers.ELU()).save(tmp_path / "model.h5")
    whole = (tmp_path / "model.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"in safe mode|cannot be read"):
        load_network(tmp_path / "cut.h5")
