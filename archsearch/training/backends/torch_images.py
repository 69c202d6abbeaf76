"""Images moved and mirrored on the device: what archsearch.data.augment does, to the bit."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from archsearch.data.augment import Moves, Policy, padded_images
from archsearch.data.dataset import Split
from archsearch.training.backends.base import Labels


class HeldImages:
    """A split on a device (see base.Held).

    Args:
        split: uint8 images and their labels.
        policy: how images are padded.
        device: where they go.
    """

    def __init__(self, split: Split, policy: Policy, device: torch.device) -> None:
        padded = padded_images(np.asarray(split.images), policy)
        self._images = torch.from_numpy(np.array(padded)).to(device)
        self._labels = torch.from_numpy(np.array(split.labels)).to(device)
        self._mover = _Mover(split, device)

    def __call__(self, numbers: Labels, moves: Moves) -> tuple[Tensor, Tensor]:
        """Return the images of these numbers (n, height, width, channels), moved, and their labels."""
        which = self._mover.send(numbers)
        return self._mover.moved(self._images, which, moves), self._labels[which]


class SentImages:
    """A split that is too large for the device: a batch is sent as it is, and moved there.

    That takes the processor a sixth of the time that moving it there would (224×224).
    """

    def __init__(self, split: Split, policy: Policy, device: torch.device) -> None:
        self._split = split
        self._policy = policy
        self._mover = _Mover(split, device)

    def __call__(self, numbers: Labels, moves: Moves) -> tuple[Tensor, Tensor]:
        """Return the images of these numbers (n, height, width, channels), moved, and their labels."""
        send = self._mover.send
        images = send(padded_images(self._split.images[numbers], self._policy))
        labels = send(self._split.labels[numbers])
        return self._mover.moved(images, send(np.arange(len(numbers))), moves), labels


class _Mover:
    """Crops and mirrors padded images where they lie."""

    def __init__(self, split: Split, device: torch.device) -> None:
        self._device = device
        self._rows, self._columns = (
            torch.arange(side, device=device) for side in split.images.shape[1:3]
        )

    def send(self, values: npt.NDArray[np.generic]) -> Tensor:
        """Copy an array to the device, without waiting for that."""
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        if self._device.type == "cuda":  # only from pinned memory nobody waits
            tensor = tensor.pin_memory()
        return tensor.to(self._device, non_blocking=True)

    def moved(self, padded: Tensor, which: Tensor, moves: Moves) -> Tensor:
        """Cut the images `which` (n,) out of padded ones, as they are to be moved."""
        top, left, mirrored = map(self.send, (moves.top, moves.left, moves.mirrored))
        columns = torch.where(mirrored[:, None], self._columns.flip(0), self._columns)
        return padded[
            which[:, None, None],
            (top[:, None] + self._rows)[:, :, None],
            (left[:, None] + columns)[:, None, :],
        ]
