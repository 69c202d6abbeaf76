"""Networks read back from Keras: costs against a count over Keras's own weights and shapes."""

import json
import random
import subprocess
import sys
import zipfile

import pytest

from archsearch.errors import GraphError, UserError
from archsearch.exchange.keras_import import from_config, from_keras
from archsearch.exchange.network_files import load_keras_file, load_network, load_saved_model
from archsearch.ir.codec import from_json, to_dict, to_json
from archsearch.readings.cost import cost
from archsearch.space.registry import find_baseline
from archsearch.training.lowering.layer_names import layers_of
from tests.networks import everything, resnext_like, vgg_like

pytestmark = pytest.mark.keras

QUICK = ("MobileNetV2", "MobileNetV3Small", "ResNet50V2", "ConvNeXtTiny")
SLOW = (
    "VGG16", "VGG19", "ResNet50", "ResNet101", "DenseNet121", "DenseNet169", "InceptionV3",
    "InceptionResNetV2", "Xception", "MobileNet", "MobileNetV3Large", "NASNetMobile",
    "NASNetLarge", "EfficientNetB0", "EfficientNetB3", "EfficientNetV2B0", "EfficientNetV2S",
    "ConvNeXtSmall", "ResNet152V2",
)  # fmt: skip


def independent_count(model):
    """(FLOPs, trainable parameters) from each layer's own kernel and output: nothing of ours."""
    import numpy as np

    def size(variable):
        return int(np.prod(variable.shape))

    flops = 0
    for layer in model._flatten_layers(include_self=False, recursive=True):
        kind = type(layer).__name__
        if kind in {"Conv2D", "DepthwiseConv2D", "Dense"}:
            kernels = [layer.kernel]
        elif kind == "SeparableConv2D":
            kernels = [layer.depthwise_kernel, layer.pointwise_kernel]
        else:
            continue
        positions = int(np.prod(layer.output.shape[1:-1]))
        flops += positions * sum(size(kernel) for kernel in kernels)
    return flops, sum(size(w) for w in model.trainable_weights)


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_applications_cost_what_keras_own_weights_say(name):
    import keras

    model = getattr(keras.applications, name)(weights=None, input_shape=(96, 96, 3), classes=7)
    graph = from_keras(model)
    found = cost(graph)
    assert (found.flops, found.params) == independent_count(model)
    assert (graph.input, graph.classes) == ((96, 96, 3), 7)
    assert from_json(to_json(graph)) == graph
    keras.backend.clear_session()


@pytest.mark.parametrize("name", ["resnext like", "vgg like", "resnet20_cifar", "resnet18"])
def test_our_own_models_come_back(name):
    from archsearch.training.lowering.keras_model import build_model

    graphs = {"resnext like": resnext_like, "vgg like": vgg_like}
    graph = graphs[name]() if name in graphs else find_baseline(name).build((64, 64, 3))
    back = from_keras(build_model(graph, lowering="plain"))
    assert cost(back) == cost(graph)
    assert [(n.op.kind, n.shape) for n in back.nodes] == [(n.op.kind, n.shape) for n in graph.nodes]


def test_what_keras_has_no_layer_for_is_refused():
    from archsearch.training.lowering.keras_model import build_model

    with pytest.raises(GraphError, match="not understood"):
        from_keras(build_model(everything(0), lowering="plain"))  # local response normalisation


def weights_of(model, name):
    """A node's weights, from the layer that the parts of its name lead to."""
    import numpy as np

    first, *rest = name.split(".")
    layer = model.get_layer(first)
    part = rest.pop() if rest and rest[-1] in {"depthwise", "pointwise"} else ""
    for inner in rest:
        layer = layer.get_layer(inner)
    values = [np.asarray(v) for v in layer.weights]
    return {"depthwise": values[:1], "pointwise": values[1:], "": values}[part]


@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV3Small",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                "VGG16", "ResNet50", "ResNet50V2", "DenseNet121", "InceptionV3", "MobileNet",
                "InceptionResNetV2", "Xception", "MobileNetV2", "NASNetMobile", "EfficientNetB0",
                "ConvNeXtTiny",
            )
        ),
    ],
)  # fmt: skip
def test_what_is_read_computes_the_same_numbers(name):
    """The graph's own model, given Keras's weights, answers as Keras's model does."""
    import keras
    import numpy as np

    from archsearch.training.lowering.keras_model import build_model

    rng = np.random.default_rng(0)
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(96, 96, 3), classes=7, classifier_activation=None
    )
    for variable in model.trainable_variables:
        value = np.asarray(variable)
        if value.ndim == 1:  # biases and gammas that are not those of a fresh model
            variable.assign(value + rng.uniform(0, 0.3, value.shape))
    graph = from_keras(model)
    again = build_model(graph, lowering="plain")
    for node in graph.nodes[1:]:
        layer = layers_of(again, graph)[node.name]
        if layer.weights:
            values = weights_of(model, node.name)
            for variable, value in zip(layer.weights, values, strict=True):
                variable.assign(value.reshape(variable.shape))
    x = rng.uniform(0, 255, (2, 96, 96, 3)).astype("float32")
    wanted = np.asarray(model(x, training=False))
    got = np.asarray(again(x, training=False))
    assert np.abs(wanted).max() > 0
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    keras.backend.clear_session()


def functional(*build, shape=(16, 16, 3)):
    import keras

    inputs = x = keras.Input(shape)
    for layer in build:
        x = layer(x)
    return keras.Model(inputs, x, name="mine")


def test_reads_what_users_write():
    import keras
    from keras import layers

    inputs = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 255)(layers.RandomFlip()(inputs))
    x = layers.Conv2D(8, 3, padding="same", strides=2, activation="relu")(x)
    gate = layers.Dense(8, activation="sigmoid")(
        layers.Dense(2, activation="relu")(layers.GlobalAveragePooling2D()(x))
    )
    x = layers.Multiply()([gate, x])
    x = layers.LeakyReLU(0.1)((x + 3.0) * 0.5 - 1.0)
    x = layers.Dropout(0.1, noise_shape=(None, 1, 1, 1))(x)
    inner = keras.Sequential([layers.SeparableConv2D(8, 3, padding="same"), layers.ReLU(6.0)])
    x = layers.Concatenate()([inner(x), x])
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Flatten()(x)))
    graph = from_keras(model)
    assert (cost(graph).flops, cost(graph).params) == independent_count(model)
    assert graph.nodes[-1].op.kind == "dense"  # the softmax is left out
    kinds = [n.op.kind for n in graph]
    assert kinds.count("rescale") == 4
    assert {"drop_path", "multiply", "reshape"} <= set(kinds)
    assert "leaky_relu" in {n.op.function for n in graph if n.op.kind == "activation"}
    assert from_json(to_json(graph)) == graph


def test_transfer_learning_as_the_tutorials_write_it():
    import keras
    from keras import layers

    base = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(96, 96, 3))
    inputs = keras.Input((96, 96, 3))
    x = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.2)])(inputs)
    x = keras.applications.mobilenet_v2.preprocess_input(x)
    x = layers.GlobalAveragePooling2D()(base(x, training=False))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Dropout(0.2)(x)))
    graph = from_keras(model)
    assert (cost(graph).flops, cost(graph).params) == independent_count(model)
    base.trainable = False  # a frozen layer's parameters are there to be trained all the same
    assert cost(from_keras(model)) == cost(graph)
    assert "mobilenetv2_1.00_96.Conv1" in {n.name for n in graph}


def test_an_open_image_size_has_to_be_given():
    from keras import layers

    model = functional(
        layers.Conv2D(4, 3), layers.GlobalMaxPooling2D(), layers.Dense(2), shape=(None, None, 3)
    )
    with pytest.raises(GraphError, match="leaves its image size open"):
        from_keras(model)
    assert cost(from_keras(model, input=(10, 10, 3))).flops == 64 * 27 * 4 + 8
    with pytest.raises(GraphError, match="takes images of"):
        from_keras(model, input=(10, 10, 1))


def refused(*build, shape=(16, 16, 3)):
    with pytest.raises(GraphError) as error:
        from_keras(functional(*build, shape=shape))
    return str(error.value)


def test_layers_that_are_not_understood_are_named():
    import keras
    from keras import layers

    class Mine(layers.Layer):
        def call(self, x):
            return x

    def head():
        return layers.Flatten(), layers.Dense(2)

    assert "up: UnitNormalization layers are not understood" in refused(
        layers.UnitNormalization(name="up"), *head()
    )
    assert "own: " in refused(Mine(name="own"), *head())
    assert "carries code" in refused(layers.Lambda(lambda x: x * 2, name="code"), *head())
    assert "max_value 5" in refused(layers.ReLU(max_value=5), *head())
    assert "has the activation" in refused(layers.Conv2D(2, 3, activation=keras.ops.sin), *head())
    assert "Sin layers are not understood" in refused(keras.ops.sin, *head())
    assert "works along axis 1" in refused(layers.BatchNormalization(axis=1), *head())
    assert "no vector of class scores" in refused(layers.Conv2D(2, 3))
    twice = layers.Conv2D(3, 3, padding="same", name="twice")
    assert "twice: the layer is used twice" in refused(twice, layers.ReLU(), twice, *head())


def test_models_that_are_no_functional_ones():
    import keras
    from keras import layers

    class Coded(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    with pytest.raises(GraphError, match="connected by code"):
        from_keras(Coded())
    with pytest.raises(GraphError, match="no functional Keras model"):
        from_keras("resnet50")
    inputs = keras.Input((8,))
    two = keras.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(2)(inputs)])
    with pytest.raises(GraphError, match="has 2 outputs"):
        from_keras(two)
    with pytest.raises(GraphError, match="wanted images"):
        from_keras(keras.Model(inputs, layers.Dense(1)(inputs)))


def test_a_shape_that_is_misread_cannot_pass():
    from keras import layers

    model = functional(layers.Conv2D(4, 3, name="conv"), layers.Flatten(), layers.Dense(2))
    document = json.loads(model.to_json())
    document["config"]["layers"][1]["config"]["strides"] = [2, 2]
    with pytest.raises(GraphError, match=r"conv is read as \(7, 7, 4\), but the model says"):
        from_config(document)


# Keras 3.15 saves variables through np.array(), which NumPy 2.4 warns about.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_keras_files(tmp_path):
    from keras import layers

    model = functional(layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(2))
    model.save(tmp_path / "model.keras")
    assert load_network(tmp_path / "model.keras") == from_keras(model)
    # In a fresh process no Keras is imported for it.
    program = (
        "import sys; from pathlib import Path\n"
        "from archsearch.exchange.network_files import load_network\n"
        "load_network(Path('model.keras'))\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=600)

    coded = functional(layers.Lambda(lambda x: x, name="boom"), layers.Flatten(), layers.Dense(1))
    coded.save(tmp_path / "coded.keras")
    with pytest.raises(UserError, match="boom: a Lambda layer carries code"):
        load_keras_file(tmp_path / "coded.keras")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.keras", b"not a zip", "no .keras file"),
        ("a.h5", b"\x89HDF", "no HDF5 file"),
        ("a.json", b"\xff\xfe", "cannot be read"),
        ("a.json", b"{}", "no archsearch graph"),
    ],
)
def test_files_that_are_none(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_network(tmp_path / name)


def _zipped(path, **files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return path


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "no Keras model's config"),
        ('{"config": {"layers": [{"class_name": "InputLayer"}]}}', "damaged"),
        ('{"config": {"layers": [], "name": "x"}}', "no layers"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_damaged_keras_files(tmp_path, config, message):
    path = _zipped(tmp_path / "model.keras", config_json=config)
    with pytest.raises(UserError, match=message):
        load_keras_file(path)


def test_a_class_of_ones_own_is_never_imported(tmp_path):
    layer = {"module": "antigravity", "class_name": "Dense", "config": {"name": "d"}}
    config = {"name": "m", "layers": [layer], "build_input_shape": [None, 8, 8, 3]}
    path = _zipped(tmp_path / "m.keras", config_json=json.dumps({"config": config}))
    with pytest.raises(UserError, match=r"d: antigravity\.Dense is code of your own"):
        load_keras_file(path)
    assert "antigravity" not in sys.modules


def test_other_archives_and_folders(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_network(tmp_path / "missing.keras")
    with pytest.raises(UserError, match="without config"):
        load_keras_file(_zipped(tmp_path / "x.keras", other_txt=""))
    with pytest.raises(UserError, match="no SavedModel"):
        load_saved_model(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(UserError, match="not one archsearch exported"):
        load_network(tmp_path)
    facts = tmp_path / "assets.extra" / "archsearch.json"
    facts.parent.mkdir()
    for text, message in (("{", "cannot be read"), ("[]", "no archsearch graph")):
        facts.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=message):
            load_network(tmp_path)
    facts.write_text(json.dumps({"graph": to_dict(vgg_like())}), encoding="utf-8")
    assert load_network(tmp_path) == vgg_like()
    archive = _zipped(tmp_path / "y.keras", archsearch_json=facts.read_text(encoding="utf-8"))
    assert load_network(archive) == vgg_like()


def test_a_stored_graph_takes_images_of_its_own_size_only(tmp_path):
    graph = vgg_like()
    document = tmp_path / "net.json"
    document.write_text(to_json(graph), encoding="utf-8")
    facts = json.dumps({"graph": to_dict(graph)})
    archive = _zipped(tmp_path / "net.keras", archsearch_json=facts)
    folder = tmp_path / "model"
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "assets.extra" / "archsearch.json").write_text(facts, encoding="utf-8")
    for path in (document, archive, folder):
        assert load_network(path, input=graph.input) == graph
        with pytest.raises(UserError, match=r"takes images of .*, not \(64, 48, 3\)"):
            load_network(path, input=(64, 48, 3))


def damaged(document, rng):
    """The config with one value, somewhere, replaced, dropped or doubled."""
    places = []

    def walk(value):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in list(items):
            places.append((value, key))
            if isinstance(inner, dict | list):
                walk(inner)

    walk(document)
    value, key = rng.choice(places)
    action = rng.randrange(3)
    if action == 0 and isinstance(value, dict):
        del value[key]
    elif action == 1 and isinstance(value, list):
        value.insert(key, value[key])
    else:
        value[key] = rng.choice(
            [None, 0, -1, 2, 10**30, 1.5, float("nan"), "x", "relu", [], {}, [3, 3], True, [[1]]]
        )
    return document


def test_damaged_configs_end_in_a_graph_or_a_clear_refusal():
    import keras
    from keras import layers

    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", strides=2)(layers.Rescaling(0.5)(inputs))
    y = layers.ReLU()(layers.BatchNormalization()(layers.SeparableConv2D(8, 3, padding="same")(x)))
    x = layers.Concatenate()([layers.Add()([x, y]), x * 2.0])
    x = layers.MaxPooling2D(2)(layers.ZeroPadding2D(1)(x))
    x = layers.Dense(3)(layers.Dropout(0.1)(layers.Flatten()(x)))
    text = keras.Model(inputs, x).to_json()
    rng = random.Random(0)
    refusals = []
    for _ in range(1500):
        document = json.loads(text)
        for _ in range(rng.choice((1, 1, 2))):
            document = damaged(document, rng)
        try:
            cost(from_config(document))
        except GraphError as error:
            refusals.append(str(error))
    assert 100 < len(refusals) < 1400
    assert not [line for line in refusals if "\n" in line]
