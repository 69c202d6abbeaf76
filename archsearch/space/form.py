"""A network's FLOPs as a quadratic in its widths, derived by running its builder with unknown widths.

With resolution and depth fixed, every convolution costs (a constant)·(input width)·(output width), so a
whole network is a quadratic form in its widths. Its builder is the only description: run with `Channels`
in place of integers it yields that form, and evaluating the form costs microseconds where tracing the
network costs milliseconds.
"""

from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Protocol

from archsearch.ir.channels import Channels, Quadratic, Width
from archsearch.ir.ops import Op, Shape
from archsearch.ir.tracer import Block, Tensor, Tracer


class Builder(Protocol):
    """Writes a network for given widths."""

    def __call__(self, net: Tracer, widths: dict[str, Width]) -> Tensor:
        """Add all layers and return the class scores."""


class FormTracer(Tracer):
    """Counts where a Tracer records: `flops` is the quadratic of all layers so far."""

    def __init__(self, shape: Shape) -> None:
        self.flops = Quadratic()
        # The input is a network's image or a block's map; its channels may be unknown.
        super().__init__("form", shape)  # type: ignore[arg-type]

    def block(
        self, name: str, build: Block, x: Tensor, *, survival: float = 1, **arguments: Hashable
    ) -> Tensor:
        """Count the block, from memory where one like it was counted before; dropping costs nothing."""
        shape, flops = _block_form(build, x.shape, tuple(arguments.items()))
        self.flops.add(flops)
        return Tensor(-1, shape)

    @contextmanager
    def training_only(self, name: str) -> Iterator[None]:
        """Count nothing of an auxiliary classifier."""
        flops, self.flops = self.flops, Quadratic()
        try:
            with super().training_only(name):
                yield
        finally:
            self.flops = flops

    def _record(self, name: str, op: Op, inputs: tuple[Tensor, ...], shape: Shape) -> Tensor:
        if inputs:
            product = op.product(tuple([x.shape for x in inputs]), shape)
            if product is not None:
                a, b, times, divisor = product
                self.flops.add(Quadratic.product(a, b, times / divisor))
        return Tensor(-1, shape)

    def _numbered(self, kind: str) -> str:
        return kind  # only errors tell a layer's name here


def derive_form(build: Builder, shape: tuple[int, int, int], names: Iterable[str]) -> Quadratic:
    """Return the FLOPs of the network `build` writes, as a quadratic in the widths `names`."""
    net = FormTracer(shape)
    build(net, {name: Channels.named(name) for name in names})
    return net.flops


@lru_cache(maxsize=8192)
def _block_form(
    build: Block, shape: Shape, arguments: tuple[tuple[str, Hashable], ...]
) -> tuple[Shape, Quadratic]:
    """Blocks recur across candidates: same function, same map, same named widths."""
    net = FormTracer((1, 1, 1))
    out = build(net, Tensor(-1, shape), **dict(arguments))
    return out.shape, net.flops
