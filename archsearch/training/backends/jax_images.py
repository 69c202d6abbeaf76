"""Images augmented on the device: what archsearch.augmentation does, to the bit."""

from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from archsearch.augmentation.apply import Arrays, padded_images, paired, transformed
from archsearch.augmentation.policy import Policy
from archsearch.augmentation.transforms import Transforms
from archsearch.data.dataset import Split
from archsearch.training.backends.base import Held, Labels

ARRAYS: Final = Arrays(
    take=lambda values, numbers, axis: jnp.take(values, numbers, axis=axis),
    floats=lambda values: values.astype(jnp.float32),
    ints=lambda values: values.astype(jnp.int32),
    bytes=lambda values: values.astype(jnp.uint8),
    array=lambda values: jnp.asarray(values, jnp.float32),
    count=jnp.arange,
    reshape=jnp.reshape,
    where=jnp.where,
    floor=jnp.floor,
    stack=jnp.stack,
    clip=jnp.clip,
)
"""JAX's operations."""


def hold_images(split: Split, policy: Policy) -> Held:
    """Put a split on the device; what happens there is what archsearch.augmentation does, to the bit."""
    padded = jnp.asarray(padded_images(np.asarray(split.images), policy))
    labels = jnp.asarray(split.labels)
    size = split.images.shape[1:]

    @jax.jit  # type: ignore[untyped-decorator]
    def batch(padded: Any, labels: Any, which: Any, transforms: Transforms) -> Any:
        images = transformed(ARRAYS, padded[which], policy, transforms, size)
        return images, paired(ARRAYS, labels[which], transforms)

    def held(numbers: Labels, transforms: Transforms) -> tuple[Any, Any]:
        return batch(padded, labels, numbers, transforms)  # type: ignore[no-any-return]

    return held
