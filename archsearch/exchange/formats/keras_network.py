"""A trained network as a Keras model: what the formats that Keras writes begin with."""

from typing import Any

from archsearch.exchange.formats.format import Trained
from archsearch.training.lowering.keras_model import Lowering, build_model
from archsearch.training.weights import set_weights


def keras_network(trained: Trained, *, lowering: Lowering) -> Any:
    """Return the Keras model, from preprocessed float images to logits, with its weights set.

    Raises:
        ArchsearchError: the weights are another network's.
    """
    model = build_model(trained.graph, lowering=lowering)
    set_weights(model, trained.graph, trained.weights)
    return model


def pixels_of(images: Any) -> Any:
    """Return pixels of 0 to 255, of images (n, height, width, channels) that any numbers may be given for.

    Keras makes any numbers floats and cannot refuse them: an image with no value above 1 is one of floats
    of 0 to 1.
    """
    from keras import ops

    most = ops.max(images, axis=(1, 2, 3), keepdims=True)
    return ops.where(most <= 1, images * 255, images)
