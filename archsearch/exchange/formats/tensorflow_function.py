"""A trained network as one TensorFlow function: what the formats that others convert begin with."""

from typing import Any, Final

import numpy as np

from archsearch.exchange.formats.format import Trained

INPUT: Final = "images"
"""What every format calls the input: (n, height, width, channels), n whatever it likes."""
OUTPUT: Final = "probabilities"
"""What every format calls the output, (n, classes)."""


def probabilities_function(trained: Trained, *, floats: bool = False) -> tuple[Any, Any]:
    """Return a `tf.function` from images (0 to 255) to `{OUTPUT: …}`, and the module that has its variables.

    Grouped convolutions are TensorFlow's own operation, which all converters know; Keras's layer has XLA
    compute them, and what is converted from that no runtime takes.

    Args:
        trained: the network.
        floats: images are float32, not uint8, for a quantiser that reads their range.
    """
    import tensorflow as tf

    from archsearch.exchange.formats.keras_network import keras_network

    model = keras_network(trained, lowering="integer" if floats else "train")
    shift, scale = trained.preprocessing()

    def answer(images: Any) -> dict[str, Any]:
        if floats:
            # As a convolution, which a quantiser gives a scale for each colour. Runtimes refuse the factor of
            # a colour that is the same in all images.
            factor = 1 / np.maximum(scale, 1)
            kernel = factor[None, None, :, None]
            x = tf.nn.depthwise_conv2d(images, kernel, (1, 1, 1, 1), "VALID") - shift * factor
        else:
            x = (tf.cast(images, tf.float32) - shift) / scale
        return {OUTPUT: tf.nn.softmax(model(x, training=False))}

    spec = tf.TensorSpec((None, *trained.input), tf.float32 if floats else tf.uint8, name=INPUT)
    module = tf.Module()
    module.trained = [variable.value for variable in model.variables]
    module.answer = tf.function(answer, input_signature=[spec], autograph=False)
    return module.answer, module
