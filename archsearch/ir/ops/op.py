"""What an op is, and what ops check of their inputs' shapes."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from archsearch.errors import GraphError
from archsearch.ir.channels import Width

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
