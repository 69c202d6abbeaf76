"""A trained network as one TensorFlow function: what the formats that others convert begin with."""

from typing import Any, Final, Literal

import numpy as np

from archsearch.exchange.formats.format import Trained

INPUT: Final = "images"
"""What every format calls the input: (n, height, width, channels), n whatever it likes."""
OUTPUT: Final = "probabilities"
"""What every format calls the output, (n, classes)."""

Takes = Literal["uint8", "any numbers", "floats to quantise"]
"""What `probabilities_function` is given: pixels of 0 to 255; float32 of 0 to 255 or 0 to 1, told apart image
by image; float32 of 0 to 255, whose range a quantiser reads."""


def probabilities_function(trained: Trained, *, takes: Takes = "uint8") -> tuple[Any, Any]:
    """Return a `tf.function` from images to `{OUTPUT: …}`, and the module that has its variables.

    Grouped convolutions are TensorFlow's own operation, which all converters know; Keras's layer has XLA
    compute them, and what is converted from that no runtime takes.

    Args:
        trained: the network.
        takes: what the images are.
    """
    import tensorflow as tf

    from archsearch.exchange.formats.keras_network import keras_network, pixels_of

    quantised = takes == "floats to quantise"
    model = keras_network(trained, lowering="integer" if quantised else "train")
    shift, scale = trained.preprocessing()

    def answer(images: Any) -> dict[str, Any]:
        if quantised:
            # As a convolution, which a quantiser gives a scale for each colour. Runtimes refuse the factor of
            # a colour that is the same in all images.
            factor = 1 / np.maximum(scale, 1)
            kernel = factor[None, None, :, None]
            x = tf.nn.depthwise_conv2d(images, kernel, (1, 1, 1, 1), "VALID") - shift * factor
        else:
            pixels = pixels_of(images) if takes == "any numbers" else tf.cast(images, tf.float32)
            x = (pixels - shift) / scale
        return {OUTPUT: tf.nn.softmax(model(x, training=False))}

    spec = tf.TensorSpec(
        (None, *trained.input), tf.uint8 if takes == "uint8" else tf.float32, name=INPUT
    )
    module = tf.Module()
    module.trained = [variable.value for variable in model.variables]
    module.answer = tf.function(answer, input_signature=[spec], autograph=False)
    return module.answer, module
