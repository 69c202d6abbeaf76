"""LiteRT (TensorFlow Lite) files, for phones and small machines: in floats, or in 8-bit integers."""

import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.exchange.formats.dead_gates import without_dead_gates
from archsearch.exchange.formats.format import FACTS_FILE, Format, Need, Trained
from archsearch.exchange.formats.read_back import Answers
from archsearch.exchange.formats.tensorflow_function import INPUT, OUTPUT, probabilities_function
from archsearch.quiet import quietly

_NEEDS: Final = (Need("tensorflow", "tensorflow"),)
_USAGE: Final = """
import tensorflow as tf

runner = tf.lite.Interpreter(model_path=path).get_signature_runner()
probabilities = runner(images=images)["probabilities"]
scale, zero = runner.get_output_details()["probabilities"]["quantization"]
if scale:  # a file of 8-bit integers
    probabilities = (probabilities.astype(np.float32) - zero) * scale
"""


class LitertFile:
    """A file with one signature: `images` uint8 (n, height, width, channels) to `probabilities` (n, classes).

    The batch is 1 as the file is loaded; `resize_tensor_input`, or its signature's runner, takes any.
    """

    name = "litert"
    suffix = ".tflite"
    exact = True
    needs = _NEEDS
    usage = MappingProxyType({"TensorFlow's LiteRT": _USAGE})

    def write(self, trained: Trained, out: Path) -> None:
        """Write the file."""
        _write(trained, out, floats=False)

    def call(self, out: Path, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Load the file in TensorFlow's interpreter and return its answers."""
        return np.asarray(self.load(out)(images))

    def load(self, out: Path) -> Answers:
        """Load the file likewise; its signature's runner answers."""
        import tensorflow as tf

        with warnings.catch_warnings():
            # It is said to go with a version that has been; the package in its place holds the same code.
            warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
            interpreter = tf.lite.Interpreter(
                model_path=str(out), num_threads=len(os.sched_getaffinity(0))
            )
        runner = interpreter.get_signature_runner()
        scale, zero = runner.get_output_details()[OUTPUT]["quantization"]

        def answer(images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
            found = np.asarray(runner(**{INPUT: images})[OUTPUT])
            return (found.astype(np.float32) - zero) * np.float32(scale) if scale else found

        return answer


class LitertInt8File(LitertFile):
    """The same in 8-bit integers from end to end, for machines that have no others.

    Pixels go in as they are; a probability is the answer over 256.
    """

    name = "litert-int8"
    exact = False

    def write(self, trained: Trained, out: Path) -> None:
        """Write the file."""
        _write(trained, out, floats=True)


def _write(trained: Trained, out: Path, *, floats: bool) -> None:
    """Write a file, and FACTS_FILE in an archive behind it, which is where LiteRT looks for such files."""
    out.write_bytes(_converted(trained, floats=floats))
    with zipfile.ZipFile(out, "a") as file:
        file.writestr(FACTS_FILE, trained.facts())


def _converted(trained: Trained, *, floats: bool) -> bytes:
    """Return a file's bytes; `floats`: of a network that takes floats, in integers throughout."""
    import tensorflow as tf

    shown = without_dead_gates(trained) if floats else trained
    function, module = probabilities_function(
        shown, takes="floats to quantise" if floats else "uint8"
    )
    with quietly():
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [function.get_concrete_function()], module
        )
        if floats:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: _calibration(trained)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.uint8
            converter.inference_output_type = tf.uint8
        return bytes(converter.convert())


def _calibration(trained: Trained) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    widest = int(np.argmax(trained.std))
    for number, image in enumerate(trained.calibration.astype(np.float32)):
        if number == 0:
            # Two pixels have the ends of the range, so that a pixel's value goes in as it is; not in a colour
            # that no image has, whose range would be blown up.
            image[0, 0, widest], image[-1, -1, widest] = 0, 255
        yield {INPUT: image[None]}


LITERT: Final[Format] = LitertFile()
LITERT_INT8: Final[Format] = LitertInt8File()
