"""The training loss on PyTorch: cross-entropy, smoothed and weighed, of one label an image or of two."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812  as everyone writes it
from torch import Tensor


class Loss:
    """Mean cross-entropy.

    Args:
        smoothing: of the labels.
        class_weights: of each class; None: every image counts alike.
        device: where logits lie.
    """

    def __init__(
        self, smoothing: float, class_weights: Sequence[float] | None, device: torch.device
    ) -> None:
        self._smoothing = smoothing
        self._class_weights = (
            None
            if class_weights is None
            else torch.tensor(class_weights, dtype=torch.float32, device=device)
        )

    def __call__(self, logits: Tensor, targets: Tensor, share: Tensor) -> Tensor:
        """Return the loss for targets (n,), or (n, 2) with the first one's share (see base.Steps)."""
        return shared(share, targets, lambda one: self._of(logits, one))

    def _of(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self._class_weights is None:
            return F.cross_entropy(logits, targets, label_smoothing=self._smoothing)
        losses = F.cross_entropy(logits, targets, label_smoothing=self._smoothing, reduction="none")
        return (losses * self._class_weights[targets]).mean()


def hits(logits: Tensor, targets: Tensor, share: Tensor) -> Tensor:
    """Count correct answers; of an image with two targets, each by its share."""
    answers = logits.argmax(1)
    return shared(share, targets, lambda one: (answers == one).sum().float())


def shared(share: Tensor, targets: Tensor, value: Callable[[Tensor], Tensor]) -> Tensor:
    """Return a value of targets (n,); of two (n, 2) the first's by its share, the other's by the rest."""
    if targets.dim() == 1:
        return value(targets)
    return share * value(targets[:, 0]) + (1 - share) * value(targets[:, 1])
