"""Layers of several inputs: sums, means, gates, concatenations."""

from dataclasses import dataclass, replace
from typing import ClassVar

from archsearch.errors import GraphError
from archsearch.ir.ops.op import INPUTS, NOTHING, Free, Kept, Shape, listed, same


@dataclass(frozen=True, slots=True)
class Add(Free):
    """The sum of maps of one shape: the shortcut's end."""

    kind: ClassVar[str] = "add"
    arity: ClassVar[int | None] = None
    keeps: ClassVar[Kept] = NOTHING

    def infer(self, *inputs: Shape) -> Shape:
        return same(inputs, "add")


@dataclass(frozen=True, slots=True)
class Mean(Free):
    """The element-wise mean of maps of one shape: FractalNet's join (Larsson et al. 2017).

    In training each input of a sample is left out with probability `drop`, never all of them, and the mean is
    of the others: local drop-path.
    """

    drop: float = 0.0
    kind: ClassVar[str] = "mean"
    arity: ClassVar[int | None] = None
    keeps: ClassVar[Kept] = NOTHING

    def infer(self, *inputs: Shape) -> Shape:
        if not 0 <= self.drop < 1:
            raise GraphError(f"a probability of dropping lies in [0, 1), got {self.drop}")
        return same(inputs, "mean")

    def dropping(self, share: float) -> "Mean":
        return replace(self, drop=self.drop * share)


@dataclass(frozen=True, slots=True)
class Multiply(Free):
    """A map times its gate; the gate may be `(1, 1, c)` (squeeze-and-excitation)."""

    kind: ClassVar[str] = "multiply"
    arity: ClassVar[int | None] = 2
    keeps: ClassVar[Kept] = INPUTS

    def infer(self, *inputs: Shape) -> Shape:
        first, gate = inputs
        if gate != first and gate != (1, 1, first[-1]):
            raise GraphError(f"a gate for {first} is {first} or (1, 1, {first[-1]}), got {gate}")
        return first


@dataclass(frozen=True, slots=True)
class Concat(Free):
    """Maps of one height and width, stacked along the channels."""

    kind: ClassVar[str] = "concat"
    arity: ClassVar[int | None] = None
    keeps: ClassVar[Kept] = NOTHING

    def infer(self, *inputs: Shape) -> Shape:
        if len({shape[:-1] for shape in inputs}) != 1:
            raise GraphError(f"concat wants one height and width, got {listed(inputs)}")
        total = inputs[0][-1]
        for shape in inputs[1:]:
            total = total + shape[-1]
        return (*inputs[0][:-1], total)


__all__ = ["Add", "Concat", "Mean", "Multiply"]
