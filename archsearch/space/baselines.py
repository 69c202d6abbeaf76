"""Classic networks as published: exact definitions to profile, train and compare with."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tensor, Tracer

BaselineBuilder = Callable[[Tracer, int], Tensor]
"""Writes the network on a tracer for so many classes; returns the class scores."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A published network.

    Attributes:
        name: torchvision's or timm's name where they have one.
        title: one line for the table of baselines.
        source: the paper or library that defines it.
        input: the image it was published for, (height, width, channels).
        classes: the classes it was published for.
        write: its builder.
        smallest: the smallest side, in pixels, it makes sense of.
    """

    name: str
    title: str
    source: str
    input: tuple[int, int, int]
    classes: int
    write: BaselineBuilder
    smallest: int = 32

    def build(
        self,
        input: tuple[int, int, int] | None = None,
        classes: int | None = None,
        *,
        resize: bool = False,
    ) -> Graph:
        """Return the network, for its own image size and classes or for yours.

        Args:
            input: (height, width, channels).
            classes: number of classes.
            resize: scale images that are too small up to the smallest valid size, in the network.

        Raises:
            GraphError: the image is too small for it.
        """
        net = Tracer(self.name, input or self.input)
        height, width, _ = input or self.input
        side = min(height, width)
        if resize and side < self.smallest:
            size = (ceil(height * self.smallest / side), ceil(width * self.smallest / side))
            net.input = net.resize(net.input, size, name="resize")
        return net.finish(self.write(net, classes or self.classes))
