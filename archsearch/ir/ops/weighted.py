"""Layers with weights: convolution, dense, normalisations, layer scale."""

from dataclasses import dataclass
from typing import ClassVar

from archsearch.errors import GraphError
from archsearch.ir.channels import Channels, Width
from archsearch.ir.ops.op import NO_PADDING, Op, Padding, Pair, Shape, feature_map, window


@dataclass(frozen=True, slots=True)
class Conv(Op):
    """A 2-D convolution; `groups == input channels` makes it depthwise."""

    filters: Width
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING
    groups: Width = 1
    bias: bool = False
    dilation: Pair = (1, 1)
    kind: ClassVar[str] = "conv"

    def infer(self, *inputs: Shape) -> Shape:
        height, width, channels = feature_map(inputs)
        filters, groups = self.filters, self.groups
        if groups != 1 and not isinstance(channels, Channels) and not isinstance(filters, Channels):
            if not isinstance(groups, int) or groups < 1:
                raise GraphError(f"groups must be at least 1, got {groups}")
            for count, what in ((channels, "channels"), (filters, "filters")):
                if count % groups:
                    nearest = max(groups, round(count / groups) * groups)
                    raise GraphError(
                        f"{count} {what} not divisible by {groups} groups; try {nearest}"
                    )
        if isinstance(filters, int) and filters < 1:
            raise GraphError(f"filters must be at least 1, got {filters}")
        reach_h = self.dilation[0] * (self.kernel[0] - 1) + 1
        reach_w = self.dilation[1] * (self.kernel[1] - 1) + 1
        return (*window((height, width), (reach_h, reach_w), self.stride, self.padding), filters)


@dataclass(frozen=True, slots=True)
class Dense(Op):
    """A fully connected layer on a vector."""

    units: Width
    bias: bool = True
    kind: ClassVar[str] = "dense"

    def infer(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        if len(shape) != 1:
            raise GraphError(f"a dense layer takes a vector, got {shape}; flatten or pool it first")
        if isinstance(self.units, int) and self.units < 1:
            raise GraphError(f"units must be at least 1, got {self.units}")
        return (self.units,)


@dataclass(frozen=True, slots=True)
class BatchNorm(Op):
    """Batch normalisation over the channels (Ioffe & Szegedy 2015)."""

    scale: bool = True
    center: bool = True
    epsilon: float = 1e-5
    kind: ClassVar[str] = "batch_norm"

    def infer(self, *inputs: Shape) -> Shape:
        return inputs[0]


@dataclass(frozen=True, slots=True)
class LayerNorm(Op):
    """Normalisation over the channels of each position (Ba et al. 2016; ConvNeXt's form)."""

    scale: bool = True
    center: bool = True
    epsilon: float = 1e-6
    kind: ClassVar[str] = "layer_norm"

    def infer(self, *inputs: Shape) -> Shape:
        return inputs[0]


@dataclass(frozen=True, slots=True)
class LayerScale(Op):
    """A trained factor for each channel of a map, `initial` at first (Touvron et al. 2021)."""

    initial: float = 1e-6
    kind: ClassVar[str] = "layer_scale"

    def infer(self, *inputs: Shape) -> Shape:
        feature_map(inputs)
        return inputs[0]
