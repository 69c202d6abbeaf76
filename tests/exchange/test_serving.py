"""Exports behind servers: TensorFlow Serving's REST contract, and MLflow's own server."""

import base64
import io
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.exchange.export import trained_probabilities
from archsearch.exchange.formats.format import FACTS_FILE
from archsearch.exchange.formats.mlflow_folder import MLFLOW
from archsearch.ir.tracer import Tracer
from archsearch.testing.format_case import FormatCase
from archsearch.training.weights import fresh_weights

pytestmark = pytest.mark.keras
STARTING_S = 300.0


class Case(FormatCase):
    form = MLFLOW

    def network(self):
        net = Tracer("small", (16, 20, 3))
        x = net.relu(net.conv(net.input, 4, kernel=3, stride=2))
        return net.finish(net.dense(net.flatten(x), 5))


@pytest.fixture(scope="module")
def trained():
    example = Case().example()
    fresh = fresh_weights(example.graph)
    return replace(example, weights=fresh, mean=(100.0,) * 3, std=(60.0,) * 3)


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    """The model as MLflow's folder, which has the SavedModel in it."""
    out = tmp_path_factory.mktemp("model") / "mlflow"
    MLFLOW.write(trained, out)
    return out


@pytest.mark.slow
class TestMlflowFolder(Case):
    pass


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return {"b64": base64.b64encode(file.getvalue()).decode()}


ELSEWHERE = """
import sys
for name in ("archsearch", "jax", "matplotlib", "sklearn"):
    sys.modules[name] = None  # as if it were not installed
sys.path.append(sys.argv[2])
import json, mlflow, numpy as np
from mlflow.models import Model
from rest_contract import answered
folder, asked = sys.argv[1], json.load(sys.stdin)
model, kept = mlflow.pyfunc.load_model(folder), Model.load(folder)
images = np.array(asked["images"], np.uint8)
try:
    refused = model.predict(images / 255)
except mlflow.MlflowException as error:
    refused = str(error)
[takes], [gives] = kept.signature.inputs, kept.signature.outputs
json.dump({
    "predicted": model.predict(images).tolist(),
    "refused": refused,
    "example": kept.load_input_example(folder).tolist(),
    "classes": kept.metadata["classes"],
    "signature": [[str(one.type), list(one.shape)] for one in (takes, gives)],
    "responses": [answered(model.get_raw_model().signatures, one) for one in asked["requests"]],
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def requests(trained):
    """Bodies of requests about two images, in all forms; the last three are wrong."""
    images = trained.sample[:2]
    rows, files = images.tolist(), [png(image) for image in images]
    return [
        {"instances": rows},
        {"signature_name": "serve", "instances": [{"images": row} for row in rows]},
        {"inputs": {"images": rows}},
        {"signature_name": "predict", "inputs": rows},
        {"signature_name": "serve_float", "instances": (images / 255).tolist()},
        {"signature_name": "serve_bytes", "instances": files},
        {"signature_name": "serve_bytes", "instances": [{"files": one} for one in files]},
        {"signature_name": "serve_bytes", "inputs": {"files": files}},
        {"instances": [[[[0, 1, 0]] * 20] * 16]},
        {"instances": rows, "inputs": rows},
        {"signature_name": "classify", "instances": rows},
    ]


@pytest.fixture(scope="module")
def found(folder, trained, requests, tmp_path_factory):
    """What a new process without archsearch is told by MLflow and by the SavedModel in its folder."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE, folder, Path(__file__).parent],
        input=json.dumps({"images": trained.sample[:2].tolist(), "requests": requests}),
        capture_output=True, text=True, check=False, cwd=tmp_path_factory.mktemp("elsewhere"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_saved_model_answers_by_tensorflow_servings_contract(found, requests, trained):
    wanted = trained_probabilities(trained, trained.sample[:2])
    *good, black, both, unknown = found["responses"]
    names = [trained.classes[index] for index in wanted.argmax(axis=1)]
    for request, response in zip(requests, good, strict=False):
        [(kind, answer)] = response.items()
        assert kind == ("predictions" if "instances" in request else "outputs"), response
        if kind == "predictions":
            answer = {name: [row[name] for row in answer] for name in answer[0]}
        np.testing.assert_allclose(answer["probabilities"], wanted, atol=1e-5)
        assert answer["class_index"] == wanted.argmax(axis=1).tolist()
        assert answer.get("class_name", names) == names
    assert "floats of 0 to 1 go to serve_float" in black["error"]
    assert both == {"error": "a request has instances or inputs, and not both"}
    assert "classify" in unknown["error"]


def test_mlflow_loads_the_folder_without_archsearch(found, folder, trained):
    wanted = trained_probabilities(trained, trained.sample[:2])
    np.testing.assert_allclose(found["predicted"], wanted, atol=1e-5)
    assert "uint8" in found["refused"]  # floats
    assert found["example"] == trained.sample[:1].tolist()
    assert found["classes"] == list(trained.classes)
    assert found["signature"] == [["uint8", [-1, -1, -1, -1]], ["float32", [-1, 5]]]
    assert (folder / FACTS_FILE).is_file()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def posted(url, body):
    """Return status and JSON of what a server answers."""
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=STARTING_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture
def server(folder, tmp_path):
    """MLflow's server of the folder, on this machine alone: its address."""
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "-m", folder,
        "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port),
    ]  # fmt: skip
    # MLflow looks for this program where commands are, which is not where packages are in every environment.
    program = tmp_path / "bin" / "uvicorn"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m uvicorn "$@"\n')
    program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, cwd=tmp_path, start_new_session=True,
            env={**os.environ, "PATH": path},
        )  # fmt: skip
    try:
        until = time.monotonic() + STARTING_S
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # and the server that it has started
        process.wait(60)


@pytest.mark.slow
def test_mlflows_server_answers(server, folder, trained):
    example = (folder / "serving_input_example.json").read_bytes()
    status, found = posted(server, example)
    assert status == 200, found
    wanted = trained_probabilities(trained, trained.sample[:1])
    np.testing.assert_allclose(found["predictions"], wanted, atol=1e-5)
    images = trained.sample[:4]
    wanted = trained_probabilities(trained, images)
    for key in ("inputs", "instances"):
        status, found = posted(server, json.dumps({key: images.tolist()}).encode())
        assert status == 200, found
        np.testing.assert_allclose(found["predictions"], wanted, atol=1e-5)
    status, found = posted(server, json.dumps({"inputs": (images / 255).tolist()}).encode())
    assert status >= 400, found
    assert "serve_float" in str(found), found
