"""The operations a network is made of: frozen values, each able to infer its output's shape.

To add an op: a dataclass here (with `kind` and `infer`), a line in `OPS`, its FLOPs and parameters in
`readings/cost.py`, its lowering in `runtime/model.py`. Everything else follows.

Shapes have no batch dimension: `(height, width, channels)` for a feature map, `(units,)` for a vector.
Padding is always explicit, `(top, bottom, left, right)`, as every framework means something else by "same".
"""

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal, TypeAlias

from archsearch.errors import GraphError
from archsearch.ir.channels import Channels, Width

Shape: TypeAlias = tuple[Width, ...]
Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = tuple[int, int, int, int]

NO_PADDING: Padding = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Op:
    """An operation; its fields are all that is needed to run it, weights aside.

    `arity` is how many inputs it takes, None for any number above one.
    """

    kind: ClassVar[str]
    arity: ClassVar[int | None] = 1

    def infer(self, *inputs: Shape) -> Shape:
        """Return the output's shape, or raise GraphError where the inputs do not fit."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Input(Op):
    """The image, `(height, width, channels)`."""

    shape: tuple[int, int, int]
    kind: ClassVar[str] = "input"
    arity: ClassVar[int | None] = 0

    def infer(self, *inputs: Shape) -> Shape:
        if inputs or min(self.shape) < 1 or len(self.shape) != 3:
            raise GraphError(
                f"an input is one image of (height, width, channels), got {self.shape}"
            )
        return self.shape


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
        height, width, channels = _feature_map(inputs)
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
        return (*_window((height, width), (reach_h, reach_w), self.stride, self.padding), filters)


@dataclass(frozen=True, slots=True)
class Pool(Op):
    """Max or average pooling; an average leaves padding out of its mean unless `count_padding`."""

    method: Literal["max", "avg"]
    kernel: Pair
    stride: Pair
    padding: Padding = NO_PADDING
    count_padding: bool = False
    kind: ClassVar[str] = "pool"

    def infer(self, *inputs: Shape) -> Shape:
        height, width, channels = _feature_map(inputs)
        return (*_window((height, width), self.kernel, self.stride, self.padding), channels)


@dataclass(frozen=True, slots=True)
class GlobalPool(Op):
    """Pooling over the whole map: `(height, width, c)` → `(c,)`, or `(1, 1, c)` with `keep_map`."""

    method: Literal["max", "avg"] = "avg"
    keep_map: bool = False
    kind: ClassVar[str] = "global_pool"

    def infer(self, *inputs: Shape) -> Shape:
        channels = _feature_map(inputs)[2]
        return (1, 1, channels) if self.keep_map else (channels,)


@dataclass(frozen=True, slots=True)
class Flatten(Op):
    """A feature map as one vector, row by row."""

    kind: ClassVar[str] = "flatten"

    def infer(self, *inputs: Shape) -> Shape:
        height, width, channels = _feature_map(inputs)
        return (channels * (height * width),)


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
        _feature_map(inputs)
        return inputs[0]


@dataclass(frozen=True, slots=True)
class LocalResponseNorm(Op):
    """AlexNet's local response normalisation over `size` neighbouring channels (2012, section 3.3)."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0
    kind: ClassVar[str] = "local_response_norm"

    def infer(self, *inputs: Shape) -> Shape:
        _feature_map(inputs)
        return inputs[0]


@dataclass(frozen=True, slots=True)
class Activation(Op):
    """An element-wise nonlinearity, by its Keras name; `slope` is leaky_relu's below 0 (Keras: 0.2)."""

    function: str = "relu"
    slope: float | None = None
    kind: ClassVar[str] = "activation"

    def infer(self, *inputs: Shape) -> Shape:
        return inputs[0]


@dataclass(frozen=True, slots=True)
class Dropout(Op):
    """Dropout of single elements in training; nothing at test time."""

    rate: float
    kind: ClassVar[str] = "dropout"

    def infer(self, *inputs: Shape) -> Shape:
        if not 0 <= self.rate < 1:
            raise GraphError(f"a dropout rate lies in [0, 1), got {self.rate}")
        return inputs[0]


@dataclass(frozen=True, slots=True)
class DropPath(Op):
    """Stochastic depth: a sample's whole branch is dropped with probability 1 − `survival` in training.

    What survives is divided by `survival`, so that nothing changes at test time (Huang et al. 2016).
    """

    survival: float
    kind: ClassVar[str] = "drop_path"

    def infer(self, *inputs: Shape) -> Shape:
        if not 0 < self.survival <= 1:
            raise GraphError(f"a survival probability lies in (0, 1], got {self.survival}")
        return inputs[0]


@dataclass(frozen=True, slots=True)
class Add(Op):
    """The sum of maps of one shape: the shortcut's end."""

    kind: ClassVar[str] = "add"
    arity: ClassVar[int | None] = None

    def infer(self, *inputs: Shape) -> Shape:
        return _same(inputs, "add")


@dataclass(frozen=True, slots=True)
class Mean(Op):
    """The element-wise mean of maps of one shape: FractalNet's join (Larsson et al. 2017).

    In training each input of a sample is left out with probability `drop`, never all of them, and the mean is
    of the others: local drop-path.
    """

    drop: float = 0.0
    kind: ClassVar[str] = "mean"
    arity: ClassVar[int | None] = None

    def infer(self, *inputs: Shape) -> Shape:
        if not 0 <= self.drop < 1:
            raise GraphError(f"a probability of dropping lies in [0, 1), got {self.drop}")
        return _same(inputs, "mean")


@dataclass(frozen=True, slots=True)
class Multiply(Op):
    """A map times its gate; the gate may be `(1, 1, c)` (squeeze-and-excitation)."""

    kind: ClassVar[str] = "multiply"
    arity: ClassVar[int | None] = 2

    def infer(self, *inputs: Shape) -> Shape:
        first, gate = inputs
        if gate != first and gate != (1, 1, first[-1]):
            raise GraphError(f"a gate for {first} is {first} or (1, 1, {first[-1]}), got {gate}")
        return first


@dataclass(frozen=True, slots=True)
class Concat(Op):
    """Maps of one height and width, stacked along the channels."""

    kind: ClassVar[str] = "concat"
    arity: ClassVar[int | None] = None

    def infer(self, *inputs: Shape) -> Shape:
        if len({shape[:-1] for shape in inputs}) != 1:
            raise GraphError(f"concat wants one height and width, got {_listed(inputs)}")
        total = inputs[0][-1]
        for shape in inputs[1:]:
            total = total + shape[-1]
        return (*inputs[0][:-1], total)


@dataclass(frozen=True, slots=True)
class PadChannels(Op):
    """Zero channels before and after: ResNet's parameter-free shortcut (option A)."""

    before: Width
    after: Width
    kind: ClassVar[str] = "pad_channels"

    def infer(self, *inputs: Shape) -> Shape:
        height, width, channels = _feature_map(inputs)
        return (height, width, channels + self.before + self.after)


@dataclass(frozen=True, slots=True)
class Pad(Op):
    """Zeros around a map, `(top, bottom, left, right)`."""

    padding: Padding
    kind: ClassVar[str] = "pad"

    def infer(self, *inputs: Shape) -> Shape:
        height, width, channels = _feature_map(inputs)
        top, bottom, left, right = self.padding
        return (height + top + bottom, width + left + right, channels)


@dataclass(frozen=True, slots=True)
class Crop(Op):
    """A map without its outermost rows and columns, `(top, bottom, left, right)`."""

    cropping: Padding
    kind: ClassVar[str] = "crop"

    def infer(self, *inputs: Shape) -> Shape:
        height, width, channels = _feature_map(inputs)
        top, bottom, left, right = self.cropping
        high, wide = height - top - bottom, width - left - right
        if high < 1 or wide < 1:
            raise GraphError(f"cropping {self.cropping} leaves nothing of a {height}×{width} map")
        return (high, wide, channels)


@dataclass(frozen=True, slots=True)
class Reshape(Op):
    """The same numbers in another shape, row by row: a vector as a `(1, 1, c)` gate, say."""

    target: tuple[int, ...]
    kind: ClassVar[str] = "reshape"

    def infer(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        if len(self.target) not in (1, 3) or prod(shape) != prod(self.target):
            raise GraphError(f"{shape} does not reshape to {self.target}")
        return self.target


@dataclass(frozen=True, slots=True)
class Rescale(Op):
    """`x · scale + offset` with constants that are never trained: one number, or one a channel."""

    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0
    kind: ClassVar[str] = "rescale"

    def infer(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        for constants in (self.scale, self.offset):
            if isinstance(constants, tuple) and len(constants) != shape[-1]:
                raise GraphError(f"{len(constants)} constants for {shape[-1]} channels")
        return shape


@dataclass(frozen=True, slots=True)
class Resize(Op):
    """Bilinear scaling of a map to `size`, (height, width): small images for a network of large ones."""

    size: Pair
    kind: ClassVar[str] = "resize"

    def infer(self, *inputs: Shape) -> Shape:
        return (*self.size, _feature_map(inputs)[2])


OPS: dict[str, type[Op]] = {
    op.kind: op
    for op in (
        Input, Conv, Pool, GlobalPool, Flatten, Dense, BatchNorm, LocalResponseNorm, Activation,
        Dropout, DropPath, Add, Mean, Multiply, Concat, PadChannels, LayerNorm, LayerScale, Pad, Crop,
        Reshape, Rescale, Resize,
    )
}  # fmt: skip


def _feature_map(inputs: tuple[Shape, ...]) -> tuple[int, int, Width]:
    (shape,) = inputs
    if len(shape) != 3:
        raise GraphError(f"wants a feature map (height, width, channels), got {shape}")
    return shape  # type: ignore[return-value]  # height and width are always integers


def _window(size: Pair, reach: Pair, stride: Pair, padding: Padding) -> Pair:
    """Output side = floor((W − K + P) / S) + 1, on both axes."""
    high = size[0] + padding[0] + padding[1] - reach[0]
    wide = size[1] + padding[2] + padding[3] - reach[1]
    if high < 0 or wide < 0:
        raise GraphError(
            f"a {reach[0]}×{reach[1]} window does not fit a {size[0]}×{size[1]} map "
            f"(padding {padding}); give a larger image or pool less"
        )
    return (high // stride[0] + 1, wide // stride[1] + 1)


def _same(inputs: tuple[Shape, ...], what: str) -> Shape:
    first = inputs[0]
    for shape in inputs[1:]:
        if shape != first:
            raise GraphError(f"{what} wants equal shapes, got {_listed(inputs)}")
    return first


def _listed(shapes: tuple[Shape, ...]) -> str:
    return " and ".join(map(str, shapes))
