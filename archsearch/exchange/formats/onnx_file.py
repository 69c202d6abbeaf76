"""ONNX files, as ONNX Runtime and many others run them; with weights of 32 bits, or quantised to 8."""

import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.exchange.formats.format import FACTS_FILE, Format, Need, Trained
from archsearch.exchange.formats.read_back import Answers
from archsearch.exchange.formats.tensorflow_function import INPUT, OUTPUT, probabilities_function
from archsearch.quiet import quietly

_OPSET: Final = 17
"""The version of ONNX's operations: of 2022, which runtimes of today all have."""
_NEEDS: Final = (
    Need("tensorflow", "tensorflow"),
    *(Need(module, "archsearch[onnx]") for module in ("onnx", "onnxruntime", "tf2onnx")),
)
_USAGE: Final = """
import onnxruntime

session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
[probabilities] = session.run(["probabilities"], {"images": images})
"""
_QUANTISED: Final = ("Conv", "MatMul", "Gemm", "Relu", "Clip")
"""Operations that compute with 8 bits: nearly all multiply-adds are the first three's.

A rectifier becomes part of the convolution before it, whose answers are then rounded over the half of their
range that is left: else negative ones would take up levels only to be cut off (benchmarks/RESULTS.md).
"""


class OnnxFile:
    """A file; `images` are uint8 (n, height, width, channels), `probabilities` (n, classes).

    FACTS_FILE is among its metadata.
    """

    name = "onnx"
    suffix = ".onnx"
    exact = True
    needs = _NEEDS
    usage = MappingProxyType({"ONNX Runtime": _USAGE})

    def write(self, trained: Trained, out: Path) -> None:
        """Write the file."""
        import onnx

        model = converted(trained)
        onnx.checker.check_model(model)
        onnx.save(model, str(out))

    def call(self, out: Path, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Load the file in ONNX Runtime and return its answers."""
        return np.asarray(self.load(out)(images))

    def load(self, out: Path) -> Answers:
        """Load the file likewise; its session answers."""
        session = _session(out)
        return lambda images: np.asarray(session.run([OUTPUT], {INPUT: images})[0])

    def read_facts(self, out: Path) -> str:
        """Return what the file's metadata has."""
        return str(_session(out).get_modelmeta().custom_metadata_map[FACTS_FILE])


def _session(out: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])


class OnnxInt8File(OnnxFile):
    """The same with weights and maps of 8 bits: ONNX Runtime's static quantisation, per channel."""

    name = "onnx-int8"
    exact = False

    def write(self, trained: Trained, out: Path) -> None:
        """Write the file."""
        import onnx
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process

        with tempfile.TemporaryDirectory(prefix="archsearch-") as place, quietly():
            whole, prepared = Path(place) / "whole.onnx", Path(place) / "prepared.onnx"
            onnx.save(converted(trained), str(whole))
            # ONNX's own inference of shapes is enough, and knows a mirrored image's, unlike the symbolic one.
            quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(prepared),
                str(out),
                _Calibration(trained.calibration),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                op_types_to_quantize=list(_QUANTISED),
            )


class _Calibration:
    """What ONNX Runtime reads the ranges of maps from, image by image."""

    def __init__(self, images: npt.NDArray[np.uint8]) -> None:
        self._left = iter(images)

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        image = next(self._left, None)
        return None if image is None else {INPUT: image[None]}


def converted(trained: Trained) -> Any:
    """Return the network as an `onnx.ModelProto`, with FACTS_FILE among its metadata."""
    import onnx

    with quietly():
        import tf2onnx

        function, _ = probabilities_function(trained)
        model, _ = tf2onnx.convert.from_function(
            function, input_signature=function.input_signature, opset=_OPSET
        )
    onnx.helper.set_model_props(model, {FACTS_FILE: trained.facts()})
    return model


ONNX: Final[Format] = OnnxFile()
ONNX_INT8: Final[Format] = OnnxInt8File()
