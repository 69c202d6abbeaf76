"""Network in Network: a small network at every pixel, a spatial convolution followed by 1×1 convolutions.

Lin, Chen & Yan 2013, arXiv 1312.4400: the root of the bottleneck, and of global average pooling in place of
dense layers.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Pads, Tensor, Tracer
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, IntKnob, Knob, Knobs, RisingKnob
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from search_spaces.freedoms import (
    GAP_HEAD,
    HEAD_WORDS,
    HEADS,
    NARROW_FIRST,
    STAGE_WORDS,
    has_dense_head,
)
from search_spaces.parts import conv_bn_relu, conv_relu, dense_head, is_large
from search_spaces.stages import nearest


def mlpconv(
    net: Tracer,
    x: Tensor,
    *,
    filters: Width,
    kernel: int,
    perceptron: tuple[Width, ...],
    stride: int = 1,
    padding: Pads = "same",
    batch_norm: bool = False,
) -> Tensor:
    """A convolution, then one 1×1 convolution for every width in `perceptron`; ReLU after each."""
    unit = conv_bn_relu if batch_norm else conv_relu
    x = unit(net, x, filters, kernel=kernel, stride=stride, padding=padding)
    for units in perceptron:
        x = unit(net, x, units, kernel=1)
    return x


class NinSpace(Space):
    """Stages of mlpconvs: how many, how deep each pixel's network, kernels, growth of the widths."""

    name = "nin"
    title = "1×1 networks at every pixel: mlpconvs a stage, their depth, kernels, growth"
    rules = (GAP_HEAD, NARROW_FIRST)
    unfreed: ClassVar[Mapping[str, str]] = {
        NARROW_FIRST: "its networks have no branches side by side that could lack a 1×1"
    }
    words: ClassVar[Mapping[str, str]] = {
        **STAGE_WORDS,
        **HEAD_WORDS,
        "mlp2·0.75": "two 1×1 after each larger convolution, 0.75 times as wide",
        "5×5": "the kernel of the larger convolutions",
        "growth 1.5": "the width of each stage in units of the one before",
        "bn": "batch normalisation after each convolution",
    }
    least_base = 8
    most_base = 4096  # one-block stages are cheap at any width

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return more and more mlpconvs a stage; three stages, four on large images."""
        return [
            (
                *(IntKnob(f"blocks{i}", 1, most) for i in range(1, _stages(request) + 1)),
                IntKnob("perceptron", 1, 3),
                ChoiceKnob("kernel", (3, 5)),
                RisingKnob("growth", (1.0, 1.5, 2.0)),
                # Width of the 1×1 convolutions in units of the spatial one's.
                RisingKnob("inner", (0.5, 0.75, 1.0)),
                ChoiceKnob("batch_norm", (False, True)),
            )
            for most in (1, 2, 3)
        ]

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return the head."""
        return {GAP_HEAD: HEADS}

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return the paper's shape: one mlpconv a stage with two 1×1 convolutions."""
        return {
            **{name: 1 for name in knobs if name.startswith("blocks")},
            "perceptron": 2,
            "kernel": 5,
            "growth": nearest(knobs["growth"], 1.5 if is_large(request.input) else 1.0),
            "inner": nearest(knobs["inner"], 1.0),
            "batch_norm": False,
        }

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return each stage's width and that of its 1×1 convolutions."""
        widths = {}
        for s in range(_stages(request)):
            width = base * float(knobs["growth"]) ** s
            widths[f"stage{s + 1}"] = pick(width)
            widths[f"inner{s + 1}"] = pick(width * float(knobs["inner"]))
        if has_dense_head(knobs):
            widths["hidden"] = pick(base * 4)
        return widths

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write the stages, 3×3/2 pools between, and the class maps of which the average is taken."""
        x = net.input
        batch_norm = bool(knobs["batch_norm"])
        for s in range(1, _stages(request) + 1):
            if s > 1:
                x = net.max_pool(x, kernel=3, stride=2, padding="same", name=f"stage{s - 1}.pool")
                x = net.dropout(x, 0.5, name=f"stage{s - 1}.drop") if s == _stages(request) else x
            for b in range(1, int(knobs[f"blocks{s}"]) + 1):
                first = s == b == 1 and is_large(request.input)
                x = net.block(
                    f"stage{s}.block{b}",
                    mlpconv,
                    x,
                    filters=widths[f"stage{s}"],
                    kernel=11 if first else knobs["kernel"],
                    stride=4 if first else 1,
                    perceptron=(widths[f"inner{s}"],) * int(knobs["perceptron"]),
                    batch_norm=batch_norm,
                )
        if has_dense_head(knobs):
            return dense_head(net, x, (widths["hidden"],), request.classes)
        with net.scope("head"):
            return net.global_avg_pool(net.conv(x, request.classes, kernel=1, bias=True))

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `1-1-1 mlp2 5×5 growth 1.5`."""
        blocks = "-".join(str(v) for n, v in knobs.items() if n.startswith("blocks"))
        return (
            f"{blocks} mlp{knobs['perceptron']}·{knobs['inner']} {knobs['kernel']}×{knobs['kernel']} "
            f"growth {knobs['growth']}{' bn' if knobs['batch_norm'] else ''}"
        )


def _stages(request: Request) -> int:
    return 4 if is_large(request.input) else 3


def _write(net: Tracer, classes: int) -> Tensor:
    """The authors' ImageNet model (Caffe, whose pools round up): 224 → 54 → 27 → 13 → 6."""
    x = net.block(
        "stage1", mlpconv, net.input, filters=96, kernel=11, perceptron=(96, 96), stride=4,
        padding="valid",
    )  # fmt: skip
    x = net.max_pool(x, kernel=3, stride=2, ceil=True, name="stage1.pool")
    x = net.block("stage2", mlpconv, x, filters=256, kernel=5, perceptron=(256, 256))
    x = net.max_pool(x, kernel=3, stride=2, ceil=True, name="stage2.pool")
    x = net.block("stage3", mlpconv, x, filters=384, kernel=3, perceptron=(384, 384))
    x = net.max_pool(x, kernel=3, stride=2, ceil=True, name="stage3.pool")
    x = net.dropout(x, 0.5, name="stage3.drop")
    x = net.block("stage4", mlpconv, x, filters=1024, kernel=3, perceptron=(1024, classes))
    return net.global_avg_pool(x, name="head.global_pool1")


def _write_cifar(net: Tracer, classes: int) -> Tensor:
    """The authors' CIFAR-10 model: 32 → 16 → 8."""
    x = net.block("stage1", mlpconv, net.input, filters=192, kernel=5, perceptron=(160, 96))
    x = net.max_pool(x, kernel=3, stride=2, ceil=True, name="stage1.pool")
    x = net.dropout(x, 0.5, name="stage1.drop")
    x = net.block("stage2", mlpconv, x, filters=192, kernel=5, perceptron=(192, 192))
    x = net.avg_pool(x, kernel=3, stride=2, ceil=True, name="stage2.pool")
    x = net.dropout(x, 0.5, name="stage2.drop")
    x = net.block("stage3", mlpconv, x, filters=192, kernel=3, perceptron=(192, classes))
    return net.global_avg_pool(x, name="head.global_pool1")


NIN = NinSpace()
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
