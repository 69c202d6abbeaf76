"""Images augmented on the device: what archsearch.augmentation does, to the bit."""

from math import prod
from typing import Any, Final

import numpy as np
import tensorflow as tf

from archsearch.augmentation.apply import NUMPY, Arrays, padded_images, paired, transformed
from archsearch.augmentation.policy import Policy
from archsearch.augmentation.transforms import Transforms
from archsearch.data.dataset import Split
from archsearch.training.backends.base import Labels

_WORD_BYTES = 4


def _floats(values: Any) -> Any:
    return tf.cast(values, tf.float32)


ARRAYS: Final = Arrays(
    # GPUs gather no uint8, but float32, which holds all of its values; and count in no int32.
    take=lambda values, numbers, axis: tf.gather(_floats(values), numbers, axis=axis),
    floats=_floats,
    ints=lambda values: tf.cast(values, tf.int64),
    bytes=lambda values: tf.cast(values, tf.uint8),
    array=lambda values: tf.constant(values, tf.float32),
    count=lambda n: tf.range(n, dtype=tf.int64),
    reshape=tf.reshape,
    where=tf.where,
    floor=tf.floor,
    stack=tf.stack,
    clip=tf.clip_by_value,
)
"""TensorFlow's operations."""


class HeldImages:
    """A split on a device (see base.Held).

    Args:
        split: uint8 images and their labels.
        policy: what may happen to them.
        device: where they go, as TensorFlow names it.
    """

    def __init__(self, split: Split, policy: Policy, device: str) -> None:
        padded = padded_images(np.asarray(split.images), policy)
        self._padded_shape = padded.shape[1:]
        self._size = split.images.shape[1:]
        self._labels = np.asarray(split.labels)
        self._policy = policy
        self._device = device
        with tf.device(device):
            self._images = tf.constant(_words(padded))
        self._batch = tf.function(self._augmented, autograph=False)

    def __call__(self, numbers: Labels, transforms: Transforms) -> tuple[Any, Labels]:
        """Return the images of these numbers (n, height, width, channels), augmented, and their labels."""
        with tf.device(self._device):
            # As tensors: of Python's numbers and None each value is traced anew, or once.
            images = self._batch(self._images, numbers, transforms.sent(tf.constant))
        return images, paired(NUMPY, self._labels[numbers], transforms)

    def _augmented(self, images: Any, numbers: Any, transforms: Transforms) -> Any:
        data = tf.bitcast(tf.gather(images, numbers), tf.uint8)
        n, used = numbers.shape[0], prod(self._padded_shape)
        pixels = tf.reshape(data, (n, _WORD_BYTES * images.shape[1]))[:, :used]
        padded = _floats(tf.reshape(pixels, (n, *self._padded_shape)))
        return transformed(ARRAYS, padded, self._policy, transforms, self._size)


def _words(images: Any) -> Any:
    """Take the bytes of each image four at a time: as float32, which is only what their type is called."""
    rows = images.reshape(len(images), -1)
    missing = -rows.shape[1] % _WORD_BYTES
    return np.pad(rows, ((0, 0), (0, missing))).view(np.float32)
