"""All-CNN's rule (Springenberg et al. 2014, arXiv 1412.6806, section 3): no max pool where a stride does."""

from collections.abc import Iterator
from functools import partial

from archsearch.ir import ops
from archsearch.ir.tracer import Tensor
from archsearch.rules.patterns import View
from archsearch.rules.rewrite import Edit, Pen
from archsearch.rules.rule import Breach, Rule, Source


def look(view: View) -> Iterator[Breach]:
    for index, node in enumerate(view.nodes):
        if isinstance(node.op, ops.Pool) and node.op.method == "max" and node.op.stride == (2, 2):
            channels = view.channels(index)
            yield Breach(
                index,
                f"a max pool of stride 2 on {channels} channels",
                "a 3×3 convolution of stride 2 learns how to shrink the map",
                {index: Edit(node.inputs, partial(strided, filters=channels))},
            )


def strided(net: Pen, x: Tensor, *, filters: int) -> Tensor:
    return net.relu(net.batch_norm(net.conv(x, filters, kernel=3, stride=2)))


RULES = (
    Rule(
        name="strided-convolution",
        statement="Halve a map by a convolution of stride 2 in place of a max pool.",
        source=Source("All-CNN", "Springenberg et al. 2014, arXiv 1412.6806", "section 3"),
        look=look,
    ),
)
