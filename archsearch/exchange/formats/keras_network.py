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
