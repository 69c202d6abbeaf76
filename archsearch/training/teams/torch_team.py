"""Processes that train one network together on PyTorch: what they add up, and normalise by.

The gradients of all weights lie in one vector, so that a step needs one sum over all processes. Batch
normalizations normalise by the whole batch, as one process would: a network is the same network on
however many devices it is trained.
"""

from datetime import timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from archsearch.training.setup import WorkerSetup

_PATIENCE: Final = timedelta(hours=2)
"""A process that has died is noticed by the driver, which ends the others; this is for all else."""


class TorchTeam:
    """The processes of one worker, met (see archsearch.training.teams.team.Team)."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.rank, self.size = setup.rank, setup.devices
        self._place = torch.device("cpu" if setup.gpu is None else "cuda")
        dist.init_process_group(
            "gloo" if setup.gpu is None else "nccl",
            init_method=f"file://{setup.meeting}",
            rank=self.rank,
            world_size=self.size,
            timeout=_PATIENCE,
        )

    def agreed(self, answer: bool) -> bool:
        """Return the answer of the first process."""
        told = torch.tensor([float(answer)], device=self._place)
        dist.broadcast(told, 0)
        return bool(told.item())

    def total(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the sum of everyone's numbers."""
        tensor = torch.from_numpy(np.array(numbers)).to(self._place)
        self.add(tensor)
        found: npt.NDArray[np.float64] = tensor.cpu().numpy()
        return found

    def add(self, tensor: Tensor) -> None:
        """Put the sum of everyone's tensors in the place of each."""
        dist.all_reduce(tensor)

    def gathered(self, tensor: Tensor) -> Tensor:
        """Return everyone's tensors, by rank: (size, …)."""
        own = tensor.to(self._place).contiguous()
        found = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(found, own)
        return torch.stack(found).to(tensor.device)


class _WholeBatchNorm(torch.autograd.Function):  # type: ignore[misc]  # untyped
    """Normalises by the mean and variance of a batch that is spread over processes.

    What comes in is (n, C, …). Back come the normalised maps, the means (C,) and the variances (C,).
    The gradient is that of Ioffe & Szegedy 2015 (arXiv:1502.03167), section 3, its sums over all processes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gamma: Tensor | None,
        beta: Tensor | None,
        epsilon: float,
        team: TorchTeam,
    ) -> tuple[Tensor, Tensor, Tensor]:
        values = x.float()
        axes = [0, *range(2, values.dim())]
        # Each process's own first: sums of squares would cancel out.
        variance, mean = torch.var_mean(values, axes, correction=0)
        all_means, all_variances = team.gathered(torch.stack([mean, variance])).unbind(1)
        mean = all_means.mean(0)
        variance = (all_variances + (all_means - mean).square()).mean(0)
        scale = (variance + epsilon).rsqrt()
        ctx.save_for_backward(x, gamma, mean, scale)
        ctx.team, ctx.axes = team, axes
        out = (values - _wide(mean, x)) * _wide(scale if gamma is None else scale * gamma, x)
        if beta is not None:
            out = out + _wide(beta, x)
        ctx.mark_non_differentiable(mean, variance)
        return out.to(x.dtype), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        x, gamma, mean, scale = ctx.saved_tensors
        gradient = gradients[0].float()
        normal = (x.float() - _wide(mean, x)) * _wide(scale, x)
        sums = torch.stack([gradient.sum(ctx.axes), (gradient * normal).sum(ctx.axes)])
        of_beta, of_gamma = sums.unbind(0)
        means = sums.clone()
        ctx.team.add(means)
        means /= ctx.team.size * x.numel() / x.shape[1]
        inner = gradient - _wide(means[0], x) - normal * _wide(means[1], x)
        of_x = inner * _wide(scale if gamma is None else scale * gamma, x)
        needs = ctx.needs_input_grad
        return (
            of_x.to(x.dtype),
            of_gamma if needs[1] else None,
            of_beta if needs[2] else None,
            None,
            None,
        )


def whole_batch_norm(
    x: Tensor, gamma: Tensor | None, beta: Tensor | None, epsilon: float, team: TorchTeam
) -> tuple[Tensor, Tensor, Tensor]:
    """Return maps (n, C, …) normalised by the whole batch's mean and variance; these two, (C,) each.

    The variance is the unbiased one that moving statistics take in.
    """
    out, mean, variance = _WholeBatchNorm.apply(x, gamma, beta, epsilon, team)
    count = team.size * x.numel() // x.shape[1]
    return out, mean, variance * (count / max(1, count - 1))


def _wide(values: Tensor, like: Tensor) -> Tensor:
    """Return values (C,) in a shape that multiplies maps (n, C, …)."""
    return values.reshape(1, -1, *(1 for _ in like.shape[2:]))
