"""Trainings, exports and models where the user's Keras and JAX are configured for other work."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from archsearch.exchange.formats.format import file_name
from archsearch.exchange.formats.registry import find_format
from archsearch.ir.codec import to_json
from archsearch.ir.tracer import Tracer
from archsearch.lean_imports import PASSED_OVER
from archsearch.recipes.recipe import Recipe
from archsearch.training.fit import train
from archsearch.training.job import Job
from tests.images import write_dataset

pytestmark = pytest.mark.keras

CHOSEN = [
    {"image_data_format": "channels_first"},
    {"floatx": "float16"},
    {"floatx": "float64", "epsilon": 0.5},
]
# Whoever reads any of these gives other numbers; with the second Keras itself does not start.
ALL_AT_ONCE = {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.5}
NONSENSE = {"backend": "jax", "floatx": "float8", "nnx_enabled": True}
BACKENDS = ["tensorflow", "torch", "jax"]
VARIABLES = {
    "JAX_ENABLE_X64": "1",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_DISABLE_JIT": "1",
    "JAX_TRANSFER_GUARD": "disallow",
    "JAX_PLATFORMS": "cuda",
    "KERAS_MAX_EPOCHS": "many",
    "TF_USE_LEGACY_KERAS": "1",
}


def configured_home(folder, **values):
    """A home folder whose keras.json says these."""
    (folder / ".keras").mkdir(parents=True)
    whole = {"floatx": "float32", "epsilon": 1e-7, "backend": "tensorflow",
             "image_data_format": "channels_last"} | values  # fmt: skip
    (folder / ".keras" / "keras.json").write_text(json.dumps(whole))
    return folder


def needs(backend):
    if find_spec(backend) is None:  # nothing is imported here
        pytest.skip(f"{backend} is not installed")


def in_process(code, *arguments, home, **variables):
    """Run code in a fresh process of a user with that home; return what it printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**environment, "HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


TRAIN = """
import sys
from pathlib import Path
from archsearch.training.setup import WorkerSetup
WorkerSetup(backend=sys.argv[1], threads=1).apply()
from tests.training.test_user_configuration import loss
print(repr(loss(sys.argv[1], Path(sys.argv[2]))))
import archsearch.lean_imports
print([name for name in archsearch.lean_imports.PASSED_OVER if name in sys.modules])
"""


def loss(backend: str, folder: Path) -> float:
    """Train a network with one of each that Keras's settings change."""
    net = Tracer("one of each", (16, 16, 1))
    x = net.relu(net.batch_norm(net.conv(net.input, 8, kernel=3, stride=2)))
    graph = net.finish(net.dense(net.global_avg_pool(x), 5))
    data = write_dataset(folder / "data", channels=1)
    job = Job(
        key="t", graph=to_json(graph), dataset=str(data), recipe=Recipe(batch=16), images=32,
        seed=0, backend=backend, weights=str(folder / "w.npz"),
    )  # fmt: skip
    outcome = train(job, lambda report: True)
    assert outcome.status == "complete", outcome
    return outcome.val_loss


MEASURE_AND_EXPORT = """
import sys
from pathlib import Path
if __name__ == "__main__":
    from tests.images import write_dataset
    from tests.networks import resnext_like
    from archsearch.ir.codec import to_json
    from archsearch.training.weights import fresh_weights, save_weights
    from archsearch.exchange.export import ExportRequest
    from archsearch.exchange.latency import LatencyRequest
    from archsearch.exchange.model_process import ModelProcess
    from archsearch.exchange.formats.format import file_name
    from archsearch.exchange.formats.registry import find_format
    folder = Path(sys.argv[1])
    data = write_dataset(folder / "data", channels=1)
    network = resnext_like(channels=1)
    graph = to_json(network)
    save_weights(fresh_weights(network), folder / "w.npz")
    with ModelProcess(log=folder / "models.log", device="cpu") as process:
        print(process.measure(LatencyRequest(graph=graph, batch=1, seconds=0.05)).median_ms > 0)
        for form in sys.argv[2:]:
            process.export(ExportRequest(graph=graph, weights=str(folder / "w.npz"),
                dataset=str(data), out=str(folder / file_name(find_format(form))), format=form))
"""


@pytest.fixture(scope="module")
def as_usual(tmp_path_factory):
    """What a training comes to in a process of nobody's configuration, on any backend but for rounding."""
    return loss("tensorflow", tmp_path_factory.mktemp("usual"))


# A process that reads the file trains otherwise by ALL_AT_ONCE and not at all by NONSENSE: each is tried once
# in the quick run, on the backend and by the export that show it; the rest are the same processes again.
@pytest.mark.parametrize(
    ("backend", "values"),
    [
        ("tensorflow", ALL_AT_ONCE),
        ("jax", NONSENSE),
        *(pytest.param("tensorflow", one, marks=pytest.mark.slow) for one in (NONSENSE, *CHOSEN)),
    ],
)
def test_workers_do_not_go_by_a_users_keras_json_and_variables(backend, values, as_usual, tmp_path):
    needs(backend)
    home = configured_home(tmp_path / "home", **values)
    told, imported = in_process(TRAIN, backend, tmp_path, home=home, **VARIABLES).splitlines()
    assert float(told) == pytest.approx(as_usual, rel=1e-5)
    # Nothing that no training has a use for: it would take longer to import than the framework.
    assert imported == str([name for name in PASSED_OVER if name == backend])


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_workers_train_to_the_same_bits_in_a_configured_process(backend, tmp_path):
    needs(backend)
    homes = [configured_home(tmp_path / "any", **NONSENSE), tmp_path / "none"]
    homes[1].mkdir()
    told = [
        in_process(TRAIN, backend, home, home=home, **(VARIABLES if home is homes[0] else {}))
        for home in homes
    ]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("values", "forms"),
    [
        # What is written as a SavedModel is built by Keras in the same process.
        (ALL_AT_ONCE, ["keras"]),
        *(
            pytest.param(one, ["saved_model", "keras"], marks=pytest.mark.slow)
            for one in (ALL_AT_ONCE, NONSENSE, *CHOSEN)
        ),
    ],
    ids=lambda values: "-".join(map(str, values.values() if isinstance(values, dict) else values)),
)
def test_measuring_and_exports_do_not_read_a_users_keras_json(values, forms, tmp_path):
    home = configured_home(tmp_path / "home", **values)
    script = tmp_path / "script.py"
    script.write_text(MEASURE_AND_EXPORT)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), *forms],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(home)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "True\n", done.stderr + (tmp_path / "models.log").read_text()[-3000:]
    assert all((tmp_path / file_name(find_format(form))).exists() for form in forms)
    assert [path.name for path in (home / ".keras").iterdir()] == ["keras.json"]


BUILD = """
import sys
from archsearch.lean_imports import import_lean
import_lean()
import numpy as np
import archsearch, keras
from tests.networks import everything
for graph in (everything(0), archsearch.network("lenet5", classes=4)):
    model = archsearch.build(graph)
    images = np.random.default_rng(0).uniform(-1, 1, (2, *graph.input)).astype("float32")
    answers = keras.ops.convert_to_numpy(model(images))
    assert answers.shape == (2, graph.classes), answers.shape
    assert np.isfinite(answers.astype("float32")).all()
    model.save(sys.argv[1])
    again = keras.models.load_model(sys.argv[1])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(again(images)), answers, rtol=0.01, atol=0.01)
    print(keras.backend.backend(), keras.config.image_data_format(), keras.config.floatx())
"""


# What TensorFlow has no kernels for, and a wider type on another backend; all pairs are slow.
QUICK = {("tensorflow", 0), ("torch", 2)}


@pytest.mark.parametrize(
    ("backend", "values"),
    [
        pytest.param(
            backend,
            values,
            marks=() if (backend, number) in QUICK else pytest.mark.slow,
            id=f"{backend}-{next(iter(values.values()))}",
        )
        for number, values in enumerate(CHOSEN)
        for backend in BACKENDS
    ],
)
def test_models_are_built_in_a_configured_process(backend, values, tmp_path):
    needs(backend)
    home = configured_home(tmp_path / "home", **values)
    said = in_process(
        BUILD, tmp_path / "m.keras", home=home, KERAS_BACKEND=backend, JAX_PLATFORMS="cpu"
    )
    # What the user has chosen stays so.
    wanted = {"image_data_format": "channels_last", "floatx": "float32"} | values
    assert said == f"{backend} {wanted['image_data_format']} {wanted['floatx']}\n" * 2
