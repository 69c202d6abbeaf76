"""What an op is: its output's shape, its weights, what a budget counts of it."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import ClassVar, Final, NamedTuple, TypeAlias

from archsearch.errors import GraphError
from archsearch.ir.channels import Width, known

Shape: TypeAlias = tuple[Width, ...]
Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = tuple[int, int, int, int]

NO_PADDING: Padding = (0, 0, 0, 0)


class He(NamedTuple):
    """Normal numbers of variance 2 / `inputs`, the terms a unit sums (He et al. 2015, arXiv:1502.01852)."""

    inputs: int


Start: TypeAlias = He | float
"""What a weight starts from: drawn numbers, or one constant everywhere."""


class Weight(NamedTuple):
    """An array that a layer holds.

    Attributes:
        shape: in Keras's order of axes; `(height, width, channels / groups, filters)` for a kernel.
        start: what it starts from.
        trained: whether an optimizer moves it, which makes its numbers parameters.
    """

    shape: tuple[int, ...]
    start: Start
    trained: bool = True


class Weights(tuple[Weight, ...]):
    """An op's weights, in the order in which Keras lists them."""

    @cached_property
    def params(self) -> int:
        """How many numbers are trained."""
        return sum(prod(weight.shape) for weight in self if weight.trained)


class Product(NamedTuple):
    """`a·b·times / divisor` multiply-adds; `a` and `b` may be widths that are not known yet."""

    a: Width
    b: Width
    times: int
    divisor: int

    def flops(self) -> int:
        """Return the multiply-adds; the widths are known."""
        a, b, times, divisor = self
        return times * known(a) * known(b) // divisor


class Sight(NamedTuple):
    """What a position of an output sees of the input, (vertical, horizontal).

    Attributes:
        window: rows and columns.
        step: from one position's window to the next one's, in the input's pixels.
    """

    window: Pair = (1, 1)
    step: tuple[int | Fraction, int | Fraction] = (1, 1)


class Kept(NamedTuple):
    """What a layer keeps of the forward pass until its gradient has been taken.

    Attributes:
        inputs: whether its inputs.
        output: whether its output.
        beside: numbers of 32 bits for each number of the output: masks, places of maxima.
    """

    inputs: bool = True
    output: bool = True
    beside: float = 0.0


NOTHING: Final = Kept(inputs=False, output=False)
INPUTS: Final = Kept(output=False)
OUTPUT: Final = Kept(inputs=False)


@dataclass(frozen=True, slots=True)
class Op:
    """An operation; its fields are all that is needed to run it, weights aside.

    What is read of a network (costs, tables, memory, the weights a training starts from) asks the op, so that
    an op is said once.

    Attributes:
        kind: its name in stored networks, tables and lowerings.
        arity: how many inputs it takes, None for any number above one.
        elementwise: whether it keeps a map's shape and mixes no channels.
        normalizes: whether it keeps activations in bounds by statistics of its own.
        view: whether its output is its input's memory.
        keeps: what a training step keeps for its gradient: all, unless the op says otherwise.
    """

    kind: ClassVar[str]
    arity: ClassVar[int | None] = 1
    elementwise: ClassVar[bool] = False
    normalizes: ClassVar[bool] = False
    view: ClassVar[bool] = False
    keeps: ClassVar[Kept] = Kept()

    def infer(self, *inputs: Shape) -> Shape:
        """Return the output's shape, or raise GraphError where the inputs do not fit."""
        raise NotImplementedError

    def weights(self, inputs: tuple[Shape, ...]) -> Weights:
        """Return its weights; all widths are known."""
        raise NotImplementedError

    def product(self, inputs: tuple[Shape, ...], output: Shape) -> Product | None:
        """Return the multiply-adds a budget counts, of widths known or not; None where it counts none."""
        raise NotImplementedError

    def sees(self, inputs: tuple[Shape, ...]) -> Sight:
        """Return what a position sees of a map: itself alone, unless the op says otherwise."""
        return Sight()

    def kept(self) -> Kept:
        """Return what a training step keeps for the gradient of this one."""
        return self.keeps

    def dropping(self, share: float) -> "Op":
        """Return it with that share of what it drops by chance in training; others stay as they are."""
        return self

    def table_flops(self, inputs: tuple[Shape, ...], output: Shape) -> int:
        """Return the FLOPs that a layer's row shows and no total has: a pool's."""
        return 0


_NONE: Final = Weights()


@dataclass(frozen=True, slots=True)
class Free(Op):
    """An op without weights, of which no budget counts anything."""

    def weights(self, inputs: tuple[Shape, ...]) -> Weights:
        return _NONE

    def product(self, inputs: tuple[Shape, ...], output: Shape) -> Product | None:
        return None


def elements_of(shape: Shape) -> int:
    """Return the numbers in one output of this shape."""
    return known(prod(shape))


def feature_map(inputs: tuple[Shape, ...]) -> tuple[int, int, Width]:
    """Return the one input's height, width and channels, or raise GraphError if it is no map."""
    (shape,) = inputs
    if len(shape) != 3:
        raise GraphError(f"wants a feature map (height, width, channels), got {shape}")
    return shape  # type: ignore[return-value]  # height and width are always integers


def window(size: Pair, reach: Pair, stride: Pair, padding: Padding) -> Pair:
    """Output side = floor((W − K + P) / S) + 1, on both axes."""
    high = size[0] + padding[0] + padding[1] - reach[0]
    wide = size[1] + padding[2] + padding[3] - reach[1]
    if high < 0 or wide < 0:
        raise GraphError(
            f"a {reach[0]}×{reach[1]} window does not fit a {size[0]}×{size[1]} map "
            f"(padding {padding}); give a larger image or pool less"
        )
    return (high // stride[0] + 1, wide // stride[1] + 1)


def same(inputs: tuple[Shape, ...], what: str) -> Shape:
    """Return the shape all inputs have, or raise GraphError."""
    first = inputs[0]
    for shape in inputs[1:]:
        if shape != first:
            raise GraphError(f"{what} wants equal shapes, got {listed(inputs)}")
    return first


def listed(shapes: tuple[Shape, ...]) -> str:
    """Write shapes into an error."""
    return " and ".join(map(str, shapes))


__all__ = [
    "NO_PADDING",
    "Free",
    "He",
    "Kept",
    "Op",
    "Padding",
    "Pair",
    "Product",
    "Shape",
    "Sight",
    "Start",
    "Weight",
    "Weights",
    "elements_of",
]
