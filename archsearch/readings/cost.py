"""Exact costs of a network: FLOPs (multiply-adds), trainable parameters, activation memory.

Conventions (the lecture's, and the papers' tables'): one multiply and one add are one FLOP; a budget counts
convolution and dense layers; a pool's own FLOPs stand on its row of a table and in no total.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from archsearch.errors import GraphError
from archsearch.ir import ops
from archsearch.ir.channels import Width
from archsearch.ir.graph import Graph
from archsearch.ir.ops import Op, Shape
from archsearch.units import training_flops

BYTES_PER_ELEMENT = 4  # 32-bit floats


class Product(NamedTuple):
    """`a·b·times / divisor` multiply-adds; `a` and `b` may be widths that are not known yet."""

    a: Width
    b: Width
    times: int
    divisor: int

    def flops(self) -> int:
        """Return the multiply-adds; the widths are known."""
        return self.times * known(self.a) * known(self.b) // self.divisor


@dataclass(frozen=True, slots=True)
class Cost:
    """What one image costs in a forward pass.

    Attributes:
        flops: multiply-adds of convolution and dense layers.
        params: trainable parameters.
        activation_bytes: the outputs of all layers, as 32-bit floats.
    """

    flops: int
    params: int
    activation_bytes: int

    def training_flops(self, images: int) -> int:
        """Return the FLOPs of training on `images` images."""
        return training_flops(self.flops, images)


def cost(graph: Graph) -> Cost:
    """Return the network's cost in use; auxiliary classifiers, present in training only, are left out."""
    flops = params = elements = 0
    nodes = graph.nodes
    skip = training_only(graph) if graph.auxiliary else frozenset()
    for index, (_, op, inputs, shape) in enumerate(nodes):
        if index in skip or not inputs:
            continue
        kind = op.kind
        elements += elements_of(shape)
        if kind in _PARAMS:
            before = nodes[inputs[0]].shape
            params += _PARAMS[kind](op, before)
            if kind in _PRODUCTS:
                flops += _PRODUCTS[kind](op, before, shape).flops()
        elif kind not in _FREE:
            raise GraphError(f"the cost of {kind!r} layers is not known")
    return Cost(flops, params, elements * BYTES_PER_ELEMENT)


def node_flops(op: Op, inputs: tuple[Shape, ...], output: Shape) -> int:
    """Return the FLOPs a layer table shows for this layer: pools included.

    Raises:
        GraphError: the op's cost is not known.
    """
    product = flops_product(op, inputs, output)
    if product is not None:
        return product.flops()
    if isinstance(op, ops.Pool):
        return elements_of(output) * op.kernel[0] * op.kernel[1]
    if isinstance(op, ops.GlobalPool):
        return elements_of(inputs[0])
    return 0


def known(width: Width) -> int:
    """Return a width that must be a number, as every width in a Graph is."""
    if not isinstance(width, int):
        raise GraphError(f"the width {width} is not known")
    return width


def elements_of(shape: Shape) -> int:
    """Return the numbers in one output of this shape."""
    return known(prod(shape))


def flops_product(op: Op, inputs: tuple[Shape, ...], output: Shape) -> Product | None:
    """Return the layer's multiply-adds as a product of two widths; None for layers no budget counts.

    Raises:
        GraphError: the op's cost is not known.
    """
    if op.kind in _PRODUCTS:
        return _PRODUCTS[op.kind](op, inputs[0], output)
    if op.kind in _FREE or op.kind in _PARAMS:
        return None
    raise GraphError(f"the cost of {op.kind!r} layers is not known")


def node_params(op: Op, inputs: tuple[Shape, ...]) -> int:
    """Return the layer's trainable parameters.

    Raises:
        GraphError: the op's cost is not known.
    """
    if op.kind in _PARAMS:
        return _PARAMS[op.kind](op, inputs[0])
    if op.kind in _FREE:
        return 0
    raise GraphError(f"the cost of {op.kind!r} layers is not known")


def training_only(graph: Graph) -> frozenset[int]:
    """Return the indices of nodes that serve auxiliary classifiers alone."""
    used = {len(graph.nodes) - 1}
    for index in range(len(graph.nodes) - 1, -1, -1):
        if index in used:
            used.update(graph.nodes[index].inputs)
    return frozenset(range(len(graph.nodes))) - used


def _conv_product(op: ops.Conv, before: Shape, after: Shape) -> Product:
    area = after[0] * after[1] * op.kernel[0] * op.kernel[1]  # type: ignore[operator]
    if op.groups == before[2]:  # depthwise, also while the width is unknown
        return Product(1, after[2], area, 1)  # type: ignore[arg-type]
    return Product(before[2], after[2], area, op.groups)  # type: ignore[arg-type]


def _dense_product(op: ops.Dense, before: Shape, after: Shape) -> Product:
    return Product(before[0], after[0], 1, 1)


def _conv_params(op: ops.Conv, before: Any) -> int:
    per_filter = op.kernel[0] * op.kernel[1] * before[2] // op.groups + op.bias
    return int(op.filters * per_filter)


def _dense_params(op: ops.Dense, before: Any) -> int:
    return int(op.units * (before[0] + op.bias))


def _batch_norm_params(op: ops.BatchNorm | ops.LayerNorm, before: Any) -> int:
    return int(before[-1] * (op.scale + op.center))


def _layer_scale_params(op: ops.LayerScale, before: Any) -> int:
    return int(before[-1])


_PRODUCTS: Mapping[str, Callable[[Any, Shape, Shape], Product]] = {
    "conv": _conv_product,
    "dense": _dense_product,
}
_PARAMS: Mapping[str, Callable[[Any, Shape], int]] = {
    "conv": _conv_params,
    "dense": _dense_params,
    "batch_norm": _batch_norm_params,
    "layer_norm": _batch_norm_params,  # a scale and a centre for each channel too
    "layer_scale": _layer_scale_params,
}
# Neither weights nor FLOPs that a budget counts: each said by name, so that no new op is forgotten.
_FREE = frozenset(
    {
        "input", "pool", "global_pool", "flatten", "local_response_norm", "activation",
        "dropout", "drop_path", "add", "mean", "multiply", "concat", "pad_channels", "pad",
        "crop", "reshape", "rescale", "resize",
    }
)  # fmt: skip
