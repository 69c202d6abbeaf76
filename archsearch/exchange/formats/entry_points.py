"""What a SavedModel can be asked, so that no input is taken for another: pixels, floats, files.

Images of any size are brought to the network's as in training (`archsearch.data.sources.decode`):
transparency is laid on white; a cubic kernel (Keys 1981, as Pillow's) scales them to cover the size, and what
is too much is cut off, or squashes them; pixels are whole numbers again; then they become grey, or coloured.
Training shrinks very large images in two steps, which differs by a level or two, and undoes EXIF rotation,
which is not done here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from archsearch.exchange.formats.format import Trained

Answers = Callable[[Any], Mapping[str, Any]]
"""From uint8 images of the network's own size to what is answered, by name."""

ENTRY_POINTS: Final = {
    "serve": "images: uint8 (n, any height, any width, 1, 3 or 4 channels), pixels of 0 to 255",
    "serve_float": "images: float32, likewise, pixels of 0 to 1; others are refused",
    "serve_bytes": "files: n strings, each a JPEG, PNG, BMP or GIF file",
    "predict": "images: uint8 of the training size; nothing is checked, no texts: XLA compiles it",
}
"""What each takes, as the model's card says it."""

_LUMA: Final = (19595, 38470, 7471)
"""Shares of red, green and blue in a grey, of 65536: ITU-R BT.601, as Pillow rounds them."""


def entry_points(trained: Trained, answers: Answers) -> dict[str, Any]:
    """Return the `tf.function` of each entry point but `predict`.

    Args:
        trained: the network.
        answers: what it answers to images of its own size.
    """
    import tensorflow as tf

    def of_pixels(images: Any) -> Mapping[str, Any]:
        seen = tf.logical_or(tf.equal(tf.size(images), 0), tf.reduce_max(images) > 1)
        text = "no pixel is above 1: as bytes these are black; floats of 0 to 1 go to serve_float"
        with tf.control_dependencies([tf.debugging.Assert(seen, [text])]):
            return answers(fitted(tf.identity(images), trained))

    def of_floats(images: Any) -> Mapping[str, Any]:
        least, most = tf.reduce_min(images), tf.reduce_max(images)
        within = tf.logical_or(tf.equal(tf.size(images), 0), (least >= 0) & (most <= 1))
        text = "pixels must be 0 to 1 (0 to 255, as uint8, go to serve); least and largest here:"
        with tf.control_dependencies([tf.debugging.Assert(within, [text, least, most])]):
            return answers(fitted(images * 255, trained))

    any_size = (None, None, None, None)
    specs = {
        "serve": (of_pixels, tf.TensorSpec(any_size, tf.uint8, name="images")),
        "serve_float": (of_floats, tf.TensorSpec(any_size, tf.float32, name="images")),
        "serve_bytes": (
            lambda files: answers(_decoded(files, trained)),
            tf.TensorSpec((None,), tf.string, name="files"),
        ),
    }
    return {
        name: tf.function(function, input_signature=[spec], autograph=False)
        for name, (function, spec) in specs.items()
    }


def _decoded(files: Any, trained: Trained) -> Any:
    """Return uint8 images of the network's size, of files as strings (n,)."""
    import tensorflow as tf

    def one(file: Any) -> Any:
        return fitted(tf.io.decode_image(file, expand_animations=False)[None], trained)[0]

    return tf.map_fn(one, files, fn_output_signature=tf.TensorSpec(trained.input, tf.uint8))


def fitted(images: Any, trained: Trained) -> Any:
    """Return uint8 images of the network's size and channels.

    Args:
        images: (n, height, width, channels), 0 to 255, uint8 or float32; one size and 1 to 4 channels.
        trained: the network.
    """
    import tensorflow as tf

    wanted = trained.input
    same = tf.reduce_all(tf.equal(tf.shape(images)[1:], wanted))

    found = tf.cond(same, lambda: _pixels(images), lambda: _converted(images, trained))
    # In a branch a check of shapes would be made whichever branch is taken.
    found.set_shape((None, *wanted))
    return found


def _converted(images: Any, trained: Trained) -> Any:
    import tensorflow as tf

    height, width, channels = trained.input
    found = tf.shape(images)[-1]
    if channels not in {1, 3}:  # no colours that anything could be turned into
        return _pixels(_resized(tf.cast(images, tf.float32), (height, width), trained.resize))
    text = "images have 1 channel (grey), 3 (RGB), or with transparency 2 or 4; channels here:"
    with tf.control_dependencies([tf.debugging.Assert((found >= 1) & (found <= 4), [text, found])]):
        x = tf.cast(images, tf.float32)
    x = tf.cond(tf.equal(found % 2, 0), lambda: _on_white(x), lambda: x)
    grey = tf.equal(tf.shape(x)[-1], 1)
    x = tf.cond(grey, lambda: tf.repeat(x, 3, axis=-1), lambda: x)
    x = _pixels(
        _resized(tf.ensure_shape(x, (None, None, None, 3)), (height, width), trained.resize)
    )
    if channels == 1:
        total = tf.reduce_sum(tf.cast(x, tf.int32) * _LUMA, axis=-1, keepdims=True)
        x = tf.cast(tf.bitwise.right_shift(total + 0x8000, 16), tf.uint8)
    return x


def _on_white(x: Any) -> Any:
    opaque = x[..., -1:] / 255
    return x[..., :-1] * opaque + 255 * (1 - opaque)


def _pixels(x: Any) -> Any:
    """Return uint8: whole pixels, as training sees them."""
    import tensorflow as tf

    return x if x.dtype == tf.uint8 else tf.cast(tf.clip_by_value(tf.round(x), 0, 255), tf.uint8)


def _resized(x: Any, size: tuple[int, int], resize: str) -> Any:
    import tensorflow as tf

    wanted = tf.constant(size, tf.float32)
    before = tf.cast(tf.shape(x)[1:3], tf.float32)
    scale = wanted / before
    if resize == "crop":
        scale = tf.fill((2,), tf.reduce_max(scale))
    cut = tf.maximum((before - wanted / scale) / 2, 0)
    return tf.raw_ops.ScaleAndTranslate(
        images=x, size=size, scale=scale, translation=-cut * scale, kernel_type="keyscubic"
    )
