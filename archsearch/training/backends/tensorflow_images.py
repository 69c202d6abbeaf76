"""Images moved and mirrored on the device: what archsearch.data.augment does, to the bit."""

from typing import Any

import numpy as np
import tensorflow as tf

from archsearch.data.augment import Moves, Policy, padded_images
from archsearch.data.dataset import Split
from archsearch.training.backends.base import Labels

_WORD_BYTES = 4


class HeldImages:
    """A split on a device (see base.Held).

    Args:
        split: uint8 images and their labels.
        policy: how images are padded.
        device: where they go, as TensorFlow names it.
    """

    def __init__(self, split: Split, policy: Policy, device: str) -> None:
        padded = padded_images(np.asarray(split.images), policy)
        self._padded_shape = padded.shape[1:]
        self._height, self._width = split.images.shape[1:3]
        self._labels = np.asarray(split.labels)
        self._device = device
        with tf.device(device):
            self._images = tf.constant(_words(padded))
        self._batch = tf.function(self._moved, autograph=False)

    def __call__(self, numbers: Labels, moves: Moves) -> tuple[Any, Labels]:
        """Return the images of these numbers (n, height, width, channels), moved, and their labels."""
        with tf.device(self._device):
            images = self._batch(self._images, numbers, moves.top, moves.left, moves.mirrored)
        return images, self._labels[numbers]

    def _moved(self, images: Any, numbers: Any, top: Any, left: Any, mirrored: Any) -> Any:
        height, width, channels = self._padded_shape
        data = tf.bitcast(tf.gather(images, numbers), tf.uint8)
        # GPUs gather no uint8, but float32, which holds all of its values.
        pixels = tf.cast(tf.reshape(data, (-1, _WORD_BYTES * images.shape[1])), tf.float32)
        padded = tf.reshape(pixels[:, : height * width * channels], (-1, height, width, channels))
        rows, columns = (tf.range(side, dtype=tf.int64) for side in (self._height, self._width))
        columns = tf.where(mirrored[:, None], columns[::-1], columns)
        strips = tf.gather(padded, top[:, None] + rows, axis=1, batch_dims=1)
        return tf.cast(tf.gather(strips, left[:, None] + columns, axis=2, batch_dims=1), tf.uint8)


def _words(images: Any) -> Any:
    """Take the bytes of each image four at a time: as float32, which is only what their type is called."""
    rows = images.reshape(len(images), -1)
    missing = -rows.shape[1] % _WORD_BYTES
    return np.pad(rows, ((0, 0), (0, missing))).view(np.float32)
