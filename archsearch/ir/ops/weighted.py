"""Layers with weights: convolution, dense, normalisations, layer scale."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import ClassVar

from archsearch.errors import GraphError
from archsearch.ir.channels import Channels, Width, known
from archsearch.ir.ops.op import (
    INPUTS,
    NO_PADDING,
    He,
    Kept,
    Op,
    Padding,
    Pair,
    Product,
    Shape,
    Sight,
    Weight,
    Weights,
    feature_map,
    window,
)


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
    keeps: ClassVar[Kept] = INPUTS

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
        return (*window((height, width), self.reach, self.stride, self.padding), filters)

    @property
    def reach(self) -> Pair:
        """Rows and columns from one end of the window to the other."""
        (rows, columns), (down, right) = self.kernel, self.dilation
        return (down * (rows - 1) + 1, right * (columns - 1) + 1)

    def sees(self, inputs: tuple[Shape, ...]) -> Sight:
        return Sight(self.reach, self.stride)

    def weights(self, inputs: tuple[Shape, ...]) -> Weights:
        return _convolving(self.kernel, inputs[0][2], self.groups, self.filters, self.bias)

    def product(self, inputs: tuple[Shape, ...], output: Shape) -> Product | None:
        before, groups = inputs[0][2], self.groups
        (rows, columns), (height, width, filters) = self.kernel, output
        area = height * width * rows * columns  # type: ignore[operator]
        if groups == before:  # depthwise, also while the width is unknown
            return Product(1, filters, area, 1)  # type: ignore[arg-type]
        if isinstance(groups, Channels) and isinstance(before, Channels):
            # As many groups as the width asks for, each of one and the same known width.
            return Product(round(before.times(groups)), filters, area, 1)  # type: ignore[arg-type]
        return Product(before, filters, area, groups)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Dense(Op):
    """A fully connected layer on a vector."""

    units: Width
    bias: bool = True
    kind: ClassVar[str] = "dense"
    keeps: ClassVar[Kept] = INPUTS

    def infer(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        if len(shape) != 1:
            raise GraphError(f"a dense layer takes a vector, got {shape}; flatten or pool it first")
        if isinstance(self.units, int) and self.units < 1:
            raise GraphError(f"units must be at least 1, got {self.units}")
        return (self.units,)

    def weights(self, inputs: tuple[Shape, ...]) -> Weights:
        return _mixing(inputs[0][0], self.units, self.bias)

    def product(self, inputs: tuple[Shape, ...], output: Shape) -> Product | None:
        return Product(inputs[0][0], output[0], 1, 1)


@dataclass(frozen=True, slots=True)
class BatchNorm(Op):
    """Batch normalisation over the channels (Ioffe & Szegedy 2015)."""

    scale: bool = True
    center: bool = True
    epsilon: float = 1e-5
    kind: ClassVar[str] = "batch_norm"
    elementwise: ClassVar[bool] = True
    normalizes: ClassVar[bool] = True
    keeps: ClassVar[Kept] = INPUTS

    def infer(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def weights(self, inputs: tuple[Shape, ...]) -> Weights:
        return _affine_and_moving(inputs[0][-1], self.scale, self.center)

    def product(self, inputs: tuple[Shape, ...], output: Shape) -> Product | None:
        return None


@dataclass(frozen=True, slots=True)
class LayerNorm(Op):
    """Normalisation of each sample (Ba et al. 2016, arXiv:1607.06450).

    Over the channels of each position, as ConvNeXt has it; `whole` is over all numbers of a map, as the paper
    has it, each with a factor and an offset of its own.
    """

    scale: bool = True
    center: bool = True
    epsilon: float = 1e-6
    whole: bool = False
    kind: ClassVar[str] = "layer_norm"
    elementwise: ClassVar[bool] = True
    normalizes: ClassVar[bool] = True
    keeps: ClassVar[Kept] = INPUTS

    def infer(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def weights(self, inputs: tuple[Shape, ...]) -> Weights:
        if not self.whole:
            return _affine(inputs[0][-1], self.scale, self.center)
        shape = tuple(known(n) for n in inputs[0])
        starts = (1.0,) * self.scale + (0.0,) * self.center
        return Weights([Weight(shape, start) for start in starts])

    def product(self, inputs: tuple[Shape, ...], output: Shape) -> Product | None:
        return None


@dataclass(frozen=True, slots=True)
class GroupNorm(Op):
    """Normalisation of each sample over groups of channels (Wu & He 2018, arXiv:1803.08494)."""

    groups: int = 32
    scale: bool = True
    center: bool = True
    epsilon: float = 1e-5
    kind: ClassVar[str] = "group_norm"
    elementwise: ClassVar[bool] = True
    normalizes: ClassVar[bool] = True
    keeps: ClassVar[Kept] = INPUTS

    def infer(self, *inputs: Shape) -> Shape:
        channels = inputs[0][-1]
        if isinstance(channels, int) and (self.groups < 1 or channels % self.groups):
            raise GraphError(
                f"{channels} channels are not divisible by {self.groups} groups to normalise"
            )
        return inputs[0]

    def weights(self, inputs: tuple[Shape, ...]) -> Weights:
        return _affine(inputs[0][-1], self.scale, self.center)

    def product(self, inputs: tuple[Shape, ...], output: Shape) -> Product | None:
        return None


@dataclass(frozen=True, slots=True)
class PRelu(Op):
    """A ReLU whose slope below 0 is trained, one a channel or (`each`) one for every number of a map.

    He et al. 2015, arXiv:1502.01852, section 2.1, where it starts at 0.25.
    """

    each: bool = False
    initial: float = 0.25
    kind: ClassVar[str] = "prelu"
    elementwise: ClassVar[bool] = True
    keeps: ClassVar[Kept] = Kept(inputs=False, output=False, beside=2)  # x⁺ and (−x)⁺

    def infer(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def weights(self, inputs: tuple[Shape, ...]) -> Weights:
        shape = tuple(known(n) for n in inputs[0])
        shared = shape if self.each else (*(1 for _ in shape[:-1]), shape[-1])
        return Weights([Weight(shared, self.initial)])

    def product(self, inputs: tuple[Shape, ...], output: Shape) -> Product | None:
        return None


@dataclass(frozen=True, slots=True)
class LayerScale(Op):
    """A trained factor for each channel of a map, `initial` at first (Touvron et al. 2021)."""

    initial: float = 1e-6
    kind: ClassVar[str] = "layer_scale"
    elementwise: ClassVar[bool] = True
    keeps: ClassVar[Kept] = INPUTS

    def infer(self, *inputs: Shape) -> Shape:
        feature_map(inputs)
        return inputs[0]

    def weights(self, inputs: tuple[Shape, ...]) -> Weights:
        # As a depthwise 1×1 kernel: (1, 1, channels, 1).
        return Weights([Weight((1, 1, known(inputs[0][-1]), 1), self.initial)])

    def product(self, inputs: tuple[Shape, ...], output: Shape) -> Product | None:
        return None


# Values are shared: a search counts thousands of networks, whose layers repeat.


@lru_cache(maxsize=8192)
def _convolving(
    kernel: Pair, channels: Width, groups: Width, filters: Width, bias: bool
) -> Weights:
    shape = (*kernel, known(channels) // known(groups), known(filters))
    return Weights([Weight(shape, He(prod(shape[:-1]))), *_offsets(filters, bias)])


@lru_cache(maxsize=1024)
def _mixing(before: Width, units: Width, bias: bool) -> Weights:
    kernel = Weight((known(before), known(units)), He(known(before)))
    return Weights([kernel, *_offsets(units, bias)])


@lru_cache(maxsize=4096)
def _affine(channels: Width, scale: bool, center: bool) -> Weights:
    """Return what follows a normalization: a factor for each channel, an offset for each."""
    factors = [Weight((known(channels),), 1.0)] if scale else []
    return Weights([*factors, *_offsets(channels, center)])


@lru_cache(maxsize=4096)
def _affine_and_moving(channels: Width, scale: bool, center: bool) -> Weights:
    """Return the same, then the moving mean and variance of each channel."""
    mean = Weight((known(channels),), 0.0, trained=False)
    return Weights([*_affine(channels, scale, center), mean, mean._replace(start=1.0)])


def _offsets(channels: Width, wanted: bool) -> list[Weight]:
    return [Weight((known(channels),), 0.0)] if wanted else []


__all__ = ["BatchNorm", "Conv", "Dense", "GroupNorm", "LayerNorm", "LayerScale", "PRelu"]
