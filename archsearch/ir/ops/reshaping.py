"""Layers without weights that change a shape: the image itself, pools, padding, cropping, resizing."""

from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import ClassVar, Literal

from archsearch.errors import GraphError
from archsearch.ir.channels import Width
from archsearch.ir.ops.op import (
    INPUTS,
    NO_PADDING,
    NOTHING,
    Free,
    Kept,
    Padding,
    Pair,
    Shape,
    Sight,
    elements_of,
    feature_map,
    window,
)


@dataclass(frozen=True, slots=True)
class Input(Free):
    """The image, `(height, width, channels)`."""

    shape: tuple[int, int, int]
    kind: ClassVar[str] = "input"
    arity: ClassVar[int | None] = 0
    keeps: ClassVar[Kept] = NOTHING

    def infer(self, *inputs: Shape) -> Shape:
        if inputs or min(self.shape) < 1 or len(self.shape) != 3:
            raise GraphError(
                f"an input is one image of (height, width, channels), got {self.shape}"
            )
        return self.shape


@dataclass(frozen=True, slots=True)
class Pool(Free):
    """Max or average pooling; an average leaves padding out of its mean unless `count_padding`."""

    method: Literal["max", "avg"]
    kernel: Pair
    stride: Pair
    padding: Padding = NO_PADDING
    count_padding: bool = False
    kind: ClassVar[str] = "pool"

    def infer(self, *inputs: Shape) -> Shape:
        height, width, channels = feature_map(inputs)
        return (*window((height, width), self.kernel, self.stride, self.padding), channels)

    def sees(self, inputs: tuple[Shape, ...]) -> Sight:
        return Sight(self.kernel, self.stride)

    def table_flops(self, inputs: tuple[Shape, ...], output: Shape) -> int:
        return elements_of(output) * self.kernel[0] * self.kernel[1]

    def kept(self) -> Kept:
        return Kept(output=False, beside=2) if self.method == "max" else INPUTS  # 64-bit places


@dataclass(frozen=True, slots=True)
class GlobalPool(Free):
    """Pooling over the whole map: `(height, width, c)` → `(c,)`, or `(1, 1, c)` with `keep_map`."""

    method: Literal["max", "avg"] = "avg"
    keep_map: bool = False
    kind: ClassVar[str] = "global_pool"

    def infer(self, *inputs: Shape) -> Shape:
        channels = feature_map(inputs)[2]
        return (1, 1, channels) if self.keep_map else (channels,)

    def sees(self, inputs: tuple[Shape, ...]) -> Sight:
        height, width, _ = feature_map(inputs)
        return Sight((height, width))

    def table_flops(self, inputs: tuple[Shape, ...], output: Shape) -> int:
        return elements_of(inputs[0])

    def kept(self) -> Kept:
        return NOTHING if self.method == "avg" else Kept()


@dataclass(frozen=True, slots=True)
class Flatten(Free):
    """A feature map as one vector, row by row."""

    kind: ClassVar[str] = "flatten"
    view: ClassVar[bool] = True
    keeps: ClassVar[Kept] = NOTHING

    def infer(self, *inputs: Shape) -> Shape:
        height, width, channels = feature_map(inputs)
        return (channels * (height * width),)


@dataclass(frozen=True, slots=True)
class PadChannels(Free):
    """Zero channels before and after: ResNet's parameter-free shortcut (option A)."""

    before: Width
    after: Width
    kind: ClassVar[str] = "pad_channels"
    keeps: ClassVar[Kept] = NOTHING

    def infer(self, *inputs: Shape) -> Shape:
        height, width, channels = feature_map(inputs)
        return (height, width, channels + self.before + self.after)


@dataclass(frozen=True, slots=True)
class Pad(Free):
    """Zeros around a map, `(top, bottom, left, right)`."""

    padding: Padding
    kind: ClassVar[str] = "pad"
    keeps: ClassVar[Kept] = NOTHING

    def infer(self, *inputs: Shape) -> Shape:
        height, width, channels = feature_map(inputs)
        top, bottom, left, right = self.padding
        return (height + top + bottom, width + left + right, channels)


@dataclass(frozen=True, slots=True)
class Crop(Free):
    """A map without its outermost rows and columns, `(top, bottom, left, right)`."""

    cropping: Padding
    kind: ClassVar[str] = "crop"
    keeps: ClassVar[Kept] = NOTHING

    def infer(self, *inputs: Shape) -> Shape:
        height, width, channels = feature_map(inputs)
        top, bottom, left, right = self.cropping
        high, wide = height - top - bottom, width - left - right
        if high < 1 or wide < 1:
            raise GraphError(f"cropping {self.cropping} leaves nothing of a {height}×{width} map")
        return (high, wide, channels)


@dataclass(frozen=True, slots=True)
class Reshape(Free):
    """The same numbers in another shape, row by row: a vector as a `(1, 1, c)` gate, say."""

    target: tuple[int, ...]
    kind: ClassVar[str] = "reshape"
    view: ClassVar[bool] = True
    keeps: ClassVar[Kept] = NOTHING

    def infer(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        if len(self.target) not in (1, 3) or prod(shape) != prod(self.target):
            raise GraphError(f"{shape} does not reshape to {self.target}")
        return self.target


@dataclass(frozen=True, slots=True)
class Resize(Free):
    """Scaling of a map to `size`, (height, width): small images for a network of large ones."""

    size: Pair
    method: Literal["bilinear", "nearest"] = "bilinear"
    kind: ClassVar[str] = "resize"
    keeps: ClassVar[Kept] = NOTHING

    def infer(self, *inputs: Shape) -> Shape:
        return (*self.size, feature_map(inputs)[2])

    def sees(self, inputs: tuple[Shape, ...]) -> Sight:
        # A scaled pixel lies between two neighbours and sees both, or the nearer one.
        height, width, _ = feature_map(inputs)
        window = (2, 2) if self.method == "bilinear" else (1, 1)
        return Sight(window, (Fraction(height, self.size[0]), Fraction(width, self.size[1])))


@dataclass(frozen=True, slots=True)
class Mirror(Free):
    """A map with left and right exchanged."""

    kind: ClassVar[str] = "mirror"
    keeps: ClassVar[Kept] = NOTHING

    def infer(self, *inputs: Shape) -> Shape:
        return feature_map(inputs)


@dataclass(frozen=True, slots=True)
class Permute(Free):
    """A map with its axes in another order; `axes` are height 1, width 2, channels 3."""

    axes: tuple[int, int, int]
    kind: ClassVar[str] = "permute"
    keeps: ClassVar[Kept] = NOTHING

    def infer(self, *inputs: Shape) -> Shape:
        shape = feature_map(inputs)
        if sorted(self.axes) != [1, 2, 3]:
            raise GraphError(f"the axes of a map are 1, 2 and 3, each once, got {self.axes}")
        return tuple(shape[axis - 1] for axis in self.axes)

    def sees(self, inputs: tuple[Shape, ...]) -> Sight:
        height, width, _ = feature_map(inputs)
        # Where channels have become positions, these see all that was there.
        return Sight() if self.axes[2] == 3 else Sight((height, width))


__all__ = [
    "Crop",
    "Flatten",
    "GlobalPool",
    "Input",
    "Mirror",
    "Pad",
    "PadChannels",
    "Permute",
    "Pool",
    "Reshape",
    "Resize",
]
