"""Network in Network: a small network at every pixel, a spatial convolution followed by 1×1 convolutions.

Lin, Chen & Yan 2013, arXiv 1312.4400: the root of the bottleneck, and of global average pooling in place of
dense layers.
"""

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Pads, Tensor, Tracer
from archsearch.space.baselines import Baseline
from search_spaces.parts import conv_relu


def mlpconv(
    net: Tracer,
    x: Tensor,
    *,
    filters: Width,
    kernel: int,
    perceptron: tuple[Width, ...],
    stride: int = 1,
    padding: Pads = "same",
) -> Tensor:
    """A convolution, then one 1×1 convolution for every width in `perceptron`; ReLU after each."""
    x = conv_relu(net, x, filters, kernel=kernel, stride=stride, padding=padding)
    for units in perceptron:
        x = conv_relu(net, x, units, kernel=1)
    return x


def _write(net: Tracer, classes: int) -> Tensor:
    """The authors' ImageNet model (Caffe, whose pools round up): 224 → 54 → 27 → 13 → 6."""
    x = net.block(
        "stage1", mlpconv, net.input, filters=96, kernel=11, perceptron=(96, 96), stride=4,
        padding="valid",
    )  # fmt: skip
    x = net.max_pool(x, kernel=3, stride=2, ceil=True, name="pool1")
    x = net.block("stage2", mlpconv, x, filters=256, kernel=5, perceptron=(256, 256))
    x = net.max_pool(x, kernel=3, stride=2, ceil=True, name="pool2")
    x = net.block("stage3", mlpconv, x, filters=384, kernel=3, perceptron=(384, 384))
    x = net.max_pool(x, kernel=3, stride=2, ceil=True, name="pool3")
    x = net.dropout(x, 0.5, name="drop3")
    x = net.block("stage4", mlpconv, x, filters=1024, kernel=3, perceptron=(1024, classes))
    return net.global_avg_pool(x, name="head.global_pool1")


def _write_cifar(net: Tracer, classes: int) -> Tensor:
    """The authors' CIFAR-10 model: 32 → 16 → 8."""
    x = net.block("stage1", mlpconv, net.input, filters=192, kernel=5, perceptron=(160, 96))
    x = net.max_pool(x, kernel=3, stride=2, ceil=True, name="pool1")
    x = net.dropout(x, 0.5, name="drop1")
    x = net.block("stage2", mlpconv, x, filters=192, kernel=5, perceptron=(192, 192))
    x = net.avg_pool(x, kernel=3, stride=2, ceil=True, name="pool2")
    x = net.dropout(x, 0.5, name="drop2")
    x = net.block("stage3", mlpconv, x, filters=192, kernel=3, perceptron=(192, classes))
    return net.global_avg_pool(x, name="head.global_pool1")


BASELINES = {
    b.name: b
    for b in (
        Baseline(
            name="nin",
            title="Network in Network",
            source="Lin et al. 2013; the authors' ImageNet model",
            input=(224, 224, 3),
            classes=1000,
            write=_write,
            smallest=39,
        ),
        Baseline(
            name="nin_cifar",
            title="Network in Network for CIFAR",
            source="Lin et al. 2013; the authors' CIFAR-10 model",
            input=(32, 32, 3),
            classes=10,
            write=_write_cifar,
            smallest=4,
        ),
    )
}
