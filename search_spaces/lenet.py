"""LeNet: [convolution → ReLU → pool] × N, flatten, [dense → ReLU] × M, dense. Space shrinks, channels grow.

LeCun, Bottou, Bengio & Haffner 1998.
"""

from collections.abc import Sequence

from archsearch.ir.tracer import Pads, Tensor, Tracer
from archsearch.space.baselines import Baseline, BaselineBuilder


def _published(
    filters: Sequence[int], hidden: Sequence[int], *, padding: Pads, pool: str, function: str
) -> BaselineBuilder:
    def write(net: Tracer, classes: int) -> Tensor:
        x = net.input
        for i, count in enumerate(filters, start=1):
            x = net.conv(x, count, kernel=5, padding=padding, bias=True, name=f"conv{i}")
            x = net.activation(x, function)
            join = net.avg_pool if pool == "avg" else net.max_pool
            x = join(x, kernel=2, name=f"pool{i}")
        x = net.flatten(x)
        for units in hidden:
            x = net.activation(net.dense(x, units), function)
        return net.dense(x, classes)

    return write


BASELINES = {
    b.name: b
    for b in (
        Baseline(
            name="lenet5",
            title="LeNet-5",
            source="LeCun et al. 1998; every C3 map sees all S2 maps, pools have no weights",
            input=(32, 32, 1),
            classes=10,
            write=_published((6, 16), (120, 84), padding="valid", pool="avg", function="tanh"),
            smallest=16,
        ),
        Baseline(
            name="lenet5_lecture",
            title="LeNet-5 as in the lecture",
            source="the lecture: 20 and 50 filters, 500 hidden units, ReLU, max pooling",
            input=(28, 28, 1),
            classes=10,
            write=_published((20, 50), (500,), padding="same", pool="max", function="relu"),
            smallest=4,
        ),
    )
}
