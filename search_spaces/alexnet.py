"""AlexNet and ZFNet: found by trial and error; no space, as they taught no rule to search by.

Krizhevsky, Sutskever & Hinton 2012; Krizhevsky 2014 (arXiv 1404.5997, one tower); Zeiler & Fergus 2013 (arXiv
1311.2901).
"""

from collections.abc import Sequence

from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline, BaselineBuilder


def _unit(net: Tracer, x: Tensor, index: int, filters: int, kernel: int, groups: int = 1) -> Tensor:
    x = net.conv(x, filters, kernel=kernel, groups=groups, bias=True, name=f"conv{index}")
    return net.relu(x, name=f"relu{index}")


def _head(net: Tracer, x: Tensor, classes: int) -> Tensor:
    """Flatten, then dropout before each of two hidden dense layers."""
    x = net.flatten(x, name="flatten")
    x = net.relu(net.dense(net.dropout(x, 0.5), 4096, name="fc6"), name="relu6")
    x = net.relu(net.dense(net.dropout(x, 0.5), 4096, name="fc7"), name="relu7")
    return net.dense(x, classes, name="fc8")


def write_alexnet(net: Tracer, classes: int) -> Tensor:
    """Write the one-tower form: 64-192-384-256-256.

    The lecture's input is 227×227: (227 − 11 + 4)/4 + 1 = 56; with 224×224, torchvision's, 55.
    torchvision pools to 6×6 adaptively before the dense layers; both inputs come to 6×6 without that.
    """
    x = net.conv(net.input, 64, kernel=11, stride=4, padding=2, bias=True, name="conv1")
    x = net.max_pool(net.relu(x, name="relu1"), kernel=3, stride=2, name="pool1")
    x = net.max_pool(_unit(net, x, 2, 192, 5), kernel=3, stride=2, name="pool2")
    for index, filters in ((3, 384), (4, 256), (5, 256)):
        x = _unit(net, x, index, filters, 3)
    return _head(net, net.max_pool(x, kernel=3, stride=2, name="pool5"), classes)


def write_alexnet_2012(net: Tracer, classes: int) -> Tensor:
    """Write the two towers as groups: conv2, conv4 and conv5 see their own tower's half only.

    227×227, as (227 − 11)/4 + 1 = 55; the paper's 224 is a known slip.
    """
    x = net.conv(net.input, 96, kernel=11, stride=4, padding="valid", bias=True, name="conv1")
    x = net.local_response_norm(net.relu(x, name="relu1"), name="norm1")
    x = net.max_pool(x, kernel=3, stride=2, name="pool1")
    x = net.local_response_norm(_unit(net, x, 2, 256, 5, groups=2), name="norm2")
    x = net.max_pool(x, kernel=3, stride=2, name="pool2")
    x = _unit(net, x, 3, 384, 3)
    x = _unit(net, x, 4, 384, 3, groups=2)
    x = _unit(net, x, 5, 256, 3, groups=2)
    return _head(net, net.max_pool(x, kernel=3, stride=2, name="pool5"), classes)


def _zfnet(filters: Sequence[int]) -> BaselineBuilder:
    """224 → 110 → 55 → 26 → 13 → 6, as in the paper's figure 3."""

    def write(net: Tracer, classes: int) -> Tensor:
        x = net.conv(net.input, 96, kernel=7, stride=2, padding=1, bias=True, name="conv1")
        x = net.max_pool(net.relu(x, name="relu1"), kernel=3, stride=2, padding=1, name="pool1")
        x = net.local_response_norm(x, name="norm1")
        x = net.conv(x, 256, kernel=5, stride=2, padding="valid", bias=True, name="conv2")
        x = net.max_pool(net.relu(x, name="relu2"), kernel=3, stride=2, padding=1, name="pool2")
        x = net.local_response_norm(x, name="norm2")
        for index, count in enumerate(filters, start=3):
            x = _unit(net, x, index, count, 3)
        return _head(net, net.max_pool(x, kernel=3, stride=2, name="pool5"), classes)

    return write


BASELINES = {
    b.name: b
    for b in (
        Baseline(
            name="alexnet",
            title="AlexNet, one tower",
            source="Krizhevsky 2014 (arXiv 1404.5997); as in torchvision",
            input=(224, 224, 3),
            classes=1000,
            write=write_alexnet,
            smallest=63,
        ),
        Baseline(
            name="alexnet_2012",
            title="AlexNet, two towers as groups",
            source="Krizhevsky, Sutskever & Hinton 2012",
            input=(227, 227, 3),
            classes=1000,
            write=write_alexnet_2012,
            smallest=67,
        ),
        Baseline(
            name="zfnet",
            title="ZFNet",
            source="Zeiler & Fergus 2013, figure 3",
            input=(224, 224, 3),
            classes=1000,
            write=_zfnet((384, 384, 256)),
            smallest=53,
        ),
        Baseline(
            name="zfnet_lecture",
            title="ZFNet with conv3/4/5 of 512/1024/512",
            source="the lecture's figures, on the paper's geometry",
            input=(224, 224, 3),
            classes=1000,
            write=_zfnet((512, 1024, 512)),
            smallest=53,
        ),
    )
}
