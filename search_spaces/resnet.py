"""ResNet: stages of residual blocks; a stage starts with stride 2 and twice the channels.

He et al. 2015, arXiv 1512.03385. Two 3×3 cost 18HWC²; the bottleneck, deeper, on four times the channels,
17HWC².
"""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, ClassVar

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Block, Tensor, Tracer
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, Knob, Knobs
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from search_spaces.freedoms import (
    BATCH_NORM,
    CHANNEL_DOUBLING,
    GAP_HEAD,
    HEAD_WORDS,
    HEADS,
    IDENTITY,
    MULTIPLIER_WORDS,
    NORM_WORDS,
    NORMS,
    RATIO,
    SHORTCUT_WORDS,
    SHORTCUTS,
    STAGE_WORDS,
    growth,
    has_dense_head,
    has_norm,
    multipliers,
    shortcut,
    write_head,
)
from search_spaces.parts import is_large, last_bn_relu, pooled_head, preact_stem, residual_stem
from search_spaces.residual import (
    basic,
    bottleneck,
    padded_basic,
    padded_preact_basic,
    preact_basic,
    preact_bottleneck,
)
from search_spaces.stages import (
    classic_depths,
    depth_knobs,
    depths_of,
)


def residual_stages(
    net: Tracer,
    x: Tensor,
    block: Block,
    depths: Sequence[int],
    inners: Sequence[Width],
    filters: Sequence[Width],
    *,
    project_first: bool = True,
    squeezed: Sequence[Width] | None = None,
    survivals: Iterable[float] | None = None,
    path: str = "identity",
    **settings: int | float | str,
) -> Tensor:
    """Write stages of `block`; each but the first starts with stride 2.

    Every stage's first block projects its shortcut; the first stage's need not where widths agree.
    `squeezed` gives each stage squeeze-and-excitation gates, `survivals` each block its survival. `path` is
    `identity`, `projection` (in every block) or `none`: a plain stack.
    """
    survival = iter(survivals if survivals is not None else repeat(1.0))
    for s, (depth, inner, width) in enumerate(zip(depths, inners, filters, strict=True)):
        more: dict[str, Hashable] = dict(settings)
        if path == "none":
            more["plain"] = True
        if squeezed is not None:
            more["squeezed"] = squeezed[s]
        for b in range(depth):
            x = net.block(
                f"stage{s + 1}.block{b + 1}",
                block,
                x,
                inner=inner,
                filters=width,
                stride=2 if s and not b else 1,
                project=path == "projection" or (not b and (s > 0 or project_first)),
                survival=next(survival),
                **more,
            )
    return x


WIDER: Mapping[str, float] = {
    "basic": 1, "bottleneck": 4, "bottleneck1": 1, "bottleneck2": 2, "bottleneck8": 8,
}  # fmt: skip
"""By what a block's output is wider than its inside: the blocks' ratio."""

BLOCKS = (Freedom(ChoiceKnob("block", tuple(WIDER))),)
"""Bottlenecks of other ratios than 4."""

BLOCK_WORDS: Mapping[str, str] = {
    "basic": "blocks of two 3×3",
    "bottleneck": "blocks of 1×1, 3×3, 1×1, the output 4 times as wide as the inside",
    "bottleneck2": "the output 2 times as wide as the inside; so for 1 and 8",
}


class ResidualSpace(Space):
    """What spaces of residual blocks have in common: stem, stages of doubling width, head."""

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return deeper and deeper stages."""
        rest = self.choices(request)
        deepest = (1, 2, 3, 4, 5, 6, 8, 9, 12, 18)
        return [(*depth_knobs(most, request), *rest) for most in deepest]

    @abstractmethod
    def choices(self, request: Request) -> tuple[Knob, ...]:
        """Return the knobs besides depth; `block` is among them."""

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return multipliers, shortcuts, ratios, the head."""
        return {
            CHANNEL_DOUBLING: multipliers(4),
            IDENTITY: SHORTCUTS,
            RATIO: BLOCKS,
            GAP_HEAD: HEADS,
        }

    def is_preact(self, knobs: Knobs) -> bool:
        """Say whether normalisation and ReLU come before the convolutions."""
        return False

    def settings(self, knobs: Knobs) -> dict[str, Any]:
        """Return further settings of the stages."""
        return {}

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return doubling inner widths, and outputs that are wider by the block's ratio.

        Where output and stem are as wide, the stem has the first stage's width: the shortcut is an identity.
        """
        ratio = WIDER[str(knobs["block"])]
        widths = {"stem": pick(base)} if ratio > 1 else {}
        for s, factor in enumerate(growth(knobs, len(depths_of(knobs))), start=1):
            widths[f"inner{s}"] = pick(base * factor)
            widths[f"stage{s}"] = pick(base * factor * ratio)
        if has_dense_head(knobs):
            widths["hidden"] = pick(base * 8)
        return widths

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write stem, stages and head."""
        depths = depths_of(knobs)
        preact, norm = self.is_preact(knobs), has_norm(knobs)
        stem = preact_stem if preact else residual_stem
        first = widths.get("stem", widths["stage1"])
        basic_block, narrow = (preact_basic, preact_bottleneck) if preact else (basic, bottleneck)
        x = residual_stages(
            net,
            stem(net, net.input, first, large=is_large(request.input), norm=norm),
            basic_block if knobs["block"] == "basic" else narrow,
            depths,
            [widths[f"inner{s + 1}"] for s in range(len(depths))],
            [widths[f"stage{s + 1}"] for s in range(len(depths))],
            project_first="stem" in widths,
            path=shortcut(knobs),
            **(self.settings(knobs) | ({} if norm else {"norm": False})),
        )
        x = last_bn_relu(net, x, norm=norm) if preact else x
        return write_head(net, x, widths, request.classes, knobs=knobs)


class ResNetSpace(ResidualSpace):
    """Depth per stage, basic or bottleneck blocks, post- or pre-activation."""

    name = "resnet"
    title = "residual blocks: depth per stage, basic or bottleneck, activation order"
    rules = (CHANNEL_DOUBLING, IDENTITY, RATIO, BATCH_NORM, GAP_HEAD)
    least_base = 8  # below that a budget would buy depth that no short trial can train
    words: ClassVar[Mapping[str, str]] = {
        **STAGE_WORDS,
        **MULTIPLIER_WORDS,
        **SHORTCUT_WORDS,
        **NORM_WORDS,
        **HEAD_WORDS,
        **BLOCK_WORDS,
        "post": "batch normalisation and ReLU after each convolution",
        "pre": "batch normalisation and ReLU before each convolution",
    }

    def choices(self, request: Request) -> tuple[Knob, ...]:
        """Return the knobs besides depth."""
        return (
            ChoiceKnob("block", ("basic", "bottleneck")),
            ChoiceKnob("activation", ("post", "pre")),
        )

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return multipliers, shortcuts, ratios, the head, no normalisation."""
        return {**super().freedoms(request), BATCH_NORM: NORMS}

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return ResNet-50, on small images ResNet-56 (as deep as the ranges go)."""
        if is_large(request.input):
            depths, block = classic_depths(knobs, (3, 4, 6, 3)), "bottleneck"
        else:
            depths, block = classic_depths(knobs, (9, 9, 9, 0)), "basic"
        return {**depths, "block": block, "activation": "post"}

    def is_preact(self, knobs: Knobs) -> bool:
        """Say whether normalisation and ReLU come before the convolutions."""
        return knobs["activation"] == "pre"

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `3-4-6-3 bottleneck post`."""
        depths = "-".join(map(str, depths_of(knobs)))
        return f"{depths} {knobs['block']} {knobs['activation']}"


def _imagenet(name: str, depths: tuple[int, ...], block: Block) -> Baseline:
    expansion = 4 if block is bottleneck else 1

    def write(net: Tracer, classes: int) -> Tensor:
        x = residual_stem(net, net.input, 64, large=True)
        x = residual_stages(
            net,
            x,
            block,
            depths,
            [64 * 2**s for s in range(4)],
            [64 * 2**s * expansion for s in range(4)],
            project_first=expansion > 1,
        )
        return pooled_head(net, x, classes)

    layers = name.removeprefix("resnet")
    return Baseline(
        name=name,
        title=f"ResNet-{layers}",
        source="He et al. 2015, table 1; stride in the 3×3 convolution, as in torchvision",
        input=(224, 224, 3),
        classes=1000,
        write=write,
    )


def padded_network(
    net: Tracer,
    classes: int,
    layers: int,
    block: Block,
    settings: Callable[[int], dict[str, float]] = lambda index: {},
) -> Tensor:
    """Write the 6n + 2 layers for CIFAR, option A; `settings` are further ones of the i-th block.

    A pre-activation `block` ends in a BN-ReLU of the network's own; others start with one.
    """
    depth = (layers - 2) // 6
    preact = block is padded_preact_basic
    with net.scope("stem"):
        x = net.conv(net.input, 16, kernel=3)
        x = x if preact else net.relu(net.batch_norm(x))
    for index in range(3 * depth):
        s, b = divmod(index, depth)
        stride = 2 if s and not b else 1
        name = f"stage{s + 1}.block{b + 1}"
        x = net.block(name, block, x, filters=16 * 2**s, stride=stride, **settings(index))
    return pooled_head(net, last_bn_relu(net, x) if preact else x, classes)


def _cifar(layers: int) -> Baseline:
    return Baseline(
        name=f"resnet{layers}_cifar",
        title=f"ResNet-{layers} for CIFAR",
        source="He et al. 2015, section 4.2; option A shortcuts, no parameters",
        input=(32, 32, 3),
        classes=10,
        write=lambda net, classes: padded_network(net, classes, layers, padded_basic),
        smallest=8,
    )


RESNET = ResNetSpace()
BASELINES = {
    b.name: b
    for b in (
        _imagenet("resnet18", (2, 2, 2, 2), basic),
        _imagenet("resnet34", (3, 4, 6, 3), basic),
        _imagenet("resnet50", (3, 4, 6, 3), bottleneck),
        _imagenet("resnet101", (3, 4, 23, 3), bottleneck),
        _imagenet("resnet152", (3, 8, 36, 3), bottleneck),
        *(_cifar(layers) for layers in (20, 32, 44, 56, 110)),
    )
}
