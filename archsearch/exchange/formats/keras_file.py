"""A `.keras` file of stock Keras layers: it loads without archsearch, and can be trained further."""

import warnings
import zipfile
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.exchange.formats.format import FACTS_FILE, Format, Need, Trained
from archsearch.exchange.formats.read_back import Answers
from archsearch.ir.graph import Graph
from archsearch.training.lowering.layer_names import MODEL_NAME
from archsearch.training.weights import Weights, get_weights


class KerasFile:
    """A file; the model takes images, pixels of 0 to 255 or of 0 to 1, and gives probabilities.

    FACTS_FILE in it lists the classes.
    """

    name = "keras"
    suffix = ".keras"
    usage = MappingProxyType(
        {
            "Keras": """
import keras

model = keras.models.load_model(path)
probabilities = np.asarray(model(images, training=False))
"""
        }
    )
    exact = True
    needs = (Need("keras", "keras"),)

    def write(self, trained: Trained, out: Path) -> None:
        """Write the file."""
        import keras

        from archsearch.exchange.formats.keras_network import keras_network, pixels_of

        model = keras_network(trained, lowering="plain")
        shift, scale = trained.preprocessing()
        images = keras.Input(trained.input, name="images")
        x = keras.layers.Rescaling(
            (1 / scale).tolist(), (-shift / scale).tolist(), name="preprocessing"
        )(pixels_of(images))
        probabilities = keras.layers.Softmax(name="probabilities")(model(x))
        with warnings.catch_warnings():
            # Keras 3.15 saves variables through np.array(), which NumPy 2.4 warns about.
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            keras.Model(images, probabilities, name="archsearch_export").save(out)
        with zipfile.ZipFile(out, "a") as file:
            file.writestr(FACTS_FILE, trained.facts())

    def call(self, out: Path, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Load the file, running nothing in it, and return its answers."""
        return np.asarray(_loaded(out)(images, training=False))

    def load(self, out: Path) -> Answers:
        """Load the file likewise; what answers is compiled where TensorFlow computes."""
        import keras

        model = _loaded(out)
        answer = partial(model, training=False)
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            answer = tf.function(answer, reduce_retracing=True, autograph=False)
        return lambda images: np.asarray(answer(keras.ops.convert_to_tensor(images)))

    def read_weights(self, out: Path, graph: Graph) -> Weights:
        """Return the weights of the network in the file."""
        return get_weights(_loaded(out).get_layer(MODEL_NAME), graph)


def _loaded(out: Path) -> Any:
    import keras

    return keras.models.load_model(out, safe_mode=True, compile=False)


KERAS_FILE: Final[Format] = KerasFile()
