"""From a Graph to PyTorch functions: the network that the PyTorch backend trains.

Not Keras on PyTorch: its layers cost more than small convolutions do, and it computes in another
memory order than PyTorch's convolutions want. Maps are `(n, channels, height, width)` here, laid out
channels last; weights go in and out in Keras's shapes (archsearch.training.initial).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  as everyone writes it
from torch import Tensor

from archsearch.errors import ArchsearchError
from archsearch.ir import ops
from archsearch.ir.channels import known
from archsearch.ir.graph import Graph, Node
from archsearch.readings.cost import training_only
from archsearch.training.lowering.windows import used_padding, window_cells
from archsearch.training.teams.torch_team import TorchTeam, whole_batch_norm

Array = npt.NDArray[np.float32]
Apply = Callable[..., Tensor]

_ACTIVATIONS: Final[Mapping[str, Apply]] = {
    "elu": F.elu,
    "exponential": torch.exp,
    "gelu": F.gelu,
    "hard_sigmoid": F.hardsigmoid,
    "hard_silu": F.hardswish,
    "hard_swish": F.hardswish,
    "linear": lambda x: x,
    "relu": F.relu,
    "relu6": F.relu6,
    "selu": F.selu,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "softmax": lambda x: F.softmax(x, dim=1),
    "softplus": F.softplus,
    "softsign": F.softsign,
    "swish": F.silu,
    "tanh": torch.tanh,
}
_IN_PLACE: Final[Mapping[str, Apply]] = {
    "relu": F.relu_,
    "relu6": lambda x: F.relu6(x, inplace=True),
}
_LEAVE_THEIR_OUTPUT: Final = (ops.Conv, ops.Dense, ops.BatchNorm, ops.Add, ops.Concat)
"""Ops whose gradient needs their inputs only, so that a following one may write over their output."""


class Network:
    """A network with its weights, called with normalised images.

    Args:
        graph: the network.
        weights: by node name, in Keras's shapes (archsearch.training.initial).
        auxiliary: keep auxiliary classifiers; the outputs are the network's own first.
        device: where to compute.
        team: processes over which batches are spread; None: this one has all of them.

    Attributes:
        kernels: weights of more than one axis, the ones that decay.
        others: the other trained weights: biases, gammas, betas.
        moving: means and variances of batch normalizations, which evaluation uses.
        latest: those of the last training batch, in the order of `moving`.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Mapping[str, Sequence[Array]],
        *,
        auxiliary: bool,
        device: torch.device,
        team: TorchTeam | None = None,
    ) -> None:
        self._graph = graph
        self._device = device
        self._team = team
        skip = training_only(graph) if graph.auxiliary and not auxiliary else frozenset()
        self._outputs = [len(graph) - 1, *(graph.auxiliary if auxiliary else ())]
        self.kernels: list[Tensor] = []
        self.others: list[Tensor] = []
        self.moving: list[Tensor] = []
        self.latest: list[Tensor] = []
        self.random = False
        self._places: dict[str, list[tuple[Tensor, tuple[int, ...]]]] = {}
        last_use = {i: index for index, node in enumerate(graph.nodes) for i in node.inputs}
        uses = Counter(i for node in graph.nodes for i in node.inputs)
        self._steps: list[tuple[Apply, tuple[int, ...], tuple[int, ...]] | None] = []
        for index, node in enumerate(graph.nodes):
            if index in skip or not node.inputs:
                self._steps.append(None)
                continue
            self._before = graph.input_shapes(node)
            # Inputs that may be written over.
            self._writable = [
                uses[i] == 1 and isinstance(graph.nodes[i].op, _LEAVE_THEIR_OUTPUT)
                for i in node.inputs
            ]
            make: Callable[..., Apply] = getattr(self, f"_{node.op.kind}")
            apply = make(node, node.op, weights.get(node.name, ()))
            kept = self._outputs
            done = tuple(i for i in node.inputs if last_use[i] == index and i not in kept)
            self._steps.append((apply, node.inputs, done))

    def __call__(self, images: Tensor, *, training: bool) -> list[Tensor]:
        """Return logits (n, classes) of images (n, channels, height, width); all outputs' in training."""
        tensors: list[Any] = [images]
        for step in self._steps[1:]:
            if step is None:
                tensors.append(None)
                continue
            apply, inputs, done = step
            tensors.append(apply(*(tensors[i] for i in inputs), training))
            for i in done:  # as soon as nobody needs it
                tensors[i] = None
        return [tensors[i] for i in (self._outputs if training else self._outputs[:1])]

    def weights(self) -> dict[str, Array]:
        """Copy all weights, keyed and shaped as archsearch.training.weights has them."""
        return {
            f"{name}:{index}": _to_keras(tensor, shape)
            for name, tensors in self._places.items()
            for index, (tensor, shape) in enumerate(tensors)
        }

    # --- weights ------------------------------------------------------------------------------------

    def _trained(self, node: Node, values: Sequence[Array], index: int) -> Tensor:
        """Take a weight in, in PyTorch's own order."""
        value = torch.from_numpy(np.array(values[index])).to(self._device)
        tensor = value
        if isinstance(node.op, ops.Conv) and value.dim() == 4:
            depth = known(self._before[0][-1]) // known(node.op.groups)
            tensor = value.reshape(*node.op.kernel, depth, -1).permute(3, 2, 0, 1)
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        elif isinstance(node.op, ops.Dense) and value.dim() == 2:
            tensor = value.t().contiguous()
        elif isinstance(node.op, ops.LayerScale):
            tensor = value.reshape(-1, 1, 1)
        tensor.requires_grad_()
        (self.kernels if value.dim() > 1 else self.others).append(tensor)
        self._places.setdefault(node.name, []).append((tensor, tuple(value.shape)))
        return tensor

    def _statistics(self, node: Node, values: Sequence[Array]) -> tuple[Tensor, Tensor]:
        """Take in a batch normalization's moving mean and variance; give those of the last batch."""
        for value in values:
            tensor = torch.from_numpy(np.array(value)).to(self._device)
            self.moving.append(tensor)
            self.latest.append(torch.zeros_like(tensor))
            self._places[node.name].append((tensor, tuple(tensor.shape)))
        return self.latest[-2], self.latest[-1]

    # --- ops: each method makes the function that runs a node, of its inputs and `training` ---------------

    def _conv(self, node: Node, op: ops.Conv, values: Sequence[Array]) -> Apply:
        kernel = self._trained(node, values, 0)
        bias = self._trained(node, values, 1) if op.bias else None
        pad, padding = self._padding(node, op.reach, op.stride, op.padding)
        groups = known(op.groups)

        def apply(x: Tensor, training: bool) -> Tensor:
            x = F.pad(x, pad) if pad else x
            return F.conv2d(x, kernel, bias, op.stride, padding, op.dilation, groups)

        return apply

    def _dense(self, node: Node, op: ops.Dense, values: Sequence[Array]) -> Apply:
        kernel = self._trained(node, values, 0)
        bias = self._trained(node, values, 1) if op.bias else None
        return lambda x, training: F.linear(x, kernel, bias)

    def _batch_norm(self, node: Node, op: ops.BatchNorm, values: Sequence[Array]) -> Apply:
        self._places[node.name] = []
        gamma = self._trained(node, values, 0) if op.scale else None
        beta = self._trained(node, values, int(op.scale)) if op.center else None
        mean, variance = self._statistics(node, values[-2:])
        moving_mean, moving_variance = self.moving[-2:]

        team = self._team

        def apply(x: Tensor, training: bool) -> Tensor:
            if training and team is not None:
                out, *found = whole_batch_norm(x, gamma, beta, op.epsilon, team)
                with torch.no_grad():
                    mean.copy_(found[0])
                    variance.copy_(found[1])
                return out
            if training and x.numel() == x.shape[1]:
                # PyTorch refuses one value a channel, as one image may have: its variance is that of two.
                return apply(torch.cat([x, x]), training)[:1]
            if training:  # momentum 1: what is kept is this batch's; the steps average it
                return F.batch_norm(x, mean, variance, gamma, beta, True, 1.0, op.epsilon)
            return F.batch_norm(
                x, moving_mean, moving_variance, gamma, beta, False, 0.0, op.epsilon
            )

        return apply

    def _layer_norm(self, node: Node, op: ops.LayerNorm, values: Sequence[Array]) -> Apply:
        gamma = self._trained(node, values, 0) if op.scale else None
        beta = self._trained(node, values, int(op.scale)) if op.center else None
        before = tuple(known(n) for n in self._before[0])
        size = before if op.whole else before[-1:]

        def apply(x: Tensor, training: bool) -> Tensor:
            if x.dim() == 2:
                return F.layer_norm(x, size, gamma, beta, op.epsilon)
            y = F.layer_norm(x.permute(0, 2, 3, 1), size, gamma, beta, op.epsilon)
            return y.permute(0, 3, 1, 2)

        return apply

    def _group_norm(self, node: Node, op: ops.GroupNorm, values: Sequence[Array]) -> Apply:
        gamma = self._trained(node, values, 0) if op.scale else None
        beta = self._trained(node, values, int(op.scale)) if op.center else None
        return lambda x, training: F.group_norm(x, op.groups, gamma, beta, op.epsilon)

    def _prelu(self, node: Node, op: ops.PRelu, values: Sequence[Array]) -> Apply:
        slope = self._trained(node, values, 0)

        def apply(x: Tensor, training: bool) -> Tensor:
            rows = x.permute(0, 2, 3, 1) if x.dim() == 4 else x
            y = F.relu(rows) - slope * F.relu(-rows)
            return y.permute(0, 3, 1, 2) if y.dim() == 4 else y

        return apply

    def _layer_scale(self, node: Node, op: ops.LayerScale, values: Sequence[Array]) -> Apply:
        factor = self._trained(node, values, 0)
        return lambda x, training: x * factor

    def _activation(self, node: Node, op: ops.Activation, values: Sequence[Array]) -> Apply:
        if op.function == "elu" and op.slope is not None:
            alpha = op.slope
            return lambda x, training: F.elu(x, alpha)
        if op.function == "leaky_relu" or op.slope is not None:
            slope = 0.2 if op.slope is None else op.slope
            return lambda x, training: F.leaky_relu(x, slope)
        function = _ACTIVATIONS.get(op.function)
        if function is None:
            raise ArchsearchError(
                f"{node.name}: the torch backend has no activation {op.function!r}"
            )
        written = _IN_PLACE.get(op.function, function) if self._writable[0] else function
        return lambda x, training: written(x)

    def _pool(self, node: Node, op: ops.Pool, values: Sequence[Array]) -> Apply:
        pad, padding = self._padding(node, op.kernel, op.stride, op.padding)
        if 2 * padding[0] > op.kernel[0] or 2 * padding[1] > op.kernel[1]:
            pad, padding = (padding[1], padding[1], padding[0], padding[0]), (0, 0)
        if op.method == "max":

            def largest(x: Tensor, training: bool) -> Tensor:
                x = F.pad(x, pad, value=-torch.inf) if pad else x
                return F.max_pool2d(x, op.kernel, op.stride, padding)

            return largest
        height, width, _ = self._before[0]
        # Windows over explicit zeros are divided by their whole size; their share inside is wanted.
        inside = np.outer(
            window_cells(height, op.kernel[0], op.stride[0], op.padding[0], node.shape[0]),
            window_cells(width, op.kernel[1], op.stride[1], op.padding[2], node.shape[1]),
        )
        factor = None
        if pad and not op.count_padding:
            share = op.kernel[0] * op.kernel[1] / inside
            factor = torch.from_numpy(share.astype(np.float32)).to(self._device)

        def average(x: Tensor, training: bool) -> Tensor:
            x = F.pad(x, pad) if pad else x
            y = F.avg_pool2d(
                x, op.kernel, op.stride, padding, count_include_pad=bool(pad) or op.count_padding
            )
            return y if factor is None else y * factor

        return average

    def _global_pool(self, node: Node, op: ops.GlobalPool, values: Sequence[Array]) -> Apply:
        keep = op.keep_map
        if op.method == "max":
            return lambda x, training: torch.amax(x, dim=(2, 3), keepdim=keep)
        return lambda x, training: torch.mean(x, dim=(2, 3), keepdim=keep)

    def _flatten(self, node: Node, op: ops.Flatten, values: Sequence[Array]) -> Apply:
        return lambda x, training: x.permute(0, 2, 3, 1).flatten(1)

    def _dropout(self, node: Node, op: ops.Dropout, values: Sequence[Array]) -> Apply:
        self.random = self.random or op.rate > 0
        drop = F.dropout2d if op.channels else F.dropout
        return lambda x, training: drop(x, op.rate, training)

    def _drop_path(self, node: Node, op: ops.DropPath, values: Sequence[Array]) -> Apply:
        self.random = self.random or op.survival < 1

        def apply(x: Tensor, training: bool) -> Tensor:
            if not training or op.survival == 1:
                return x
            kept = x.new_empty((x.shape[0], *(1 for _ in node.shape))).bernoulli_(op.survival)
            return x * (kept / op.survival)

        return apply

    def _add(self, node: Node, op: ops.Add, values: Sequence[Array]) -> Apply:
        if not any(self._writable):
            return lambda first, *others: _sum(first, others[:-1])
        place = self._writable.index(True)

        def apply(*inputs: Any) -> Tensor:
            maps = list(inputs[:-1])
            total = maps.pop(place)
            for other in maps:
                total.add_(other)
            return total

        return apply

    def _mean(self, node: Node, op: ops.Mean, values: Sequence[Array]) -> Apply:
        self.random = self.random or op.drop > 0

        def apply(*inputs: Any) -> Tensor:
            *maps, training = inputs
            if not (training and op.drop):
                return _sum(maps[0], maps[1:]) / len(maps)
            draws = torch.rand((len(maps), len(maps[0])), device=self._device)
            # The luckiest input stays where no other does.
            kept = ((draws >= op.drop) | (draws == draws.amax(0))).to(maps[0].dtype)
            weights = (kept / kept.sum(0)).reshape(*kept.shape, *(1 for _ in node.shape))
            return _sum(
                maps[0] * weights[0], [x * w for x, w in zip(maps[1:], weights[1:], strict=True)]
            )

        return apply

    def _multiply(self, node: Node, op: ops.Multiply, values: Sequence[Array]) -> Apply:
        return lambda x, gate, training: x * gate

    def _concat(self, node: Node, op: ops.Concat, values: Sequence[Array]) -> Apply:
        return lambda *inputs: torch.cat(inputs[:-1], dim=1)

    def _pad(self, node: Node, op: ops.Pad, values: Sequence[Array]) -> Apply:
        top, bottom, left, right = op.padding
        return lambda x, training: F.pad(x, (left, right, top, bottom))

    def _crop(self, node: Node, op: ops.Crop, values: Sequence[Array]) -> Apply:
        top, bottom, left, right = op.cropping
        return lambda x, training: F.pad(x, (-left, -right, -top, -bottom))

    def _reshape(self, node: Node, op: ops.Reshape, values: Sequence[Array]) -> Apply:
        target = op.target

        def apply(x: Tensor, training: bool) -> Tensor:
            rows = x.permute(0, 2, 3, 1) if x.dim() == 4 else x
            y = rows.reshape(len(x), *target)
            return y.permute(0, 3, 1, 2) if y.dim() == 4 else y

        return apply

    def _permute(self, node: Node, op: ops.Permute, values: Sequence[Array]) -> Apply:
        def apply(x: Tensor, training: bool) -> Tensor:
            return x.permute(0, 2, 3, 1).permute(0, *op.axes).permute(0, 3, 1, 2)

        return apply

    def _resize(self, node: Node, op: ops.Resize, values: Sequence[Array]) -> Apply:
        if op.method == "nearest":
            return lambda x, training: F.interpolate(x, op.size, mode="nearest-exact")
        return lambda x, training: F.interpolate(x, op.size, mode="bilinear", align_corners=False)

    def _mirror(self, node: Node, op: ops.Mirror, values: Sequence[Array]) -> Apply:
        return lambda x, training: x.flip(3)

    def _rescale(self, node: Node, op: ops.Rescale, values: Sequence[Array]) -> Apply:
        scale, offset = (
            torch.tensor(constants, dtype=torch.float32, device=self._device)
            for constants in (op.scale, op.offset)
        )
        if len(node.shape) == 3:
            scale, offset = scale.reshape(-1, 1, 1), offset.reshape(-1, 1, 1)
        return lambda x, training: x * scale + offset

    def _log(self, node: Node, op: ops.Log, values: Sequence[Array]) -> Apply:
        least = op.least
        return lambda x, training: torch.log(x.clamp_min(least))

    def _pad_channels(self, node: Node, op: ops.PadChannels, values: Sequence[Array]) -> Apply:
        pads = (0, 0, 0, 0, known(op.before), known(op.after))
        return lambda x, training: F.pad(x, pads)

    def _local_response_norm(
        self, node: Node, op: ops.LocalResponseNorm, values: Sequence[Array]
    ) -> Apply:
        before = op.size // 2
        pads = (0, 0, 0, 0, before, op.size - 1 - before)

        def apply(x: Tensor, training: bool) -> Tensor:
            squares = F.pad(x * x, pads)
            total = _sum(
                squares[:, : x.shape[1]],
                [squares[:, i : i + x.shape[1]] for i in range(1, op.size)],
            )
            return x * (op.k + op.alpha * total) ** -op.beta

        return apply

    def _padding(
        self, node: Node, reach: ops.Pair, stride: ops.Pair, padding: ops.Padding
    ) -> tuple[tuple[int, int, int, int] | None, ops.Pair]:
        """Return what to pad beforehand, in PyTorch's order, and what the op pads by itself."""
        top, bottom, left, right = used_padding(self._before[0], node.shape, reach, stride, padding)
        if bottom <= top and right <= left and (top, left) == (padding[1], padding[3]):
            return None, (top, left)
        return (left, right, top, bottom), (0, 0)


def _sum(first: Tensor, others: Sequence[Tensor]) -> Tensor:
    for other in others:
        first = first + other
    return first


def _to_keras(tensor: Tensor, shape: tuple[int, ...]) -> Array:
    """Copy a weight out, in Keras's order and `shape`."""
    value = tensor.detach().cpu()
    if value.dim() == 4:
        value = value.permute(2, 3, 1, 0)
    elif value.dim() == 2:
        value = value.t()
    copy: Array = np.array(value.numpy()).reshape(shape)
    return copy
