"""MobileNet's rules: depthwise separable convolutions, and narrow ends without a nonlinearity.

Howard et al. 2017, arXiv 1704.04861; Sandler et al. 2018, arXiv 1801.04381; the lecture's MobileNet part.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from archsearch.ir import ops
from archsearch.ir.tracer import Tensor
from archsearch.readings.table import ELEMENTWISE
from archsearch.rules.patterns import View
from archsearch.rules.rewrite import Edit, Pen
from archsearch.rules.rule import Breach, Rule, Source


def separable_share(filters: int, kernel: int = 3) -> float:
    """Return a separable convolution's FLOPs over the full one's: 1/N + 1/K².

    >>> round(separable_share(512), 4)
    0.1131
    """
    return 1 / filters + 1 / kernel**2


def _full_among_separable(view: View) -> Iterator[Breach]:
    spatial = [i for i in view.convs if view.is_spatial(i)]
    depthwise = [i for i in spatial if view.is_depthwise(i)]
    if 2 * len(depthwise) <= len(spatial):
        return  # it is not built of separable convolutions
    for index in spatial:
        # What comes before the first depthwise convolution is the stem.
        op, inside = view.conv(index), view.channels_in(index)
        patches = op.kernel == op.stride  # windows that do not overlap: ConvNeXt's downsampling
        if index < depthwise[0] or not view.is_full(index) or patches:
            continue
        yield Breach(
            index,
            f"a full {op.kernel[0]}×{op.kernel[1]} ({inside}→{view.filters(index)} channels) "
            f"where {len(depthwise)} other layers are depthwise",
            "a depthwise convolution and a 1×1 do it",
            {
                index: Edit(
                    view.nodes[index].inputs,
                    partial(_separable, op=op, function=view.function(index), norm=view.has_norm),
                )
            },
        )


def _separable(net: Pen, x: Tensor, *, op: ops.Conv, function: str, norm: bool) -> Tensor:
    x = net.write(replace(op, filters=x.channels, groups=x.channels, bias=not norm), x)
    x = net.activation(net.batch_norm(x) if norm else x, function)
    return net.write(ops.Conv(op.filters, (1, 1), bias=op.bias), x)


def _active_ends(view: View) -> Iterator[Breach]:
    for index in view.convs:
        activation = view.unit(index)[1]
        if view.is_spatial(index) or activation is None or not _is_projection(view, index):
            continue
        op = view.nodes[activation].op
        assert isinstance(op, ops.Activation)
        yield Breach(
            index,
            f"{op.function} on the narrow end ({view.filters(index)} channels) of an inverted "
            "residual",
            "a linear end loses nothing",
            {activation: Edit(view.nodes[activation].inputs, _nothing)},
        )


def _is_projection(view: View, index: int) -> bool:
    """Say whether a 1×1 narrows what a depthwise convolution gives, which a 1×1 had widened."""
    depthwise = view.back(view.nodes[index].inputs[0], ELEMENTWISE | {"multiply"})
    if not view.is_conv(depthwise) or not view.is_depthwise(depthwise):
        return False
    expand = view.back(view.nodes[depthwise].inputs[0], ELEMENTWISE | {"pad"})
    return (
        view.is_conv(expand)
        and not view.is_spatial(expand)
        and view.filters(expand) >= 2 * view.channels_in(expand)
        and 2 * view.filters(index) <= view.channels_in(index)
    )


def _nothing(net: Pen, x: Tensor) -> Tensor:
    return x


RULES = (
    Rule(
        name="depthwise-separable",
        statement="Split a convolution into a depthwise one over space and a 1×1 over channels.",
        source=Source("MobileNet", "Howard et al. 2017, arXiv 1704.04861", "section 3.1"),
        look=_full_among_separable,
        equation=separable_share,
        formula="1/N + 1/K² of the full convolution's FLOPs",
    ),
    Rule(
        name="linear-bottleneck",
        statement="Leave out the nonlinearity at the narrow end of an inverted residual block: "
        "there it destroys information.",
        source=Source("MobileNetV2", "Sandler et al. 2018, arXiv 1801.04381", "section 3.2"),
        look=_active_ends,
    ),
)
