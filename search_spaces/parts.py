"""What several families share: stems, heads, the convolution unit, and when an image counts as large."""

from typing import Final

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer

LARGE_SIDE: Final = 96
"""From this side on (pixels) a network starts with an aggressive stem; below, at full resolution."""


def is_large(input: tuple[int, int, int]) -> bool:
    """Say whether images of this size get the ImageNet form of a network."""
    return min(input[:2]) >= LARGE_SIDE


def conv_bn_relu(
    net: Tracer, x: Tensor, filters: Width, *, kernel: int, stride: int = 1, groups: Width = 1
) -> Tensor:
    """Convolution without bias, batch normalisation, ReLU."""
    x = net.conv(x, filters, kernel=kernel, stride=stride, groups=groups)
    return net.relu(net.batch_norm(x))


def residual_stem(net: Tracer, x: Tensor, filters: Width, *, large: bool) -> Tensor:
    """ResNet's stem: 7×7/2 and a 3×3/2 pool for large images (224 → 56), 3×3/1 for small ones."""
    with net.scope("stem"):
        if not large:
            return conv_bn_relu(net, x, filters, kernel=3)
        x = conv_bn_relu(net, x, filters, kernel=7, stride=2)
        return net.max_pool(x, kernel=3, stride=2, padding="same")


def pooled_head(net: Tracer, x: Tensor, classes: int) -> Tensor:
    """Global average pooling and one dense layer, as GoogLeNet and ResNet end."""
    with net.scope("head"):
        return net.dense(net.global_avg_pool(x), classes)
