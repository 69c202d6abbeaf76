"""ResNet: stages of residual blocks; a stage starts with stride 2 and twice the channels.

He et al. 2015, arXiv 1512.03385. Two 3×3 cost 18HWC²; the bottleneck, deeper, on four times the channels,
17HWC².
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Block, Tensor, Tracer
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, IntKnob, Knob, Knobs
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from search_spaces.parts import is_large, last_bn_relu, pooled_head, residual_stem
from search_spaces.residual import (
    basic,
    bottleneck,
    padded_basic,
    padded_preact_basic,
    preact_basic,
    preact_bottleneck,
)

_BLOCKS: Mapping[tuple[str, str], Block] = {
    ("basic", "post"): basic,
    ("bottleneck", "post"): bottleneck,
    ("basic", "pre"): preact_basic,
    ("bottleneck", "pre"): preact_bottleneck,
}


def depth_knobs(most: int, request: Request) -> tuple[IntKnob, ...]:
    """Return blocks per stage: up to `most`, twice that in stage 3, where ResNets are deepest.

    On small images the fourth stage may have none: the three-stage form ResNets have on CIFAR.
    """
    least_last = 1 if is_large(request.input) else 0
    return (
        IntKnob("depth1", 1, most),
        IntKnob("depth2", 1, most),
        IntKnob("depth3", 1, 2 * most),
        IntKnob("depth4", least_last, most),
    )


def classic_depths(knobs: Mapping[str, Knob], wanted: tuple[int, int, int, int]) -> dict[str, int]:
    """Return `wanted` blocks per stage, as far as the knobs' ranges go."""
    depths = {}
    for i, depth in enumerate(wanted, start=1):
        knob = knobs[f"depth{i}"]
        assert isinstance(knob, IntKnob)
        depths[knob.name] = max(knob.low, min(depth, knob.high))
    return depths


def depths_of(knobs: Knobs) -> tuple[int, ...]:
    """Return the blocks of every stage that has any."""
    depths = (int(knobs[f"depth{i}"]) for i in range(1, 5))
    return tuple(depth for depth in depths if depth)


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
    **settings: int | float | str,
) -> Tensor:
    """Write stages of `block`; each but the first starts with stride 2.

    Every stage's first block projects its shortcut; the first stage's need not where widths agree.
    `squeezed` gives each stage squeeze-and-excitation gates, `survivals` each block its survival.
    """
    survival = iter(survivals) if survivals is not None else None
    for s, (depth, inner, width) in enumerate(zip(depths, inners, filters, strict=True)):
        more: dict[str, Hashable] = dict(settings)
        if squeezed is not None:
            more["squeezed"] = squeezed[s]
        for b in range(depth):
            if survival is not None:
                more["survival"] = next(survival)
            x = net.block(
                f"stage{s + 1}.block{b + 1}",
                block,
                x,
                inner=inner,
                filters=width,
                stride=2 if s and not b else 1,
                project=not b and (s > 0 or project_first),
                **more,
            )
    return x


class ResNetSpace(Space):
    """Depth per stage, basic or bottleneck blocks, bottleneck ratio, post- or pre-activation."""

    name = "resnet"
    title = "residual blocks: depth per stage, basic or bottleneck, ratio, activation order"
    rules = ("channel-doubling", "identity-shortcut", "bottleneck-ratio", "bn-after-conv")

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return deeper and deeper stages."""
        rest = (
            ChoiceKnob("block", ("basic", "bottleneck")),
            # Output width over inner width: 1 is the plain basic block, 4 the classic bottleneck.
            ChoiceKnob("ratio", (1, 2, 4)),
            ChoiceKnob("activation", ("post", "pre")),
        )
        return [(*depth_knobs(most, request), *rest) for most in (1, 2, 3, 4, 5, 6, 8, 9, 12, 18)]

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return ResNet-50, on small images ResNet-56 (as deep as the ranges go)."""
        if is_large(request.input):
            rest: Knobs = {"block": "bottleneck", "ratio": 4, "activation": "post"}
            return {**classic_depths(knobs, (3, 4, 6, 3)), **rest}
        rest = {"block": "basic", "ratio": 1, "activation": "post"}
        return {**classic_depths(knobs, (9, 9, 9, 0)), **rest}

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return doubling inner widths, outputs `ratio` times as wide."""
        ratio = int(knobs["ratio"])
        widths = {"stem": pick(base)}
        for s in range(len(depths_of(knobs))):
            widths[f"inner{s + 1}"] = pick(base * 2**s)
            widths[f"stage{s + 1}"] = pick(base * 2**s * ratio)
        return widths

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write stem, stages and head."""
        depths = depths_of(knobs)
        x = residual_stem(net, net.input, widths["stem"], large=is_large(request.input))
        x = residual_stages(
            net,
            x,
            _BLOCKS[str(knobs["block"]), str(knobs["activation"])],
            depths,
            [widths[f"inner{s + 1}"] for s in range(len(depths))],
            [widths[f"stage{s + 1}"] for s in range(len(depths))],
        )
        if knobs["activation"] == "pre":
            x = last_bn_relu(net, x)
        return pooled_head(net, x, request.classes)

    def label(self, knobs: Knobs) -> str:
        """Return e.g. `3-4-6-3 bottleneck r4 post`."""
        depths = "-".join(map(str, depths_of(knobs)))
        return f"{depths} {knobs['block']} r{knobs['ratio']} {knobs['activation']}"


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
