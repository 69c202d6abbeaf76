"""DenseNet's rules: concatenate what every layer adds, through 1×1 bottlenecks and compressing transitions.

Huang et al. 2016, arXiv 1608.06993 (DenseNet-BC: section 3); the lecture's DenseNet part.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from archsearch.ir import ops
from archsearch.ir.tracer import Tensor
from archsearch.rules.patterns import View, and_more
from archsearch.rules.rewrite import Edit, Pen
from archsearch.rules.rule import Breach, Rule, Source

_BOTTLENECK = 4  # the 1×1 puts out 4k channels
_COMPRESSION = 2  # a transition halves the channels
_MOST_KEPT = 0.9
"""The share of the channels from which on a transition hands on all of them."""


def channels_after(layers: int, start: int, growth: int) -> int:
    """Return the channels after a dense block: k₀ + k·l.

    >>> channels_after(6, 64, 32)
    256
    """
    return start + growth * layers


class _Layer(NamedTuple):
    """A dense layer: the map it starts from, its convolutions, its concatenation."""

    entry: int
    convs: tuple[int, ...]
    concat: int


def _layers(view: View) -> list[_Layer]:
    found = []
    for index, node in enumerate(view.nodes):
        if node.op.kind != "concat" or len(node.inputs) != 2 or len(node.shape) != 3:
            continue
        for entry, end in (node.inputs, node.inputs[::-1]):
            way = view.between(entry, end)
            convs = tuple(i for i in way or () if view.is_conv(i))
            if way and convs and all(len(view.nodes[i].inputs) == 1 for i in way):
                found.append(_Layer(entry, convs, index))
                break
    return found


def _look(view: View) -> Iterator[Breach]:
    layers = _layers(view)
    if len(layers) < 3:
        return
    yield from _without_bottleneck(view, layers)
    yield from _without_compression(view, layers)


def _without_bottleneck(view: View, layers: list[_Layer]) -> Iterator[Breach]:
    wide: dict[tuple[object, ...], list[int]] = {}
    for layer in layers:
        conv = layer.convs[0]
        if len(layer.convs) > 1 or not view.is_spatial(conv) or not view.is_full(conv):
            continue
        inside, growth = view.channels_in(conv), view.filters(conv)
        size = view.conv(conv).kernel[0] * view.conv(conv).kernel[1]
        narrow = _BOTTLENECK * growth
        if inside * narrow + size * narrow * growth < size * inside * growth:
            wide.setdefault(view.nodes[conv].shape[:2], []).append(conv)
    for convs in wide.values():
        growth = view.filters(convs[0])
        narrow = _BOTTLENECK * growth
        yield Breach(
            convs[0],
            f"{growth} filters of 3×3 on up to {max(map(view.channels_in, convs))} "
            f"channels{and_more(len(convs))}",
            f"a 1×1 to 4k = {narrow} channels before each does it",
            {
                i: Edit(view.nodes[i].inputs, partial(_narrowed, op=view.conv(i), filters=narrow))
                for i in convs
            },
        )


def _narrowed(net: Pen, x: Tensor, *, op: ops.Conv, filters: int) -> Tensor:
    x = net.relu(net.batch_norm(net.conv(x, filters, kernel=1)))
    return net.write(op, x)


def _without_compression(view: View, layers: list[_Layer]) -> Iterator[Breach]:
    entries = {layer.entry for layer in layers}
    within = {i for layer in layers for i in layer.convs}
    concats = {layer.concat for layer in layers}
    for index in view.convs:
        if index in within or view.is_spatial(index):
            continue
        before = view.nodes[index].inputs[0]
        before = view.back(before, frozenset({"batch_norm", "activation", "dropout"}))
        if before not in concats or before in entries:
            continue
        channels, filters = view.channels(before), view.filters(index)
        if filters <= _MOST_KEPT * channels:
            continue
        yield Breach(
            index,
            f"a transition that keeps {filters} of {channels} channels",
            f"compression to {channels // _COMPRESSION} hands on what is needed",
            changed={index: replace(view.conv(index), filters=channels // _COMPRESSION)},
        )


RULES = (
    Rule(
        name="dense-concatenation",
        statement="Concatenate k new channels a layer; narrow to 4k by a 1×1 before each 3×3, and "
        "halve the channels in each transition.",
        source=Source("DenseNet", "Huang et al. 2016, arXiv 1608.06993", "section 3"),
        look=_look,
        equation=channels_after,
        formula="k₀ + k·l channels after l layers",
        tolerance=f"any 1×1; a transition may keep {_MOST_KEPT:.0%} of the channels",
    ),
)
