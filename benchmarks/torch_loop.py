"""A plain PyTorch training loop, as a good engineer writes it: what archsearch is measured against.

Channels-last model and images, SGD with Nesterov momentum, weight decay on kernels alone, label smoothing,
gradient clipping, gradients set to None, uint8 batches normalised on the device, losses read now and then.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class PlainLoop:
    """A model with its optimizer, trained on batches that lie ready or on augmented ones.

    Args:
        model: the network.
        data: what to train on; a Dataset of archsearch's is only the arrays' home here.
        batch: images a step.
        device: cpu or cuda.
        precision: float32 or bfloat16, by autocast.
        compiled: through torch.compile.
        batches: uint8 batches to take in turn; None draws them from the data and augments them.
        read_every: steps between looks at the loss.
        learning_rate: a schedule would cost nothing and change nothing.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        *,
        batch: int,
        device: str,
        precision: str,
        compiled: bool,
        batches: list[Any] | None,
        read_every: int,
        learning_rate: float,
    ) -> None:
        torch.backends.cudnn.benchmark = True
        self.device, self.batch, self.read_every = torch.device(device), batch, read_every
        self.model = model.to(self.device, memory_format=torch.channels_last).train()
        self.parameters = list(model.parameters())
        kernels = [p for p in self.parameters if p.ndim > 1]
        rest = [p for p in self.parameters if p.ndim == 1]
        self.optimizer = torch.optim.SGD(
            [{"params": kernels, "weight_decay": 5e-4}, {"params": rest, "weight_decay": 0.0}],
            lr=learning_rate,
            momentum=0.9,
            nesterov=True,
        )
        self.forward: Any = torch.compile(self.model) if compiled else self.model
        self.bfloat16 = precision == "bfloat16"
        self.mean = torch.tensor(data.mean, device=self.device).view(1, -1, 1, 1)
        self.std = torch.tensor(data.std, device=self.device).view(1, -1, 1, 1)
        self.images = torch.tensor(data.train.images)
        self.labels = torch.tensor(data.train.labels)
        if self.device.type == "cuda":
            self.images, self.labels = self.images.to(self.device), self.labels.to(self.device)
        self.fill = torch.tensor([round(value) for value in data.mean], dtype=torch.uint8)
        self.ready = None if batches is None else [self._moved(*batch) for batch in batches]
        self.pool = ThreadPoolExecutor(1)
        self.coming = None if self.ready else self.pool.submit(self._augmented)
        self.number = 0

    def take(self, count: int) -> None:
        """Take so many training steps, and wait until they are done."""
        total = torch.zeros((), device=self.device)
        for index in range(count):
            total += self._step(*self._next())
            if (index + 1) % self.read_every == 0 or index == count - 1:
                assert float(total) == float(total), "the loss is no number"

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        # (n, h, w, c) in memory is channels-last once the axes are named in torch's order.
        x = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            loss = functional.cross_entropy(self.forward(x), labels, label_smoothing=0.1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 2.0)
        self.optimizer.step()
        return loss.detach()

    def _next(self) -> tuple[Tensor, Tensor]:
        if self.ready is not None:
            self.number += 1
            return self.ready[self.number % len(self.ready)]
        assert self.coming is not None
        batch = self.coming.result()
        self.coming = self.pool.submit(self._augmented)
        return batch

    def _moved(self, images: Any, labels: Any) -> tuple[Tensor, Tensor]:
        return (
            torch.tensor(images, device=self.device),
            torch.tensor(labels, device=self.device),
        )

    def _augmented(self) -> tuple[Tensor, Tensor]:
        """Draw a batch, move every image by up to 1/8 of its side, mirror half of them."""
        chosen = torch.randint(len(self.labels), (self.batch,))
        images = self.images[chosen.to(self.images.device)]
        _, height, width, _ = images.shape
        pad = min(height, width) // 8
        padded = self.fill.to(images.device).repeat(
            self.batch, height + 2 * pad, width + 2 * pad, 1
        )
        padded[:, pad:-pad, pad:-pad] = images
        top, left = torch.randint(2 * pad + 1, (2, self.batch))
        rows = top[:, None] + torch.arange(height)
        columns = left[:, None] + torch.arange(width)
        turned = torch.rand(self.batch) < 0.5
        columns[turned] = columns[turned].flip(1)
        device = images.device
        first = torch.arange(self.batch, device=device)[:, None, None]
        moved = padded[first, rows.to(device)[:, :, None], columns.to(device)[:, None, :]]
        return moved.contiguous(), self.labels[chosen.to(self.labels.device)].to(self.device)
