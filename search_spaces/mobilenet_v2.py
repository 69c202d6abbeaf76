"""MobileNetV2: inverted residuals, thin ends and a wide depthwise middle, the last 1×1 linear.

Sandler et al. 2018, arXiv 1801.04381.
"""

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline


def conv_bn_relu6(
    net: Tracer, x: Tensor, filters: Width, *, kernel: int, stride: int = 1, groups: Width = 1
) -> Tensor:
    """Convolution, BN, ReLU cut off at 6."""
    x = net.conv(x, filters, kernel=kernel, stride=stride, groups=groups)
    return net.activation(net.batch_norm(x), "relu6")


def inverted(
    net: Tracer, x: Tensor, *, hidden: Width | None, filters: Width, stride: int, add: bool
) -> Tensor:
    """1×1 up to `hidden` (left out for None), depthwise 3×3, linear 1×1 down; x added where `add`."""
    y = x if hidden is None else conv_bn_relu6(net, x, hidden, kernel=1)
    y = conv_bn_relu6(net, y, y.channels, kernel=3, stride=stride, groups=y.channels)
    y = net.batch_norm(net.conv(y, filters, kernel=1))
    return net.add(x, y) if add else y


# Table 2 of the paper: expansion, filters, blocks, stride of the first.
_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip


def _write(net: Tracer, classes: int) -> Tensor:
    with net.scope("stem"):
        x = conv_bn_relu6(net, net.input, 32, kernel=3, stride=2)
    width = 32
    for s, (expansion, filters, depth, stride) in enumerate(_STAGES):
        for b in range(depth):
            x = net.block(
                f"stage{s + 1}.block{b + 1}",
                inverted,
                x,
                hidden=None if expansion == 1 else width * expansion,
                filters=filters,
                stride=1 if b else stride,
                add=b > 0,
            )
            width = filters
    with net.scope("head"):
        x = net.global_avg_pool(conv_bn_relu6(net, x, 1280, kernel=1))
        return net.dense(net.dropout(x, 0.2), classes)


BASELINES = {
    "mobilenet_v2": Baseline(
        name="mobilenet_v2",
        title="MobileNetV2 1.0",
        source="Sandler et al. 2018, table 2; as in torchvision",
        input=(224, 224, 3),
        classes=1000,
        write=_write,
    )
}
