"""LeNet: [convolution → ReLU → pool] × N, flatten, [dense → ReLU] × M, dense. Space shrinks, channels grow.

LeCun, Bottou, Bengio & Haffner 1998.
"""

from collections.abc import Mapping, Sequence
from math import log2
from typing import ClassVar

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Pads, Tensor, Tracer
from archsearch.space.baselines import Baseline, BaselineBuilder
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, IntKnob, Knob, Knobs, RisingKnob
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from search_spaces.parts import conv_relu
from search_spaces.stages import nearest


def _most_pools(request: Request) -> int:
    """Return how often the map can be halved and still be a map: 4 times for 32×32."""
    return max(1, int(log2(min(request.input[:2]))) - 1)


class LeNetSpace(Space):
    """How many convolutions with pools, how many dense layers, kernel, pool, growth of the widths."""

    name = "lenet"
    title = "convolution and pool N times, dense M times: counts, kernel, pool, growth"
    rules = ()
    words: ClassVar[Mapping[str, str]] = {
        "2 conv 5×5 avg": "two convolutions, each with a 2×2 average pool (max: the largest)",
        "2 dense h20": "two hidden dense layers; the first has 20 base widths",
        "growth 2.5": "the width of each convolution in units of the one before",
    }

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return the one set there is."""
        most = _most_pools(request)
        return (
            (
                # With fewer pools nearly all of the network would be its first dense layer.
                IntKnob("convs", max(1, most - 2), most),
                IntKnob("dense", 1, 3),
                ChoiceKnob("kernel", (3, 5)),
                ChoiceKnob("pool", ("avg", "max")),
                RisingKnob("growth", (1.5, 2.0, 2.5)),
                RisingKnob("hidden", (8, 12, 20)),
            ),
        )

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return LeNet-5: two convolutions where the image is as small as its, two hidden layers."""
        convs = min(int(value) for value in knobs["convs"].values())
        return {
            "convs": convs,
            "dense": 2,
            "kernel": 5,
            "pool": "avg",
            "growth": nearest(knobs["growth"], 2.5),
            "hidden": nearest(knobs["hidden"], 20),
        }

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return growing filters; dense layers of `hidden` base widths, each 0.7 of the one before."""
        factor = float(knobs["growth"])
        convs, dense = int(knobs["convs"]), int(knobs["dense"])
        widths = {f"conv{i + 1}": pick(base * factor**i) for i in range(convs)}
        for i in range(dense):
            widths[f"hidden{i + 1}"] = pick(base * float(knobs["hidden"]) * 0.7**i)
        return widths

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write convolutions and pools, then the dense layers."""
        x = net.input
        pool = net.avg_pool if knobs["pool"] == "avg" else net.max_pool
        for i in range(1, int(knobs["convs"]) + 1):
            with net.scope(f"stage{i}"):
                x = conv_relu(net, x, widths[f"conv{i}"], kernel=int(knobs["kernel"]))
                x = pool(x, kernel=2)
        with net.scope("head"):
            x = net.flatten(x)
            for i in range(1, int(knobs["dense"]) + 1):
                x = net.relu(net.dense(x, widths[f"hidden{i}"]))
            return net.dense(x, request.classes)

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `2 conv 5×5 avg, 2 dense, growth 2.5`."""
        return (
            f"{knobs['convs']} conv {knobs['kernel']}×{knobs['kernel']} {knobs['pool']}, "
            f"{knobs['dense']} dense h{knobs['hidden']}, growth {knobs['growth']}"
        )


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


LENET = LeNetSpace()
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
