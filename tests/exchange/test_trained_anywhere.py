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
from tests.networks import resnext_like

pytestmark = [pytest.mark.keras, pytest.mark.slow]
FORMATS = ("saved_model", "keras", "onnx", "python", "mlflow", "torch")
STEPS = 30
TRAINED = """
import sys
backend, graph, dataset, out, count = sys.argv[1:]
from archsearch.training.setup import WorkerSetup
WorkerSetup(backend=backend, threads=1).apply()
from pathlib import Path
import numpy as np
from archsearch.data.dataset import load
from archsearch.recipes.recipe import Recipe
from archsearch.training.fit import train_steps
from archsearch.training.job import Job
from archsearch.training.weights import save_weights
data, steps = load(dataset), int(count)
images = np.asarray(data.val.images)
job = Job(
    key="one", graph=open(graph).read(), dataset=dataset, recipe=Recipe(batch=16),
    images=16 * steps, seed=0, backend=backend,
)
with train_steps(job, data) as (network, take):
    before = network.probabilities(images)
    take(steps)
    np.savez(f"{out}/answers.npz", before=before, after=network.probabilities(images))
    save_weights(network.weights(), Path(out, "weights.npz"))
"""
RELOADED = """
import pickle, sys
asked, images = pickle.load(sys.stdin.buffer)
found = {name: form.call(out, images) for name, (form, out) in asked.items()}
pickle.dump(found, open(sys.argv[1], "wb"))
"""


def run(program, *arguments, told=b""):
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        input=told,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_what_it_learnt_is_what_is_exported(backend, colour_dataset, tmp_path):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    (tmp_path / "graph.json").write_text(to_json(resnext_like()))
    # A process has one Keras backend.
    run(TRAINED, backend, tmp_path / "graph.json", colour_dataset, tmp_path, STEPS)
    answers = np.load(tmp_path / "answers.npz")
    wanted = answers["after"]
    assert np.abs(wanted - answers["before"]).max() > 0.1  # it has learnt
    trained = read_trained(
        ExportRequest(
            graph=(tmp_path / "graph.json").read_text(), weights=str(tmp_path / "weights.npz"),
            dataset=str(colour_dataset), out="",
        )
    )  # fmt: skip
    asked = {}
    for name in FORMATS:
        form, folder = find_format(name), tmp_path / name
        folder.mkdir()
        asked[name] = form, folder / file_name(form)
        form.write(trained, asked[name][1])
    images = np.asarray(load(colour_dataset).val.images)
    run(RELOADED, tmp_path / "reloaded", told=pickle.dumps((asked, images)))
    for name, found in pickle.loads((tmp_path / "reloaded").read_bytes()).items():
        np.testing.assert_allclose(found, wanted, atol=1e-4, err_msg=name)
