"""LiteRT (TensorFlow Lite) files, for phones and small machines: in floats, or in 8-bit integers."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.exchange.formats.format import Format, Need, Trained
from archsearch.exchange.formats.tensorflow_function import INPUT, OUTPUT, probabilities_function

_NEEDS: Final = (Need("tensorflow", "tensorflow"),)


class LitertFile:
    """A file with one signature: `images` uint8 (n, height, width, channels) to `probabilities` (n, classes).

    The batch is 1 as the file is loaded; `resize_tensor_input`, or its signature's runner, takes any.
    """

    name = "litert"
    suffix = ".tflite"
    exact = True
    needs = _NEEDS

    def write(self, trained: Trained, out: Path) -> None:
        """Write the file."""
        out.write_bytes(_converted(trained, floats=False))

    def call(self, out: Path, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Load the file in TensorFlow's interpreter and return its answers."""
        import tensorflow as tf

        with warnings.catch_warnings():
            # It is said to go with a version that has been; the package in its place holds the same code.
            warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
            interpreter = tf.lite.Interpreter(
                model_path=str(out), num_threads=len(os.sched_getaffinity(0))
            )
        runner = interpreter.get_signature_runner()
        found = np.asarray(runner(**{INPUT: images})[OUTPUT])
        scale, zero = runner.get_output_details()[OUTPUT]["quantization"]
        return (found.astype(np.float32) - zero) * np.float32(scale) if scale else found


class LitertInt8File(LitertFile):
    """The same in 8-bit integers from end to end, for machines that have no others.

    Pixels go in as they are; a probability is the answer over 256.
    """

    name = "litert-int8"
    exact = False

    def write(self, trained: Trained, out: Path) -> None:
        """Write the file."""
        out.write_bytes(_converted(trained, floats=True))


def _converted(trained: Trained, *, floats: bool) -> bytes:
    """Return a file's bytes; `floats`: of a network that takes floats, in integers throughout."""
    import tensorflow as tf

    function, module = probabilities_function(trained, floats=floats)
    with _quiet():
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the converter says of its insides off the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


LITERT: Final[Format] = LitertFile()
LITERT_INT8: Final[Format] = LitertInt8File()
