"""MobileNet: a depthwise 3×3 for space, a 1×1 for channels, in place of a full convolution.

Howard et al. 2017, arXiv 1704.04861: 1/C + 1/9 of the FLOPs of a 3×3 to C channels.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Block, Tensor, Tracer
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, IntKnob, Knob, Knobs
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from search_spaces.freedoms import (
    CHANNEL_DOUBLING,
    GAP_HEAD,
    HEAD_WORDS,
    HEADS,
    MULTIPLIER_WORDS,
    STAGE_WORDS,
    growth,
    has_dense_head,
    multipliers,
    write_head,
)
from search_spaces.parts import STEM_LEEWAY, conv_bn_relu, is_large, pooled_head
from search_spaces.stages import classic_depths, depths_of

SEPARABLE = "depthwise-separable"
CONVOLUTIONS = (
    Freedom(ChoiceKnob("convolution", ("separable", "early full", "full")), held="separable"),
)
"""Full convolutions in all stages, or in the first half of them."""


def is_full(knobs: Knobs, stage: int, stages: int) -> bool:
    """Say whether a stage (counted from 1) is built of full convolutions."""
    kind = knobs.get("convolution", "separable")
    return kind == "full" or (kind == "early full" and 2 * stage <= stages)


def separable(
    net: Tracer, x: Tensor, *, filters: Width, stride: int, kernel: int = 3, full: bool = False
) -> Tensor:
    """Depthwise convolution, BN, ReLU; 1×1, BN, ReLU. Or a `full` convolution in their place."""
    if full:
        return conv_bn_relu(net, x, filters, kernel=kernel, stride=stride)
    x = conv_bn_relu(net, x, x.channels, kernel=kernel, stride=stride, groups=x.channels)
    return conv_bn_relu(net, x, filters, kernel=1)


class MobileNetSpace(Space):
    """Depthwise separable blocks a stage, depthwise kernel, stem."""

    name = "mobilenet"
    title = "depthwise separable convolutions: blocks a stage, depthwise kernel, stem"
    rules: ClassVar[tuple[str, ...]] = (CHANNEL_DOUBLING, SEPARABLE, GAP_HEAD)
    words: ClassVar[Mapping[str, str]] = {
        **STAGE_WORDS,
        **MULTIPLIER_WORDS,
        **HEAD_WORDS,
        "3×3": "the kernel of the depthwise convolutions",
        "stem 0.5": "the stem is half as wide as the first stage",
        "convolution": "full in place of depthwise and 1×1: in all stages, or in the first half of them",
    }
    least_base = 6
    deepest: ClassVar[tuple[int, ...]] = (1, 2, 3, 4, 6)
    """Blocks a stage may have at most, tier by tier: without shortcuts no short trial trains deeper ones."""
    convolution: ClassVar[Block] = staticmethod(conv_bn_relu)
    """The stem's unit."""
    block: ClassVar[Block] = staticmethod(separable)
    """What stages are made of."""

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return deeper and deeper stages: five, four of them on small images; the first stays short."""
        stages = 5 if is_large(request.input) else 4
        rest = self.choices(request)
        return [
            (
                IntKnob("depth1", 1, max(1, most // 2)),
                *(IntKnob(f"depth{i}", 1, most) for i in range(2, stages + 1)),
                *rest,
            )
            for most in self.deepest
        ]

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return multipliers, full convolutions, the head."""
        stages = 5 if is_large(request.input) else 4
        return {
            CHANNEL_DOUBLING: multipliers(stages),
            SEPARABLE: CONVOLUTIONS,
            GAP_HEAD: HEADS,
        }

    def choices(self, request: Request) -> tuple[Knob, ...]:
        """Return the knobs besides depth."""
        return (
            # A depthwise 5×5 sees more for a few per cent of the FLOPs.
            ChoiceKnob("kernel", (3, 5)),
            # Width of the stem in units of the first stage's: 1/2 in the paper.
            ChoiceKnob("stem", (0.5, 1.0)),
        )

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return MobileNet's 1-2-2-6-2 blocks, on small images 1-2-6-2."""
        depths = (1, 2, 2, 6, 2) if is_large(request.input) else (1, 2, 6, 2)
        return {**classic_depths(knobs, depths), "kernel": 3, "stem": 0.5}

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return doubling stages; each stage's first block has a width of its own up to rounding."""
        widths = {"stem": pick(base * float(knobs["stem"]))}
        for s, factor in enumerate(growth(knobs, len(self.depths(knobs))), start=1):
            widths[f"first{s}"] = pick(base * factor)
            widths[f"stage{s}"] = pick(base * factor)
        if has_dense_head(knobs):
            widths["hidden"] = pick(base * 16)
        return widths

    def leeway(self, knobs: Knobs, request: Request) -> Mapping[str, float]:
        """Return a channel for the stem."""
        return STEM_LEEWAY

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write stem, stages and head."""
        with net.scope("stem"):
            stride = 2 if is_large(request.input) else 1
            x = self.convolution(net, net.input, widths["stem"], kernel=3, stride=stride)
        for s, depth in enumerate(self.depths(knobs), start=1):
            for b in range(depth):
                x = net.block(
                    f"stage{s}.block{b + 1}",
                    self.block,
                    x,
                    stride=2 if s > 1 and not b else 1,
                    kernel=knobs["kernel"],
                    **self.settings(knobs, widths, s, b),
                )
        return self.head(net, x, knobs, widths, request)

    def settings(
        self, knobs: Knobs, widths: Mapping[str, Width], stage: int, block: int
    ) -> dict[str, Any]:
        """Return what a block is given besides stride and kernel; `stage` counts from 1, `block` from 0."""
        filters = widths[f"stage{stage}" if block else f"first{stage}"]
        return {"filters": filters, "full": is_full(knobs, stage, len(self.depths(knobs)))}

    def head(
        self, net: Tracer, x: Tensor, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write what follows the last block."""
        return write_head(net, x, widths, request.classes, knobs=knobs)

    def depths(self, knobs: Knobs) -> tuple[int, ...]:
        """Return the blocks of every stage."""
        return depths_of(knobs, sum(name.startswith("depth") for name in knobs))

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `1-2-2-6-2 3×3 stem 0.5`."""
        depths = "-".join(map(str, self.depths(knobs)))
        return f"{depths} {knobs['kernel']}×{knobs['kernel']} stem {knobs['stem']}"


def _write_v1(net: Tracer, classes: int) -> Tensor:
    with net.scope("stem"):
        x = conv_bn_relu(net, net.input, 32, kernel=3, stride=2)
    layers = ((64,), (128, 128), (256, 256), (512,) * 6, (1024, 1024))
    for s, stage in enumerate(layers):
        for b, filters in enumerate(stage):
            stride = 2 if s and not b else 1
            x = net.block(
                f"stage{s + 1}.block{b + 1}", separable, x, filters=filters, stride=stride
            )
    return pooled_head(net, x, classes)


MOBILENET = MobileNetSpace()
BASELINES = {
    "mobilenet_v1": Baseline(
        name="mobilenet_v1",
        title="MobileNet 1.0",
        source="Howard et al. 2017, table 1; as timm's mobilenetv1_100, but ReLU as in the paper",
        input=(224, 224, 3),
        classes=1000,
        write=_write_v1,
    )
}
