"""A trained network opened up: its maps, their gradients, and signals sent back to the image."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Images
from archsearch.errors import UserError
from archsearch.ir.graph import Graph, Node
from archsearch.readings.trunk import stage_ends

Array = npt.NDArray[Any]
RECTIFIERS: Final = ("relu", "relu6")
"""Activations that stop the negative part of a signal on its way back, too."""
_BATCH: Final = 32


class Inside:
    """A network's maps at the ends of its stages, and what leads from the image to them and back.

    Args:
        graph: the network.
        weights: by layer, as in `Trained.weights`.
        shift, scale: a number a channel: the network takes (image - shift) / scale.
        ends: the nodes that are looked at; None: the end of each stage.

    Raises:
        UserError: there is no such map, as in an ensemble.
        ArchsearchError: the weights are another network's.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Mapping[str, Array],
        *,
        shift: Array,
        scale: Array,
        ends: Sequence[Node] | None = None,
    ) -> None:
        self.graph = graph
        self.ends = tuple(stage_ends(graph) if ends is None else ends)
        if not self.ends:
            raise UserError(
                "the network has no map through which all that it answers passes, as an ensemble has none; "
                "visualize one network, such as `archsearch export` writes"
            )
        self._shift, self._scale = shift, scale
        self._model = _model(graph, weights, self.ends)
        self._backwards = _model(graph, weights, self.ends, deconvnet=True)

    def maps(self, images: Images) -> tuple[list[Array], Array]:
        """Return each end's map (n, height, width, channels), and the logits (n, classes)."""
        parts = [
            [found.numpy() for found in self._model(self._taken(images[at : at + _BATCH]))]
            for at in range(0, len(images), _BATCH)
        ]
        *maps, logits = (np.concatenate(found) for found in zip(*parts, strict=True))
        return maps, logits

    def class_maps(self, images: Images, classes: Sequence[int]) -> list[Array]:
        """Return Grad-CAM at each end (Selvaraju et al. 2017, equations 1 and 2), before any scaling.

        Args:
            images: (n, height, width, channels).
            classes: a class for each image; its logit is explained.

        Returns:
            For each end (n, height, width), 0 or more: what speaks for the class.
        """
        import tensorflow as tf

        taken = tf.constant(self._taken(images))
        with tf.GradientTape() as tape:
            tape.watch(taken)
            *maps, logits = self._model(taken)
            wanted = tf.reduce_sum(tf.gather(logits, list(classes), axis=1, batch_dims=1))
        gradients = tape.gradient(wanted, maps)
        return [
            tf.nn.relu(
                tf.reduce_sum(tf.reduce_mean(slope, (1, 2), keepdims=True) * found, axis=-1)
            ).numpy()
            for found, slope in zip(maps, gradients, strict=True)
        ]

    def deconvolved(
        self, images: Images, end: int, units: Sequence[tuple[int, int, int] | None]
    ) -> Array:
        """Send units back to the image through a deconvnet (Zeiler & Fergus 2014, section 2.1).

        Filters are transposed, rectifiers pass what is positive of the signal, max pools put each value
        where it came from in this very image (their switches). So it is the gradient with another rule at
        the rectifiers (Simonyan et al. 2014, section 4), and is computed as that.

        Args:
            images: (n, height, width, channels).
            end: the number of the stage's end.
            units: for each image row, column and channel of the unit; None: all units of the map.

        Returns:
            (n, height, width, channels), in units of the network's own input.
        """
        import tensorflow as tf

        taken = tf.constant(self._taken(images))
        with tf.GradientTape() as tape:
            tape.watch(taken)
            found = self._backwards(taken)[end]
        signal = found.numpy()
        for number, unit in enumerate(units):
            if unit is not None:
                value = signal[number][unit]
                signal[number] = 0
                signal[number][unit] = value
        back: Array = tape.gradient(found, taken, output_gradients=tf.constant(signal)).numpy()
        return back

    def _taken(self, images: Images) -> Array:
        return ((images - self._shift) / self._scale).astype(np.float32)


def _model(
    graph: Graph, weights: Mapping[str, Array], ends: Sequence[Node], *, deconvnet: bool = False
) -> Any:
    """Build the Keras model from preprocessed images to the ends' maps and the logits."""
    import keras

    from archsearch.training.lowering.grouped_conv import GroupedConv2D
    from archsearch.training.lowering.keras_model import build_model
    from archsearch.training.lowering.layer_names import layers_of
    from archsearch.training.weights import set_weights

    model = build_model(graph, lowering="train")
    set_weights(model, graph, weights)
    layers = layers_of(model, graph)
    for layer in layers.values():
        if isinstance(layer, GroupedConv2D):
            layer.differentiable = True
        if deconvnet and isinstance(layer, keras.layers.Activation):
            layer.activation = _sent_back(layer.activation)
    return keras.Model(model.input, [*(layers[end.name].output for end in ends), model.output])


def _sent_back(activation: Any) -> Any:
    """Return a rectifier whose gradient passes what is positive of the signal, wherever it came from."""
    import tensorflow as tf

    if activation.__name__ not in RECTIFIERS:
        return activation

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def rectified(x: Any) -> tuple[Any, Any]:
        return activation(x), tf.nn.relu

    return rectified
