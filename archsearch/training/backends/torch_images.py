"""Images augmented on the device: what archsearch.augmentation does, to the bit."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from archsearch.augmentation.apply import Arrays, padded_images, paired, transformed
from archsearch.augmentation.policy import Policy
from archsearch.augmentation.transforms import Transforms
from archsearch.data.dataset import Split
from archsearch.training.backends.base import Labels


class HeldImages:
    """A split on a device (see base.Held).

    Args:
        split: uint8 images and their labels.
        policy: what may happen to them.
        device: where they go.
    """

    def __init__(self, split: Split, policy: Policy, device: torch.device) -> None:
        padded = padded_images(np.asarray(split.images), policy)
        self._images = torch.from_numpy(np.array(padded)).to(device)
        self._labels = torch.from_numpy(np.array(split.labels)).to(device)
        self._device = device
        self._policy = policy
        self._size = split.images.shape[1:]

    def __call__(self, numbers: Labels, transforms: Transforms) -> tuple[Tensor, Tensor]:
        """Return the images of these numbers (n, height, width, channels), augmented, and their labels."""
        to, there = arrays_on(self._device), transforms.sent(self._send)
        which = self._send(numbers)
        images = transformed(to, self._images[which], self._policy, there, self._size)
        return images, paired(to, self._labels[which], there)

    def _send(self, values: npt.NDArray[np.generic]) -> Tensor:
        return send(values, self._device)


class SentImages:
    """A split that is too large for the device: a batch is sent as it is, and augmented there.

    That takes the processor a sixth of the time that moving it there would (224×224).
    """

    def __init__(self, split: Split, policy: Policy, device: torch.device) -> None:
        self._split = split
        self._policy = policy
        self._device = device

    def __call__(self, numbers: Labels, transforms: Transforms) -> tuple[Tensor, Tensor]:
        """Return the images of these numbers (n, height, width, channels), augmented, and their labels."""
        to, there = arrays_on(self._device), transforms.sent(self._send)
        size = self._split.images.shape[1:]
        padded = self._send(padded_images(self._split.images[numbers], self._policy))
        images = transformed(to, padded, self._policy, there, size)
        return images, paired(to, self._send(self._split.labels[numbers]), there)

    def _send(self, values: npt.NDArray[np.generic]) -> Tensor:
        return send(values, self._device)


def send(values: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    """Copy an array to a device, without waiting for that."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if device.type == "cuda":  # only from pinned memory nobody waits
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def arrays_on(device: torch.device) -> Arrays:
    """Return PyTorch's operations on a device."""
    return Arrays(
        take=lambda values, numbers, axis: values[numbers] if axis == 0 else values[:, numbers],
        floats=lambda values: values.float(),
        ints=lambda values: values.long(),
        bytes=lambda values: values.to(torch.uint8),
        array=lambda values: send(np.asarray(values, np.float32), device),
        count=lambda n: torch.arange(n, device=device),
        reshape=torch.reshape,
        where=torch.where,
        floor=torch.floor,
        stack=torch.stack,
        clip=torch.clip,
    )
