"""What of a network its training time follows from besides FLOPs, and how long it trains beside others.

With equal FLOPs that is one to six times as long. A linear model of the logarithm of the seconds, whose
coefficients were fitted to trainings of nine spaces on a processor (benchmarks/RESULTS.md). Its level is
never used: how fast a machine is has to be measured.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields, replace
from math import log2, prod
from typing import Final

from archsearch.ir.channels import known
from archsearch.ir.graph import Graph
from archsearch.readings.cost import node_params

_THIN = 8
"""Channels in a group up to which a convolution multiplies far slower than one without groups."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Logarithms to the base 2, and shares.

    Attributes:
        flops: of an image.
        elements: outputs of all ops, of an image: what goes through memory.
        ops: how many there are: each is begun by itself.
        params: what the optimizer moves at every step.
        thin: the share of the FLOPs in convolutions whose groups have few channels, as depthwise ones have.
    """

    flops: float
    elements: float
    ops: float
    params: float
    thin: float

    def figures(self) -> tuple[float, ...]:
        """Return them in order."""
        return astuple(self)


COEFFICIENTS: Final = Workload(flops=0.34, elements=0.23, ops=0.12, params=0.03, thin=0.15)
"""What the logarithm of the seconds rises by with each figure."""


def coefficients_of(learnt: Mapping[str, float]) -> Workload:
    """Return coefficients by their names; a figure that nothing was learnt of has that of a processor."""
    names = {field.name for field in fields(Workload)} & learnt.keys()
    return replace(COEFFICIENTS, **{name: learnt[name] for name in names})


def log_effort(load: Workload, coefficients: Workload = COEFFICIENTS) -> float:
    """Return the logarithm of what such a training takes, in seconds of a machine that nobody has."""
    pairs = zip(load.figures(), coefficients.figures(), strict=True)
    return sum(figure * coefficient for figure, coefficient in pairs)


def workload(graph: Graph) -> Workload:
    """Return a network's workload in training: auxiliary classifiers count."""
    elements = params = ops = flops = thin = 0
    for node in graph.nodes:
        if not node.inputs:
            continue
        shapes = tuple(graph.nodes[i].shape for i in node.inputs)
        ops += 1
        if not node.op.view:
            elements += known(prod(node.shape))
        params += node_params(node.op, shapes)
        product = node.op.product(shapes, node.shape)
        if product is None:
            continue
        flops += product.flops()
        if len(node.shape) == 3:
            *_, inside, _ = node.op.weights(shapes)[0].shape
            groups = known(shapes[0][-1]) // max(1, inside)
            thin += product.flops() * (groups > 1 and inside <= _THIN)
    return Workload(
        flops=log2(max(1, flops)),
        elements=log2(max(1, elements)),
        ops=log2(max(1, ops)),
        params=log2(max(1, params)),
        thin=thin / max(1, flops),
    )
