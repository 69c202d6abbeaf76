"""Formats that other libraries convert to: their contract, and what is particular to each."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archsearch.exchange.export import trained_probabilities
from archsearch.exchange.formats.format import Trained
from archsearch.exchange.formats.litert_file import LITERT, LITERT_INT8
from archsearch.exchange.formats.onnx_file import ONNX, ONNX_INT8
from archsearch.exchange.formats.openvino_folder import OPENVINO
from archsearch.exchange.formats.torch_program import TORCH
from archsearch.testing.format_case import FormatCase
from tests.networks import resnext_like

pytestmark = pytest.mark.keras
# What the rest of the suite knows of a format is in these; each starts new processes several times.
slow = pytest.mark.slow


class Grouped(FormatCase):
    def network(self):
        return resnext_like()

    def example(self):
        # Small last layers, so that the probabilities are neither 0 nor 1.
        trained = super().example()
        small = {
            name: w * np.float32(0.1) for name, w in trained.weights.items() if "dense" in name
        }
        return replace(trained, weights={**trained.weights, **small})


@pytest.fixture(scope="module")
def grouped() -> Trained:
    return Grouped().example()


@slow
class TestOnnx(Grouped):
    form = ONNX


@slow
class TestOnnxInt8(Grouped):
    form = ONNX_INT8


@slow
class TestTorch(Grouped):
    form = TORCH


@slow
class TestOpenVino(Grouped):
    form = OPENVINO


@slow
class TestLitert(Grouped):
    form = LITERT


@slow
class TestLitertInt8(Grouped):
    form = LITERT_INT8


def run_without_archsearch(code: str, *arguments: object) -> None:
    hidden = "import sys; sys.modules['archsearch'] = None\n"
    command = [sys.executable, "-I", "-c", hidden + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


IN_ONNX_RUNTIME = """
import json, numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
data = np.load(sys.argv[2])
[images], [answer] = session.get_inputs(), session.get_outputs()
assert (images.name, images.type) == ("images", "tensor(uint8)"), images
for n in (1, 8):
    found = session.run(["probabilities"], {"images": data["images"][:n]})[0]
    np.testing.assert_allclose(found, data["wanted"][:n], atol=1e-4)
facts = json.loads(session.get_modelmeta().custom_metadata_map["archsearch.json"])
assert facts["classes"][0] == "class 0/ü"
assert not [name for name in ("tensorflow", "keras", "tf2onnx") if name in sys.modules]
"""


def test_onnx_runtime_alone_answers_as_a_grouped_network(grouped: Trained, tmp_path: Path):
    ONNX.write(grouped, tmp_path / "model.onnx")
    wanted = trained_probabilities(grouped, grouped.sample)
    np.savez(tmp_path / "data.npz", images=grouped.sample, wanted=wanted)
    run_without_archsearch(IN_ONNX_RUNTIME, tmp_path / "model.onnx", tmp_path / "data.npz")


IN_AN_INTERPRETER = """
import warnings; warnings.simplefilter("ignore")
import numpy as np, tensorflow as tf
data = np.load(sys.argv[1])
for file, kind, atol in (
    (sys.argv[2], np.float32, 1e-4), (sys.argv[3], np.uint8, 0.1),
):
    runner = tf.lite.Interpreter(file).get_signature_runner("serving_default")
    [image], [answer] = runner.get_input_details().values(), runner.get_output_details().values()
    assert (image["dtype"], answer["dtype"]) == (np.uint8, kind), (image, answer)
    assert kind == np.float32 or image["quantization"] == (1.0, 0), image
    for n in (1, 8):
        found = runner(images=data["images"][:n])["probabilities"]
        found = found / 256 if kind == np.uint8 else found
        np.testing.assert_allclose(found, data["wanted"][:n], atol=atol)
"""


@slow
def test_litert_takes_pixels_as_they_are(grouped: Trained, tmp_path: Path):
    LITERT.write(grouped, tmp_path / "litert.tflite")
    LITERT_INT8.write(grouped, tmp_path / "int8.tflite")
    wanted = trained_probabilities(grouped, grouped.sample)
    np.savez(tmp_path / "data.npz", images=grouped.sample, wanted=wanted)
    files = (tmp_path / "data.npz", tmp_path / "litert.tflite", tmp_path / "int8.tflite")
    run_without_archsearch(IN_AN_INTERPRETER, *files)


IN_PYTORCH = """
import json, numpy as np, torch
extra = {"archsearch.json": ""}
model = torch.export.load(sys.argv[1], extra_files=extra).module()
data = np.load(sys.argv[2])
for n in (1, 8):
    found = model(torch.from_numpy(data["images"][:n])).numpy()
    np.testing.assert_allclose(found, data["wanted"][:n], atol=1e-4)
assert json.loads(extra["archsearch.json"])["classes"][0] == "class 0/ü"
assert not [name for name in ("tensorflow", "keras") if name in sys.modules]
"""


@slow
def test_pytorch_alone_answers_as_the_network(grouped: Trained, tmp_path: Path):
    TORCH.write(grouped, tmp_path / "model.pt2")
    wanted = trained_probabilities(grouped, grouped.sample)
    np.savez(tmp_path / "data.npz", images=grouped.sample, wanted=wanted)
    run_without_archsearch(IN_PYTORCH, tmp_path / "model.pt2", tmp_path / "data.npz")
