import json
import os
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec

import numpy as np
import pytest

from archsearch.data.dataset import load
from archsearch.errors import ArchsearchError, UserError
from archsearch.exchange.export import ExportRequest, check_out, export
from archsearch.exchange.formats.registry import find_format
from archsearch.exchange.latency import LatencyRequest
from archsearch.exchange.model_process import ModelProcess
from archsearch.ir.codec import to_json
from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tracer
from archsearch.training.weights import get_weights, save_weights
from tests.images import CLASSES
from tests.networks import resnext_like, vgg_like

PLAIN_TENSORFLOW = """
import sys
import tempfile
for name in ("archsearch", "jax", "matplotlib", "pandas", "sklearn"):
    sys.modules[name] = None  # as if it were not installed: importing it fails
import numpy as np, tensorflow as tf
for place, file in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    model = tf.saved_model.load(place)
    serve = model.signatures["serve"]
    data = np.load(file)
    for n in (1, 7):
        answer = serve(images=tf.constant(data["images"][:n]))
        np.testing.assert_allclose(answer["probabilities"].numpy(), data["wanted"][:n], atol=1e-4)
        assert [name.decode() for name in answer["class_name"].numpy()] == [
            data["classes"][i] for i in answer["class_index"].numpy()
        ]
"""


def request_for(graph, data, folder, **changes):
    """An export of the graph with weights that are not a fresh model's."""
    from archsearch.training.lowering.keras_model import build_model

    model = build_model(graph, lowering="train")
    rng = np.random.default_rng(0)
    weights = [w * (1 + rng.random(w.shape, np.float32)) for w in model.get_weights()]
    # Small last layers, so that the probabilities are neither 0 nor 1.
    model.set_weights([w * np.float32(0.02) if w.ndim == 2 else w for w in weights])
    save_weights(get_weights(model, graph), folder / "w.npz")
    values = {"out": str(folder / "model"), "format": "saved_model", **changes}
    request = ExportRequest(
        graph=to_json(graph), weights=str(folder / "w.npz"), dataset=str(data), **values
    )
    return request, model


COMPILED = """
# XLA compiles the signature without texts.
compiled = tf.function(lambda images: model.signatures["predict"](images=images), jit_compile=True)
answer = compiled(tf.constant(data["images"]))
np.testing.assert_allclose(answer["probabilities"].numpy(), data["wanted"], atol=1e-4)
assert (answer["class_index"].numpy() == data["wanted"].argmax(axis=1)).all()
"""


def joined() -> Graph:
    """A network of depthwise convolutions, gates and concatenated maps."""
    net = Tracer("joined", (16, 16, 3))
    x = net.relu(net.batch_norm(net.conv(net.input, 8, kernel=3, stride=2)))
    y = net.hard_swish(net.batch_norm(net.conv(x, 8, kernel=3, groups=8)))
    gate = net.conv(net.global_avg_pool(y, keep_map=True), 8, kernel=1, bias=True)
    y = net.multiply(y, net.activation(gate, "sigmoid"))
    x = net.concat([net.max_pool(x, kernel=3, stride=1, padding=1), y])
    return net.finish(net.dense(net.global_avg_pool(x), 5))


@pytest.mark.keras
@pytest.mark.usefixtures("reloaded_here")
def test_plain_tensorflow_calls_and_compiles(colour_dataset, tmp_path):
    """Networks that join layers in every way; all spaces: tests/search_spaces/test_training.py."""
    data = load(colour_dataset)
    images = data.test.images[:7]
    x = (images - np.float32(data.mean)) / np.float32(data.std)
    told = []
    for network in (joined(), resnext_like()):  # the last one is compiled
        folder = tmp_path / network.name
        folder.mkdir()
        request, model = request_for(network, colour_dataset, folder)
        out = export(request).path
        logits = np.asarray(model(x, training=False))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        wanted = powers / powers.sum(axis=1, keepdims=True)
        assert wanted.max() < 0.99  # probabilities that can tell a difference
        np.savez(folder / "data.npz", images=images, wanted=wanted, classes=CLASSES)
        told += [out, folder / "data.npz"]
        facts = json.loads((out / "assets.extra" / "archsearch.json").read_text())
        assert facts["classes"] == list(CLASSES)
        assert sorted(p.name for p in folder.iterdir()) == ["data.npz", "model", "w.npz"]
    # -I: neither the working directory nor PYTHONPATH is searched.
    command = [sys.executable, "-I", "-c", PLAIN_TENSORFLOW + COMPILED, *map(str, told)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.keras
@pytest.mark.usefixtures("reloaded_here")
def test_a_keras_file_takes_uint8_images_and_lists_its_classes(dataset, tmp_path):
    import keras

    request, _ = request_for(
        vgg_like(), dataset, tmp_path, out=str(tmp_path / "model.keras"), format="keras"
    )
    out = export(request).path
    model = keras.models.load_model(out)
    probabilities = np.asarray(model(load(dataset).test.images[:3]))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    with zipfile.ZipFile(out) as file:
        assert json.loads(file.read("archsearch.json"))["classes"] == list(CLASSES)


ON_A_BACKEND = """
import sys
sys.modules["archsearch"] = None  # as if it were not installed
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
data = np.load(sys.argv[2])
answer = keras.ops.convert_to_numpy(model(data["images"]))
np.testing.assert_allclose(answer, data["wanted"], atol=1e-4)
"""


@pytest.mark.keras
@pytest.mark.parametrize(
    # In the quick run models are loaded on JAX by tests/training/test_user_configuration.py.
    "backend",
    [pytest.param(name, marks=pytest.mark.slow) for name in ("torch", "jax")],
)
def test_a_keras_file_loads_on_every_backend(backend, colour_dataset, tmp_path):
    if find_spec(backend) is None:  # nothing is imported here
        pytest.skip(f"{backend} is not installed")
    request, _ = request_for(
        resnext_like(), colour_dataset, tmp_path, out=str(tmp_path / "m.keras"), format="keras"
    )
    out = export(request).path
    images = load(colour_dataset).test.images[:3]
    wanted = find_format("keras").call(out, images)
    np.savez(tmp_path / "data.npz", images=images, wanted=wanted)
    done = subprocess.run(
        [sys.executable, "-I", "-c", ON_A_BACKEND, str(out), str(tmp_path / "data.npz")],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.keras
def test_a_process_apart_exports_and_reports_what_is_wrong(dataset, tmp_path, monkeypatch, capfd):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    place = tmp_path / "a[b]" / "c*{d}?"  # names that are patterns
    place.mkdir(parents=True)
    request, _ = request_for(vgg_like(), dataset, place, out=str(place / "mo[d]el"))
    other = ExportRequest(
        graph=to_json(vgg_like(classes=7)),
        weights=request.weights,
        dataset=str(dataset),
        out=str(place / "other"),
    )
    with ModelProcess(log=place / "log", device="cpu") as process:
        wrong = "weights are another network's: dense2:0 has shape"
        with pytest.raises(ArchsearchError, match=wrong):
            process.export(other)
        made = process.export(request)
        assert made.path == place / "mo[d]el"
        assert (made.images, made.same_top1, made.accuracy) == (40, 40, None)
        assert (place / "mo[d]el" / "saved_model.pb").is_file()
        # The same process measures.
        started = process.process_id
        for weights in ({}, {"weights": request.weights}):
            asked = LatencyRequest(graph=request.graph, seconds=0.1, **weights)
            found = process.measure(asked)
            assert (found.device, found.median_ms > 0) == ("cpu", True)
        with pytest.raises(ArchsearchError, match=r"none\.npz"):
            process.measure(LatencyRequest(graph=request.graph, weights=str(place / "none.npz")))
        assert process.process_id == started
    assert capfd.readouterr() == ("", "")  # what libraries say goes into the log
    assert sorted(path.name for path in place.iterdir()) == ["log", "mo[d]el", "w.npz"]
    # Nothing is left of what TensorFlow keeps in temporary files, as the process is killed.
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.keras
@pytest.mark.usefixtures("reloaded_here")
def test_a_model_that_disagrees_is_not_kept(dataset, tmp_path, monkeypatch):
    from archsearch.exchange import export as module

    original = module.trained_probabilities
    monkeypatch.setattr(module, "trained_probabilities", lambda *a: original(*a) + 0.01)
    request, _ = request_for(vgg_like(), dataset, tmp_path)
    with pytest.raises(ArchsearchError, match="disagrees with the trained one"):
        export(request)
    assert [p.name for p in tmp_path.iterdir()] == ["w.npz"]


def test_what_exists_is_not_replaced(tmp_path):
    def request(out, form="saved_model"):
        return ExportRequest(graph="", weights="", dataset="", out=str(out), format=form)

    (tmp_path / "empty").mkdir()
    assert check_out(request(tmp_path / "empty")) == tmp_path / "empty"
    with pytest.raises(UserError, match="exists; give another --out, or --force"):
        check_out(request(tmp_path))
    with pytest.raises(UserError, match=r"a \.keras file's name ends in \.keras"):
        check_out(request(tmp_path / "model", "keras"))
    with pytest.raises(UserError, match=r"model\.keras does not fit --format saved_m.*is a folder"):
        check_out(request(tmp_path / "model.keras"))
    with pytest.raises(UserError, match="did you mean saved_model"):
        check_out(request(tmp_path / "model", "savedmodel"))
    with pytest.raises(UserError, match="no format is named 'onnxx'"):
        check_out(request(tmp_path / "model", "onnxx"))
    assert check_out(request(tmp_path / "model.v2")) == tmp_path / "model.v2"


def test_force_replaces_exports_and_nothing_else(tmp_path):
    def forced(out, form):
        check_out(
            ExportRequest(
                graph="", weights="", dataset="", out=str(out), format=form, overwrite=True
            )
        )

    (tmp_path / "photos" / "cats").mkdir(parents=True)
    (tmp_path / "photos" / "cats" / "1.jpg").write_text("")
    (tmp_path / "photos.onnx").mkdir()
    (tmp_path / "photos.onnx" / "1.jpg").write_text("")
    (tmp_path / "notes").write_text("")
    for name, form in (("photos", "python"), ("photos.onnx", "onnx"), ("notes", "saved_model")):
        with pytest.raises(UserError, match="archsearch did not write, and --force leaves that"):
            forced(tmp_path / name, form)
    (tmp_path / "m.onnx").write_text("")
    forced(tmp_path / "m.onnx", "onnx")
    (tmp_path / "model" / "assets.extra").mkdir(parents=True)
    (tmp_path / "model" / "assets.extra" / "archsearch.json").write_text("{}")
    forced(tmp_path / "model", "python")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("FILE/x", "FILE is no folder"),
        ("FILE/x/y", "FILE/x is no folder"),
        ("/proc/x", r"can't be written \(No such file or directory\); give another --out"),
        ("x" * 255, "File name too long"),
        ("a\0", "null byte"),
        (".", "give a folder of its own, like model"),
        ("..", "give a folder of its own, like ../model"),
        ("/", "give a folder of its own, like /model"),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_anything_is_started(
    tmp_path, monkeypatch, out, message, force
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("")
    request = ExportRequest(graph="", weights="", dataset="", out=out, overwrite=force)
    with ModelProcess(log=tmp_path / "log") as process:
        with pytest.raises(UserError, match=message) as error:
            process.export(request)
        assert process.process_id is None
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]
