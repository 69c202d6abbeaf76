"""MobileNetV2: inverted residuals, thin ends and a wide depthwise middle, the last 1×1 linear.

Sandler et al. 2018, arXiv 1801.04381.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, Knob, Knobs
from archsearch.space.widths import Pick
from search_spaces.freedoms import (
    CHANNEL_DOUBLING,
    IDENTITY,
    MULTIPLIER_WORDS,
    SHORTCUT_WORDS,
    SHORTCUTS,
    STAGE_WORDS,
    growth,
    multipliers,
    shortcut,
)
from search_spaces.mobilenet import CONVOLUTIONS, SEPARABLE, MobileNetSpace, is_full
from search_spaces.parts import is_large
from search_spaces.stages import classic_depths

LINEAR = "linear-bottleneck"


def conv_bn_relu6(
    net: Tracer, x: Tensor, filters: Width, *, kernel: int, stride: int = 1, groups: Width = 1
) -> Tensor:
    """Convolution, BN, ReLU cut off at 6."""
    x = net.conv(x, filters, kernel=kernel, stride=stride, groups=groups)
    return net.activation(net.batch_norm(x), "relu6")


def inverted(
    net: Tracer,
    x: Tensor,
    *,
    hidden: Width | None,
    filters: Width,
    stride: int,
    add: bool,
    kernel: int = 3,
    linear: bool = True,
    full: bool = False,
    project: bool = False,
) -> Tensor:
    """1×1 up to `hidden` (left out for None), depthwise, linear 1×1 down; x added where `add`.

    `full` writes one full convolution in place of the first two; `project` puts a 1×1 on the shortcut.
    """
    if full:
        y = conv_bn_relu6(net, x, hidden or x.channels, kernel=kernel, stride=stride)
    else:
        y = x if hidden is None else conv_bn_relu6(net, x, hidden, kernel=1)
        y = conv_bn_relu6(net, y, y.channels, kernel=kernel, stride=stride, groups=y.channels)
    y = net.batch_norm(net.conv(y, filters, kernel=1))
    y = y if linear else net.activation(y, "relu6")
    if project:
        x = net.batch_norm(net.conv(x, filters, kernel=1, stride=stride, name="shortcut_conv"))
    return net.add(x, y) if add or project else y


class MobileNetV2Space(MobileNetSpace):
    """Inverted residuals a stage, expansion, depthwise kernel, width of the head."""

    name = "mobilenet_v2"
    title = "inverted residuals: blocks a stage, expansion, depthwise kernel, head"
    rules = (CHANNEL_DOUBLING, IDENTITY, SEPARABLE, LINEAR)
    words: ClassVar[Mapping[str, str]] = {
        **STAGE_WORDS,
        **MULTIPLIER_WORDS,
        **SHORTCUT_WORDS,
        "t6": "a block is 6 times as wide inside as at its ends",
        "3×3": "the kernel of the depthwise convolutions",
        "head 4": "the last 1×1 is 4 times as wide as the last stage",
        "projection": "what ends a block: linear, nothing; relu6, a nonlinearity",
        "convolution": "full in place of 1×1 and depthwise: in all stages, or in the first half of them",
    }
    deepest = (1, 2, 3, 4, 6, 8)
    convolution = staticmethod(conv_bn_relu6)
    block = staticmethod(inverted)

    def choices(self, request: Request) -> tuple[Knob, ...]:
        """Return the knobs besides depth."""
        return (
            ChoiceKnob("expansion", (2, 3, 4, 6)),
            ChoiceKnob("kernel", (3, 5)),
            # Width of the last 1×1 in units of the last stage's: 4 in the paper's table.
            ChoiceKnob("head", (2, 4, 8)),
        )

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return multipliers, shortcuts, full convolutions, a nonlinearity at the narrow ends."""
        ends = ChoiceKnob("projection", ("linear", "relu6"))
        return {
            CHANNEL_DOUBLING: multipliers(5 if is_large(request.input) else 4),
            IDENTITY: SHORTCUTS,
            SEPARABLE: CONVOLUTIONS,
            LINEAR: (Freedom(ends, held="linear"),),
        }

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return MobileNetV2: 1-2-3-7-4 blocks by resolution (1-3-7-4 on small images), expansion 6."""
        depths = (1, 2, 3, 7, 4) if is_large(request.input) else (1, 3, 7, 4)
        return {**classic_depths(knobs, depths), "expansion": 6, "kernel": 3, "head": 4}

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return doubling thin widths, the expanded ones, and the last 1×1's."""
        expansion = int(knobs["expansion"])
        factors = growth(knobs, len(self.depths(knobs)))
        widths = {"stem": pick(base)}
        for s, factor in enumerate(factors, start=1):
            widths[f"stage{s}"] = pick(base * factor)
            # A stage's first block expands the width of the stage before.
            before = factors[s - 2] if s > 1 else 1.0
            widths[f"open{s}"] = pick(base * before * expansion)
            if int(knobs[f"depth{s}"]) > 1:
                widths[f"hidden{s}"] = pick(base * factor * expansion)
        widths["head"] = pick(base * factors[-1] * int(knobs["head"]))
        return widths

    def settings(
        self, knobs: Knobs, widths: Mapping[str, Width], stage: int, block: int
    ) -> dict[str, Any]:
        """Return what a block is given besides stride and kernel."""
        path = shortcut(knobs)
        return {
            "hidden": widths[f"hidden{stage}" if block else f"open{stage}"],
            "filters": widths[f"stage{stage}"],
            "add": block > 0 and path == "identity",
            "linear": knobs.get("projection", "linear") == "linear",
            "full": is_full(knobs, stage, len(self.depths(knobs))),
            "project": path == "projection",
        }

    def head(
        self, net: Tracer, x: Tensor, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write the last 1×1, pool, dropout and scores."""
        return _head(net, x, widths["head"], request.classes)

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `1-2-3-7-4 t6 3×3 head 4`."""
        depths = "-".join(map(str, self.depths(knobs)))
        kernel = knobs["kernel"]
        return f"{depths} t{knobs['expansion']} {kernel}×{kernel} head {knobs['head']}"


def _head(net: Tracer, x: Tensor, filters: Width, classes: int) -> Tensor:
    with net.scope("head"):
        x = net.global_avg_pool(conv_bn_relu6(net, x, filters, kernel=1))
        return net.dense(net.dropout(x, 0.2), classes)


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
    return _head(net, x, 1280, classes)


MOBILENET_V2 = MobileNetV2Space()
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
