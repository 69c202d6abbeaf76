"""OpenVINO's own format, for Intel's processors and the devices that it knows."""

import importlib
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.exchange.formats.format import FACTS_FILE, Format, Need, Trained
from archsearch.exchange.formats.read_back import Answers
from archsearch.exchange.formats.tensorflow_function import INPUT, OUTPUT, probabilities_function

_TELEMETRY: Final = "openvino_telemetry"
MODEL_FILE: Final = "model.xml"
"""The network; its weights lie beside it, in `model.bin`."""


class OpenVinoFolder:
    """A folder with MODEL_FILE; `images` (n, height, width, channels) to `probabilities`.

    Pixels are 0 to 255 or 0 to 1, since OpenVINO makes of any numbers what a model takes. It computes with
    16 bits where a processor can, unless `INFERENCE_PRECISION_HINT` says `f32`.
    """

    name = "openvino"
    suffix = ""
    exact = True
    usage = MappingProxyType(
        {
            "OpenVINO": """
import openvino

model = openvino.Core().compile_model(f"{path}/model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
probabilities = np.asarray(model({"images": images})["probabilities"])
"""
        }
    )
    needs = (Need("tensorflow", "tensorflow"), Need("openvino", "archsearch[openvino]"))

    def write(self, trained: Trained, out: Path) -> None:
        """Write the folder."""
        openvino = _library()
        function, _ = probabilities_function(trained, takes="any numbers")
        model = openvino.convert_model(function)
        [image], [answer] = model.inputs, model.outputs
        image.get_tensor().set_names({INPUT})
        answer.get_tensor().set_names({OUTPUT})
        out.mkdir(exist_ok=True)
        openvino.save_model(model, out / MODEL_FILE, compress_to_fp16=False)
        (out / FACTS_FILE).write_text(trained.facts(), encoding="utf-8")

    def call(self, out: Path, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Load the folder for the processor, in 32 bits, and return its answers."""
        return np.asarray(self.load(out)(images))

    def load(self, out: Path) -> Answers:
        """Load the folder likewise; what is compiled answers."""
        openvino = _library()
        model = openvino.Core().compile_model(
            out / MODEL_FILE, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        return lambda images: np.asarray(model({INPUT: images})[OUTPUT])


def _library() -> Any:
    """Return OpenVINO, without the part that tells its maker what is converted, in further processes."""
    before = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # it does without one that is not installed
    try:
        return importlib.import_module("openvino")
    finally:
        if before is None:
            del sys.modules[_TELEMETRY]
        else:
            sys.modules[_TELEMETRY] = before


OPENVINO: Final[Format] = OpenVinoFolder()
