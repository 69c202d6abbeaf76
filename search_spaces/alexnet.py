"""AlexNet: the network of 2012, found by trial and error; no space, as it taught no rule to search by.

Krizhevsky, Sutskever & Hinton 2012. One tower (Krizhevsky 2014, torchvision's form and the lecture's table).
"""

from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline


def write_alexnet(net: Tracer, classes: int) -> Tensor:
    """Write the one-tower form: 64-192-384-256-256, dropout before each hidden dense layer.

    The lecture's input is 227×227: (227 − 11 + 4)/4 + 1 = 56; with 224×224, torchvision's, 55.
    torchvision pools to 6×6 adaptively before the dense layers; so does its table for both inputs.
    """
    x = net.relu(
        net.conv(net.input, 64, kernel=11, stride=4, padding=2, bias=True, name="conv1"),
        name="relu1",
    )
    x = net.max_pool(x, kernel=3, stride=2, name="pool1")
    x = net.relu(net.conv(x, 192, kernel=5, bias=True, name="conv2"), name="relu2")
    x = net.max_pool(x, kernel=3, stride=2, name="pool2")
    for i, filters in ((3, 384), (4, 256), (5, 256)):
        x = net.relu(net.conv(x, filters, kernel=3, bias=True, name=f"conv{i}"), name=f"relu{i}")
    x = net.max_pool(x, kernel=3, stride=2, name="pool5")
    x = net.flatten(x, name="flatten")
    x = net.relu(net.dense(net.dropout(x, 0.5), 4096, name="fc6"), name="relu6")
    x = net.relu(net.dense(net.dropout(x, 0.5), 4096, name="fc7"), name="relu7")
    return net.dense(x, classes, name="fc8")


BASELINES = {
    "alexnet": Baseline(
        name="alexnet",
        title="AlexNet, one tower",
        source="Krizhevsky 2014 (arXiv 1404.5997); as in torchvision",
        input=(224, 224, 3),
        classes=1000,
        write=write_alexnet,
        smallest=63,
    )
}
