"""Pre-activation ResNet: BN → ReLU → convolution, so that only additions stand on the shortcut's path.

He, Zhang, Ren & Sun 2016, "Identity mappings in deep residual networks", arXiv 1603.05027.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Knob, Knobs
from search_spaces.freedoms import (
    CHANNEL_DOUBLING,
    GAP_HEAD,
    HEAD_WORDS,
    IDENTITY,
    MULTIPLIER_WORDS,
    NO_POST_ACTIVATION,
    PRE_ACTIVATION,
    RATIO,
    SHORTCUT_WORDS,
    STAGE_WORDS,
)
from search_spaces.parts import is_large, last_bn_relu, pooled_head, preact_stem
from search_spaces.residual import padded_preact_basic, preact_bottleneck
from search_spaces.resnet import BLOCK_WORDS, ResidualSpace, padded_network, residual_stages
from search_spaces.stages import classic_depths, depths_of


class PreactSpace(ResidualSpace):
    """Depth per stage, basic or bottleneck blocks at their papers' ratios, dropout."""

    name = "preact"
    title = "pre-activation residual blocks: depth per stage, basic or bottleneck, dropout"
    rules = (CHANNEL_DOUBLING, IDENTITY, PRE_ACTIVATION, RATIO, GAP_HEAD)
    unfreed: ClassVar[Mapping[str, str]] = {PRE_ACTIVATION: NO_POST_ACTIVATION}
    words: ClassVar[Mapping[str, str]] = {
        **STAGE_WORDS,
        **MULTIPLIER_WORDS,
        **SHORTCUT_WORDS,
        **HEAD_WORDS,
        **BLOCK_WORDS,
        "dropout 0.1": "the rate of dropout inside each block",
    }
    least_base = 8  # below that a budget would buy depth that no short trial can train

    def choices(self, request: Request) -> tuple[Knob, ...]:
        """Return the knobs besides depth."""
        return (
            ChoiceKnob("block", ("basic", "bottleneck")),
            ChoiceKnob("dropout", (0.0, 0.1, 0.2, 0.3)),
        )

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return pre-activation ResNet-50, on small images ResNet-164 (as deep as the ranges go)."""
        large = is_large(request.input)
        depths = classic_depths(knobs, (3, 4, 6, 3) if large else (18, 18, 18, 0))
        return {**depths, "block": "bottleneck", "dropout": 0.0}

    def is_preact(self, knobs: Knobs) -> bool:
        """Say that normalisation and ReLU come before the convolutions."""
        return True

    def settings(self, knobs: Knobs) -> dict[str, Any]:
        """Return the dropout inside each block."""
        return {"dropout": float(knobs["dropout"])}

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `18-18-18 bottleneck dropout 0.1`."""
        depths = "-".join(map(str, depths_of(knobs)))
        return f"{depths} {knobs['block']} dropout {knobs['dropout']}"


def _cifar(layers: int) -> Baseline:
    """Bottlenecks as in the authors' Torch code (resnet-pre-act.lua): stride in the first 1×1."""
    depth = (layers - 2) // 9

    def write(net: Tracer, classes: int) -> Tensor:
        x = preact_stem(net, net.input, 16, large=False)
        inners = [16 * 2**s for s in range(3)]
        x = residual_stages(
            net,
            x,
            preact_bottleneck,
            (depth,) * 3,
            inners,
            [4 * inner for inner in inners],
            strided="1x1",
        )
        return pooled_head(net, last_bn_relu(net, x), classes)

    return Baseline(
        name=f"preact_resnet{layers}_cifar",
        title=f"Pre-activation ResNet-{layers} for CIFAR",
        source="He et al. 2016, bottlenecks as in the authors' resnet-pre-act.lua",
        input=(32, 32, 3),
        classes=10,
        write=write,
        smallest=8,
    )


def _imagenet(layers: int, depths: tuple[int, ...]) -> Baseline:
    def write(net: Tracer, classes: int) -> Tensor:
        x = preact_stem(net, net.input, 64, large=True)
        inners = [64 * 2**s for s in range(4)]
        x = residual_stages(
            net, x, preact_bottleneck, depths, inners, [4 * inner for inner in inners]
        )
        return pooled_head(net, last_bn_relu(net, x), classes)

    return Baseline(
        name=f"resnet{layers}v2",
        title=f"ResNet-{layers} v2",
        source=f"He et al. 2016; stride in the 3×3, as timm's resnetv2_{layers}",
        input=(224, 224, 3),
        classes=1000,
        write=write,
    )


PREACT = PreactSpace()
BASELINES = {
    b.name: b
    for b in (
        Baseline(
            name="preact_resnet110_cifar",
            title="Pre-activation ResNet-110 for CIFAR",
            source="He et al. 2016, table 2: basic blocks, option A shortcuts",
            input=(32, 32, 3),
            classes=10,
            write=lambda net, classes: padded_network(net, classes, 110, padded_preact_basic),
            smallest=8,
        ),
        _cifar(164),
        _cifar(1001),
        _imagenet(50, (3, 4, 6, 3)),
        _imagenet(101, (3, 4, 23, 3)),
        _imagenet(152, (3, 8, 36, 3)),
    )
}
