"""TensorFlow's SavedModel: a folder that TensorFlow and its servers load without archsearch or Keras."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.errors import ArchsearchError
from archsearch.exchange.formats.format import FACTS_FILE, Format, Need, Trained
from archsearch.exchange.formats.read_back import Answers
from archsearch.exchange.place import no_pattern
from archsearch.ir.graph import Graph
from archsearch.training.weights import Weights, get_weights

EXTRA: Final = "assets.extra"
"""The folder in a SavedModel for what TensorFlow itself does not read."""


class SavedModel:
    """A folder; each entry point says what it takes (ENTRY_POINTS) and refuses what it does not.

    All give `probabilities` and `class_index`, and all but `predict` the `class_name`: XLA, which compiles
    for devices and servers, knows no text. FACTS_FILE in EXTRA is the model's card.
    """

    name = "saved_model"
    suffix = ""
    usage = MappingProxyType(
        {
            "TensorFlow": """
import tensorflow as tf

model = tf.saved_model.load(path)
answer = model.signatures["serve"](images=tf.constant(images))
probabilities = answer["probabilities"].numpy()
"""
        }
    )
    exact = True
    needs = (Need("tensorflow", "tensorflow"),)

    def write(self, trained: Trained, out: Path) -> None:
        """Write the folder."""
        import tensorflow as tf

        from archsearch.exchange.formats.entry_points import ENTRY_POINTS

        module, signatures = trained_module(trained)
        out.mkdir(exist_ok=True)
        with no_pattern(out) as folder:
            tf.saved_model.save(module, str(folder), signatures=signatures)
        (out / EXTRA).mkdir(exist_ok=True)
        card = {"takes": ENTRY_POINTS, **json.loads(trained.facts())}
        (out / EXTRA / FACTS_FILE).write_text(json.dumps(card, indent=1), encoding="utf-8")

    def call(self, out: Path, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Load the folder and return the answers of its `serve` signature.

        Raises:
            ArchsearchError: the class names are not those of the numbers.
        """
        if (
            images.max(initial=0) <= 1
        ):  # black, which `serve` takes for a mistake; here they are bytes for sure
            return np.asarray(serving(out, "predict")(images)["probabilities"])
        answer = {name: tensor.numpy() for name, tensor in serving(out)(images).items()}
        classes = json.loads((out / EXTRA / FACTS_FILE).read_text(encoding="utf-8"))["classes"]
        if [name.decode() for name in answer["class_name"]] != [
            classes[index] for index in answer["class_index"]
        ]:
            raise ArchsearchError("the exported model's class names are not the dataset's")
        return np.asarray(answer["probabilities"])

    def load(self, out: Path) -> Answers:
        """Load the folder; its `predict` signature answers."""
        predict = serving(out, "predict")
        return lambda images: np.asarray(predict(images)["probabilities"])

    def read_weights(self, out: Path, graph: Graph) -> Weights:
        """Return the weights of the network in the folder.

        Raises:
            ArchsearchError: it holds other weights than this network has.
        """
        import tensorflow as tf

        from archsearch.training.lowering.keras_model import build_model

        with no_pattern(out) as folder:
            kept = [value.numpy() for value in tf.saved_model.load(str(folder)).trained]
        model = build_model(graph, lowering="train")
        shapes = [tuple(variable.shape) for variable in model.variables]
        if [value.shape for value in kept] != shapes:
            raise ArchsearchError(f"{out} does not hold the weights of its own network")
        for variable, value in zip(model.variables, kept, strict=True):
            variable.assign(value)
        return get_weights(model, graph)


def trained_module(trained: Trained) -> tuple[Any, dict[str, Any]]:
    """Return a `tf.Module` that holds a network, and the functions it is asked by, by entry point.

    Called itself, it gives the probabilities (n, classes) of what `serve` takes.
    """
    import tensorflow as tf

    from archsearch.exchange.formats.entry_points import entry_points
    from archsearch.exchange.formats.keras_network import keras_network

    # Inference needs none of Keras's own grouped convolution, which is XLA's, compiled anew for
    # every batch length; a SavedModel holds operations, so no layer of archsearch is in it.
    model = keras_network(trained, lowering="train")
    shift, scale = trained.preprocessing()
    module = tf.Module()
    module.trained = [variable.value for variable in model.variables]
    module.names = tf.constant(list(trained.classes))

    def numbers(images: Any) -> dict[str, Any]:
        logits = model((tf.cast(images, tf.float32) - shift) / scale, training=False)
        return {
            "probabilities": tf.nn.softmax(logits),
            "class_index": tf.argmax(logits, axis=-1),
        }

    def named(images: Any) -> dict[str, Any]:
        answer = numbers(images)
        return {**answer, "class_name": tf.gather(module.names, answer["class_index"])}

    spec = tf.TensorSpec((None, *trained.input), tf.uint8, name="images")
    signatures = entry_points(trained, named)
    signatures["predict"] = tf.function(numbers, input_signature=[spec], autograph=False)
    for name, function in signatures.items():
        setattr(module, name, function)
    _make_callable(module, signatures["serve"])
    # `serve` is the name; TensorFlow Serving and others look for the default one.
    signatures["serving_default"] = signatures["serve"]
    return module, signatures


def _make_callable(module: Any, serve: Any) -> None:
    """Have a call of the loaded module, which MLflow's servers do, give the probabilities alone."""
    import tensorflow as tf

    called = tf.function(
        lambda images: serve(images)["probabilities"],
        input_signature=serve.input_signature,
        autograph=False,
    )
    setattr(module, "__call__", called)  # noqa: B010  # its type has none


def serving(out: Path, entry: str = "serve") -> Callable[[Any], Mapping[str, Any]]:
    """Load a folder; return what gives the tensors that an entry point answers to uint8 images."""
    import tensorflow as tf

    with no_pattern(out) as folder:
        module = tf.saved_model.load(str(folder))

    def serve(images: Any) -> Mapping[str, Any]:
        # Its weights live as long as the module.
        answer: Mapping[str, Any] = module.signatures[entry](images=tf.constant(images))
        return answer

    return serve


SAVED_MODEL: Final[Format] = SavedModel()
