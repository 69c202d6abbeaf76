"""Networks that each framework has trained: every export answers as the framework's own network did."""

import os
import pickle
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from archsearch.data.dataset import load
from archsearch.exchange.export import ExportRequest, read_trained
from archsearch.exchange.formats.format import file_name
from archsearch.exchange.formats.registry import find_format
from archsearch.ir.codec import to_json
from archsearch.recipes.recipe import Recipe
from archsearch.training.fit import train_steps
from archsearch.training.job import Job
from archsearch.training.weights import save_weights
from tests.networks import resnext_like

pytestmark = [pytest.mark.keras, pytest.mark.slow]
FORMATS = ("saved_model", "keras", "onnx", "python", "mlflow", "torch")
STEPS = 30
RELOADED = """
import pickle, sys
asked, images = pickle.load(sys.stdin.buffer)
found = {name: form.call(out, images) for name, (form, out) in asked.items()}
pickle.dump(found, open(sys.argv[1], "wb"))
"""


@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_what_it_learnt_is_what_is_exported(backend, colour_dataset, tmp_path):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    data, graph = load(colour_dataset), to_json(resnext_like())
    job = Job(
        key="one", graph=graph, dataset=str(colour_dataset), recipe=Recipe(batch=16),
        images=16 * STEPS, seed=0, backend=backend,
    )  # fmt: skip
    images = np.asarray(data.val.images)
    with train_steps(job, data) as (steps, take):
        before = steps.probabilities(images)
        take(STEPS)
        wanted = steps.probabilities(images)
        save_weights(steps.weights(), tmp_path / "weights.npz")
    assert np.abs(wanted - before).max() > 0.1  # it has learnt
    trained = read_trained(
        ExportRequest(
            graph=graph, weights=str(tmp_path / "weights.npz"), dataset=str(colour_dataset), out=""
        )
    )
    asked = {
        name: (find_format(name), tmp_path / f"{name}-{file_name(find_format(name))}")
        for name in FORMATS
    }
    for form, out in asked.values():
        form.write(trained, out)
    done = subprocess.run(
        [sys.executable, "-c", RELOADED, tmp_path / "answers"],
        input=pickle.dumps((asked, images)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    for name, found in pickle.loads((tmp_path / "answers").read_bytes()).items():
        np.testing.assert_allclose(found, wanted, atol=1e-4, err_msg=name)
