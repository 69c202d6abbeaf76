"""What several families share: stems, heads, the convolution unit, and when an image counts as large."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Pads, Tensor, Tracer

LARGE_SIDE: Final = 96
"""From this side on (pixels) a network starts with an aggressive stem; below, at full resolution."""


STEM_LEEWAY: Final = MappingProxyType({"stem": 1.0})
"""A stem that no rule names may be a channel off: a large step, where most FLOPs are the stem's."""


def is_large(input: tuple[int, int, int]) -> bool:
    """Say whether images of this size get the ImageNet form of a network."""
    return min(input[:2]) >= LARGE_SIDE


def conv_relu(
    net: Tracer,
    x: Tensor,
    filters: Width,
    *,
    kernel: int,
    stride: int = 1,
    padding: Pads = "same",
    groups: Width = 1,
    name: str | None = None,
) -> Tensor:
    """Convolution with bias, ReLU: the unit of the years before batch normalisation."""
    x = net.conv(
        x,
        filters,
        kernel=kernel,
        stride=stride,
        padding=padding,
        groups=groups,
        bias=True,
        name=name,
    )
    return net.relu(x)


def conv_bn_relu(
    net: Tracer,
    x: Tensor,
    filters: Width,
    *,
    kernel: int | tuple[int, int],
    stride: int = 1,
    padding: Pads = "same",
    groups: Width = 1,
    epsilon: float = 1e-5,
    name: str | None = None,
) -> Tensor:
    """Convolution without bias, batch normalisation, ReLU."""
    x = net.conv(
        x, filters, kernel=kernel, stride=stride, padding=padding, groups=groups, name=name
    )
    return net.relu(net.batch_norm(x, epsilon=epsilon))


def dense_head(net: Tracer, x: Tensor, hidden: Sequence[Width], classes: int) -> Tensor:
    """Flatten, hidden dense layers with ReLU and dropout, one score a class."""
    with net.scope("head"):
        x = net.flatten(x)
        for units in hidden:
            x = net.dropout(net.relu(net.dense(x, units)), 0.5)
        return net.dense(x, classes)


def residual_stem(
    net: Tracer, x: Tensor, filters: Width, *, large: bool, norm: bool = True
) -> Tensor:
    """ResNet's stem: 7×7/2 and a 3×3/2 pool for large images (224 → 56), 3×3/1 for small ones."""
    unit = conv_bn_relu if norm else conv_relu
    with net.scope("stem"):
        if not large:
            return unit(net, x, filters, kernel=3)
        x = unit(net, x, filters, kernel=7, stride=2)
        return net.max_pool(x, kernel=3, stride=2, padding="same")


def preact_stem(
    net: Tracer, x: Tensor, filters: Width, *, large: bool, norm: bool = True
) -> Tensor:
    """ResNet's stem without BN and ReLU: the first pre-activation block starts with them."""
    with net.scope("stem"):
        kernel, stride = (7, 2) if large else (3, 1)
        x = net.conv(x, filters, kernel=kernel, stride=stride, bias=not norm)
        return net.max_pool(x, kernel=3, stride=2, padding="same") if large else x


def pooled_head(net: Tracer, x: Tensor, classes: int) -> Tensor:
    """Global average pooling and one dense layer, as GoogLeNet and ResNet end."""
    with net.scope("head"):
        return net.dense(net.global_avg_pool(x), classes)


def last_bn_relu(net: Tracer, x: Tensor, *, norm: bool = True) -> Tensor:
    """Normalise and rectify what pre-activation blocks put out: none of them does it after itself."""
    with net.scope("last"):
        return net.relu(net.batch_norm(x) if norm else x)
