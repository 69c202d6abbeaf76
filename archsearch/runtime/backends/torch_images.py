"""Images that lie on the device, moved and mirrored there: what archsearch.data.augment does, to the bit."""

import numpy as np
import torch
from torch import Tensor

from archsearch.data.augment import Moves, Policy, padded_images
from archsearch.data.dataset import Split
from archsearch.runtime.backends.base import Labels


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
        self._rows, self._columns = (
            torch.arange(side, device=device) for side in split.images.shape[1:3]
        )

    def __call__(self, numbers: Labels, moves: Moves) -> tuple[Tensor, Tensor]:
        """Return the images of these numbers (n, height, width, channels), moved, and their labels."""
        which, top, left, mirrored = (
            torch.from_numpy(np.ascontiguousarray(values)).to(
                self._images.device, non_blocking=True
            )
            for values in (numbers, moves.top, moves.left, moves.mirrored)
        )
        columns = torch.where(mirrored[:, None], self._columns.flip(0), self._columns)
        images = self._images[
            which[:, None, None],
            (top[:, None] + self._rows)[:, :, None],
            (left[:, None] + columns)[:, None, :],
        ]
        return images, self._labels[which]
