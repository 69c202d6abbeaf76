"""The lecture's cost profile: memory sits in early layers, parameters in late ones, FLOPs in convolutions.

The lesson of the lecture's AlexNet table (Krizhevsky, Sutskever & Hinton 2012), true of every network after.
"""

from collections.abc import Iterator
from typing import NamedTuple

from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tensor
from archsearch.readings.cost import elements_of, node_params, training_only
from archsearch.rules.patterns import View, counted_flops
from archsearch.rules.rewrite import Edit, Pen
from archsearch.rules.rule import Breach, Rule, Source


class Shares(NamedTuple):
    """Where a network's cost sits, in shares of the whole.

    Attributes:
        early_memory: of activation memory, in the first half of the weighted layers.
        late_params: of parameters, in the second half.
        conv_flops: of FLOPs, in convolutions.
    """

    early_memory: float
    late_params: float
    conv_flops: float


def shares(graph: Graph) -> Shares:
    """Return the three shares that the lecture's lesson is about."""
    skip = training_only(graph)
    nodes = [n for i, n in enumerate(graph.nodes) if n.inputs and i not in skip]
    weighted = [i for i, n in enumerate(nodes) if n.op.kind in {"conv", "dense"}]
    half = weighted[len(weighted) // 2] if weighted else len(nodes)
    memory = [elements_of(n.shape) for n in nodes]
    params = [node_params(n.op, graph.input_shapes(n)) for n in nodes]
    flops = [counted_flops(n.op, graph.input_shapes(n), n.shape) for n in nodes]
    in_convs = sum(f for f, n in zip(flops, nodes, strict=True) if n.op.kind == "conv")
    return Shares(
        sum(memory[:half]) / max(1, sum(memory)),
        sum(params[half:]) / max(1, sum(params)),
        in_convs / max(1, sum(flops)),
    )


def _look(view: View) -> Iterator[Breach]:
    found = shares(view.graph)
    maps = [i for i in view.spine if view.is_conv(i)]
    if found.conv_flops < 0.5 and maps:
        first = next(i for i, n in enumerate(view.nodes) if n.op.kind == "dense")
        end = len(view.nodes) - 1
        last_map = max(i for i in view.spine if len(view.nodes[i].shape) == 3)
        yield Breach(
            first,
            f"dense layers take {100 * (1 - found.conv_flops):.0f} % of all FLOPs",
            "with pooling in place of them convolutions do the work,",
            {end: Edit((last_map,), _Pooled(view.graph.classes))},
        )
    if found.early_memory >= 0.5 or len(view.convs) < 4:
        return
    third = view.convs[len(view.convs) // 3]
    place = next((i for i in view.spine if i >= third and _can_pool(view, i)), None)
    if place is not None:
        yield Breach(
            place,
            f"only {100 * found.early_memory:.0f} % of activation memory is in the first half: the map "
            "stays large",
            "a 2×2 pool here moves it forward,",
            {place: Edit((*view.nodes[place].inputs,), _ThenPooled(view, place))},
        )


def _can_pool(view: View, index: int) -> bool:
    """Say whether a pool fits behind a node: it gives a map that is not small yet."""
    shape = view.nodes[index].shape
    return len(shape) == 3 and min(elements_of(shape[:1]), elements_of(shape[1:2])) >= 8


class _Pooled:
    """A global pool and one dense layer."""

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def __call__(self, net: Pen, x: Tensor) -> Tensor:
        return net.dense(net.global_avg_pool(x), self.classes)


class _ThenPooled:
    """A node's own op and a 2×2 pool."""

    def __init__(self, view: View, index: int) -> None:
        self.op = view.nodes[index].op

    def __call__(self, net: Pen, *xs: Tensor) -> Tensor:
        return net.max_pool(net.write(self.op, *xs), kernel=2)


RULES = (
    Rule(
        name="cost-profile",
        statement="Most activation memory sits in early layers, most parameters in late ones, most "
        "FLOPs in convolutions.",
        source=Source("AlexNet", "Krizhevsky, Sutskever & Hinton 2012", "the lecture's table"),
        look=_look,
        equation=shares,
        formula="shares of memory (early), parameters (late), FLOPs (convolutions)",
    ),
)
