"""Layers without weights that keep a shape: nonlinearities, dropping, constants, response normalisation."""

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from archsearch.errors import GraphError
from archsearch.ir.ops.op import INPUTS, NOTHING, OUTPUT, Free, Kept, Shape, feature_map

_BY_OUTPUT: Final = ("exponential", "relu", "sigmoid", "softmax", "tanh")
"""Nonlinearities whose gradient follows from what they gave."""


@dataclass(frozen=True, slots=True)
class Activation(Free):
    """An element-wise nonlinearity, by its Keras name.

    `slope` is leaky_relu's below 0 (Keras: 0.2), or elu's at 0 from below, its α (Keras: 1).
    """

    function: str = "relu"
    slope: float | None = None
    kind: ClassVar[str] = "activation"
    elementwise: ClassVar[bool] = True

    def infer(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def kept(self) -> Kept:
        if self.function == "linear":
            return NOTHING
        return OUTPUT if self.slope is None and self.function in _BY_OUTPUT else INPUTS


@dataclass(frozen=True, slots=True)
class Dropout(Free):
    """Dropout in training, nothing at test time: of single elements, or of whole channels of a map.

    Neighbours in a channel tell the same, so that only whole ones can be missed (Tompson et al. 2015,
    arXiv:1411.4280, section 3.2).
    """

    rate: float
    channels: bool = False
    kind: ClassVar[str] = "dropout"
    elementwise: ClassVar[bool] = True

    def infer(self, *inputs: Shape) -> Shape:
        if not 0 <= self.rate < 1:
            raise GraphError(f"a dropout rate lies in [0, 1), got {self.rate}")
        if self.channels:
            feature_map(inputs)
        return inputs[0]

    def dropping(self, share: float) -> "Dropout":
        return replace(self, rate=self.rate * share)

    def kept(self) -> Kept:
        if not self.rate or self.channels:  # one number a channel
            return NOTHING
        return Kept(inputs=False, output=False, beside=1)


@dataclass(frozen=True, slots=True)
class DropPath(Free):
    """Stochastic depth: a sample's whole branch is dropped with probability 1 − `survival` in training.

    What survives is divided by `survival`, so that nothing changes at test time (Huang et al. 2016).
    """

    survival: float
    kind: ClassVar[str] = "drop_path"
    elementwise: ClassVar[bool] = True
    keeps: ClassVar[Kept] = NOTHING

    def infer(self, *inputs: Shape) -> Shape:
        if not 0 < self.survival <= 1:
            raise GraphError(f"a survival probability lies in (0, 1], got {self.survival}")
        return inputs[0]

    def dropping(self, share: float) -> "DropPath":
        return replace(self, survival=1 - (1 - self.survival) * share)


@dataclass(frozen=True, slots=True)
class Rescale(Free):
    """`x · scale + offset` with constants that are never trained: one number, or one a channel."""

    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0
    kind: ClassVar[str] = "rescale"
    elementwise: ClassVar[bool] = True
    keeps: ClassVar[Kept] = NOTHING

    def infer(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        for constants in (self.scale, self.offset):
            if isinstance(constants, tuple) and len(constants) != shape[-1]:
                raise GraphError(f"{len(constants)} constants for {shape[-1]} channels")
        return shape


@dataclass(frozen=True, slots=True)
class Log(Free):
    """The natural logarithm; what is below `least` counts as that: a probability of 0 has one, too."""

    least: float = 1e-7
    kind: ClassVar[str] = "log"
    elementwise: ClassVar[bool] = True
    keeps: ClassVar[Kept] = Kept(output=False, beside=1)

    def infer(self, *inputs: Shape) -> Shape:
        if not self.least > 0:
            raise GraphError(f"a logarithm is of numbers above 0, got a least one of {self.least}")
        return inputs[0]


@dataclass(frozen=True, slots=True)
class LocalResponseNorm(Free):
    """AlexNet's local response normalisation over `size` neighbouring channels (2012, section 3.3)."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0
    kind: ClassVar[str] = "local_response_norm"
    elementwise: ClassVar[bool] = True
    keeps: ClassVar[Kept] = Kept(output=False, beside=2)  # the sums, and their powers

    def infer(self, *inputs: Shape) -> Shape:
        feature_map(inputs)
        return inputs[0]


__all__ = ["Activation", "DropPath", "Dropout", "LocalResponseNorm", "Log", "Rescale"]
