"""A study's winner taken from the Model Registry as its users take it, in a process without archsearch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from archsearch.tracking.connect import open_client, store_uri
from tests.real_runs import BACKEND, UNMEASURED

STUDY = "a study: digits"
NAME = "a study- digits"
TAKE = """
import sys
sys.modules["archsearch"] = None  # as if it were not installed: importing it fails
import json, mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(f"models:/{sys.argv[2]}@champion")
images, labels = np.load(sys.argv[3] + "/test_images.npy"), np.load(sys.argv[3] + "/test_labels.npy")
answer = model.predict(images)
example = model.predict(model.input_example)
print(json.dumps({
    "accuracy": float((answer["class_index"] == labels).mean()),
    "sums": [float(answer["probabilities"].sum(axis=1).min()), len(example["class_name"])],
    "names": sorted(set(answer["class_name"])),
}))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    asked = "run --space vgg --flops 5M --trials 1 --epochs 2 --seeds 1 --workers 1 --quiet"
    words = [*asked.split(), "--backend", BACKEND, "--home", str(home), "--name", STUDY]
    subprocess.run([*UNMEASURED, *words], check=True, capture_output=True, text=True)
    return home


@pytest.mark.slow
def test_the_champion_answers_as_the_study_says(home: Path) -> None:
    client = open_client(store_uri(home))
    [model] = client.search_registered_models()
    assert model.name.startswith(NAME)
    version = client.get_model_version_by_alias(model.name, "champion")
    run = client.get_run(version.run_id)
    assert run.data.tags["key"] == version.tags["training"]
    [images] = (home / "data").glob("*/test_images.npy")
    words = [store_uri(home), model.name, str(images.parent)]
    done = subprocess.run(
        [sys.executable, "-c", TAKE, *words], check=True, capture_output=True, text=True
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["accuracy"] == pytest.approx(run.data.metrics["test_accuracy"], abs=0.005)
    assert said["sums"] == [pytest.approx(1.0, abs=1e-4), 1]
    assert set(said["names"]) <= set("0123456789")
